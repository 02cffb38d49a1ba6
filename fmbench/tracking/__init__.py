"""MLflow, made from records: one experiment a suite, one run a training cell, below it one for each way of sampling.

```
tracker            Tracker and sync: what the rest of fmbench calls
background_writer  the one thread that writes; waits, retries, gives up
experiment         makes and writes runs; known_runs finds them; client: MLflow's own, made quiet
run_content        what a run shows, as plain data; run_params, run_names: how a cell is put into words
cell_runs          runs of trainings and evaluations; configuration_runs: means over seeds; summary_run: all in one
views              named views of an experiment; view_state: one as MLflow keeps it; shown_views: written there
logged_models      trained networks as models that MLflow loads
run_links          where the runs of cells are, for pages that link to them
images             sample files -> the picture files that MLflow's image grid reads
ledger             what has been logged, so that a suite that is done imports no mlflow
uris               which server; server_check: whether it is there; required_packages: what it needs
ui                 the command that shows it, and links into it
credentials        a URI without its password; response_limits: answers that have no end
server_errors      which errors pass, which do not; retry_after: how long a busy server wants to be left alone
moved_artifacts    artifacts of a project that was moved or copied
```

The store is the truth. Everything here can be made again from it, is safe to interrupt anywhere, and changes no cell.
"""

from fmbench.tracking.credentials import shown, shown_variable
from fmbench.tracking.logged_models import TrainedNetworks
from fmbench.tracking.run_links import RunLinks, run_links
from fmbench.tracking.tracker import Tracker, TrackingSummary, sync
from fmbench.tracking.ui import check_port, follow_a_move, ui_command, ui_links
from fmbench.tracking.uris import resolve_uri

__all__ = [
    "RunLinks",
    "Tracker",
    "TrackingSummary",
    "TrainedNetworks",
    "check_port",
    "follow_a_move",
    "resolve_uri",
    "run_links",
    "shown",
    "shown_variable",
    "sync",
    "ui_command",
    "ui_links",
]
