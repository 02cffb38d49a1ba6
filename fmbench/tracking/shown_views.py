"""The views on an experiment's page, and the note above it that leads to them: written, and taken away when stale.

What somebody else made or changed stays as it is: a tag of the experiment holds a digest of all that fmbench wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fmbench.cells.keys import digest
from fmbench.io.json_forms import parsed
from fmbench.io.markdown import escape_markdown
from fmbench.tracking.run_content import NOTE, RunContent
from fmbench.tracking.run_params import TAG_LENGTH
from fmbench.tracking.view_state import PREFIX, View

if TYPE_CHECKING:
    from mlflow import MlflowClient

WRITTEN = "fmbench.written"
"""The experiment's tag with the digests of what fmbench wrote, by tag."""

EARLIER = (f"{PREFIX}fmbench-nfe", f"{PREFIX}fmbench-samples")
"""Views of fmbench before it named them."""


def set_views(client: MlflowClient, experiment: str, description: str, content: RunContent) -> None:
    """Show a run's views on the experiment's page, in place of those that fmbench wrote before.

    Views that give way are shown only where fmbench has written none.
    """
    found = client.get_experiment(experiment)
    tags = dict(found.tags)
    ours = written(tags)
    if content.views_give_way and any(key in tags for key in ours if key != NOTE):
        return
    first = found.creation_time or 0
    count = len(content.views)
    wanted = {PREFIX + view.key: view.text(first + count - number) for number, view in enumerate(content.views)}
    wanted[NOTE] = note(description, content.views, experiment)
    for key in (*ours, *EARLIER):
        if key in tags and key not in wanted and (key in EARLIER or digest(tags[key]) == ours[key]):
            client.delete_experiment_tag(experiment, key)
    plain = escape_markdown(description)[:TAG_LENGTH]
    for key, text in wanted.items():
        is_ours = key not in tags or digest(tags[key]) == ours.get(key) or (key == NOTE and tags[key] == plain)
        if is_ours and tags.get(key) != text:
            client.set_experiment_tag(experiment, key, text)
    left = {key: digest(text) for key, text in wanted.items()}
    if left != ours:
        client.set_experiment_tag(experiment, WRITTEN, json.dumps(left, separators=(",", ":")))


def note(description: str, views: Sequence[View], experiment: str) -> str:
    """Return the text above the experiment's runs: links to its views, of which the page shows one line at first."""
    links = [f"[{escape_markdown(view.name)}]({view.address(experiment)})" for view in views]
    told = (
        f"{escape_markdown(description)}",
        "Each view is of one dataset, and shows the means over seeds of the configurations that the suite has now "
        "(tag `fmbench.kind` = `configuration`). Not in the views, and found by search: the runs of single seeds "
        "(`evaluation`, `training`), summaries (`summary`), variants made by `--set` or `--filter`, and what newer "
        "code or seeds have superseded (`fmbench.superseded`).",
    )
    text = " · ".join(links)
    while len(text) > TAG_LENGTH - 1000 and links:
        links.pop()
        text = " · ".join([*links, 'more under "Views"'])
    return "\n\n".join(filter(None, (text, *told)))[:TAG_LENGTH]


def written(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of what fmbench wrote, by tag."""
    try:
        found = parsed(tags.get(WRITTEN, "{}"))
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError):
        return {}
