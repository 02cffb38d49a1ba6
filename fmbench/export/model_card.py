"""README.md of an exported model: a model card with the evidence, whose front matter model hubs read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from fmbench.cells.cells import EvaluationCell
from fmbench.export.config import in_words
from fmbench.export.evidence import Compared, Score, ScoredEvidence
from fmbench.export.winner import Winner
from fmbench.io.markdown import escape_markdown, fence
from fmbench.io.printable_text import count, encodable, visible
from fmbench.stats.paired_seeds import Interval


class Origin(NamedTuple):
    """The command that exports the cell, the one that computes its suite, and the code's commit; "" if not known."""

    command: str = ""
    suite: str = ""
    commit: str = ""


USE = """\
```python
from sample import load       # sample.py of this folder; it needs torch, and no fmbench

model = load()
x_1 = model.sample(64)        # the benchmark's own noise; seed=7 for another
print(x_1.shape)
```

`python sample.py` checks that it computes here what it computed where it was made."""


def model_card(
    winner: Winner, evidence: ScoredEvidence, config: Mapping[str, Any], origin: Origin, licence: str | None
) -> str:
    """Return the text of README.md."""
    cell, (command, suite, commit) = winner.cell, origin
    title = " ".join(["flow matching:", str(config["network"]["label"] if "network" in config else "a model"), "on"])
    parts = [
        f"# {_plain(f'{title} {cell_dataset(winner)}')}",
        "",
        _lead(winner, config),
        "",
        "## Use",
        "",
        USE,
        "",
        "## What it is",
        "",
        *_table(("", ""), [(name, _plain(value)) for name, value in in_words(config, cell) if value]),
        "",
        f"Time: {config['t_convention']}. All of it as data: `config.json`; the weights alone: `model.safetensors`.",
        "",
        "## Evidence",
        "",
        *_evidence(winner, evidence),
        "",
        "## Where it comes from",
        "",
        f"Cell `{cell.key}`, trained with torch {_plain(str(config['facts']['torch']))} on "
        f"{_plain(str(config['facts']['hardware']))}; exported by {_plain(str(config['made_by']))}"
        f"{f', commit `{_plain(commit)}`' if commit else ''}. This computes it and makes the folder again"
        f"{'' if suite else ', where its store is'}:",
        "",
        fence("\n".join([*([suite] if suite else []), command])),
        "",
    ]
    return _front_matter(winner, evidence, config, licence) + visible("\n".join(parts))


def cell_dataset(winner: Winner) -> str:
    """Return the label of the dataset."""
    return str(winner.trained.cell.dataset)


def _plain(text: str) -> str:
    return escape_markdown(visible(text))


def _lead(winner: Winner, config: Mapping[str, Any]) -> str:
    if winner.kind == "velocity":
        return (
            "`model.pt2` is the velocity that the network stands for, as a program of torch. `sample.py` integrates it "
            "with plain Euler, Heun or RK4 on equal steps, which are not the solvers of the benchmark."
        )
    cell = winner.cell
    assert isinstance(cell, EvaluationCell)
    batch = config["batch"]
    fixed = f" It computes {batch} samples at a time; `sample.py` cuts batches to size." if batch else ""
    return (
        f"`model.pt2` is the whole sampler as a program of torch: network, objective, guidance, solver "
        f"{_plain(str(cell.solver))} and its {count(cell.steps or 0, 'step')}. It takes noise and returns data."
        f"{fixed} It runs on the CPU."
    )


def _evidence(winner: Winner, evidence: ScoredEvidence) -> list[str]:
    if not evidence.scores:
        return [
            "No scores: they belong to a network with a solver. `fmbench export` of an evaluation's key has them."
            if winner.kind == "velocity"
            else "No metric of this cell is in the store."
        ]
    rows = [(_plain(score.name), _value(score), str(score.value.n), _samples(score)) for score in evidence.scores]
    seeds = ", ".join(map(str, evidence.seeds))
    lines = [
        f"Mean and 95% interval (Student's t) over seeds {seeds}; this is the model of seed "
        f"{winner.trained.cell.seed}.",
        "",
        *_table(("metric", "value", "seeds", "samples each"), rows),
    ]
    if evidence.compared is not None:
        lines += ["", *_compared(evidence.compared)]
    checked = f"The program differs from fmbench's own samples by at most {winner.differs:.0e}"
    stored = (
        "" if winner.from_stored is None else f", and these from the stored ones by at most {winner.from_stored:.0e}"
    )
    return [*lines, "", f"{checked}{stored}."]


def _compared(compared: Compared) -> list[str]:
    if compared.n == 1:
        return ["Nothing else in its store has this dataset and NFE and was measured in the same way."]
    found = f"By {_plain(compared.metric)}, place {compared.place} of {compared.n} configurations"
    rows = [
        (f"**{_plain(label)}**" if own else _plain(label), _interval(value), str(value.n))
        for label, value, own in compared.rows
    ]
    luck = " As the best of many it looks a little better than it is." if compared.place == 1 and compared.n > 2 else ""
    more = f" The first {len(rows)} of them." if compared.n > len(rows) else ""
    return [
        f"{found} of its store with the same dataset and NFE that were measured in the same way. "
        f"Where intervals overlap, places say little.{luck}{more}",
        "",
        *_table(("configuration", _plain(compared.metric), "seeds"), rows),
    ]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _value(score: Score) -> str:
    better = f", {score.better} is better" if score.better else ""
    return _interval(score.value) + better


def _interval(value: Interval) -> str:
    half = "" if math.isnan(value.half) else f" ± {value.half:.3g}"
    return f"{value.mean:.4g}{half}"


def _samples(score: Score) -> str:
    return "" if score.samples is None else str(score.samples)


def _front_matter(winner: Winner, evidence: ScoredEvidence, config: Mapping[str, Any], licence: str | None) -> str:
    """Return the YAML at the top, as model hubs read it; a licence stands there where one was named."""
    images = len(config["shape"]) == 3
    task = "unconditional-image-generation" if images and not config["conditional"] else None
    dataset = cell_dataset(winner)
    results = [
        {
            "task": {"type": task or "other", "name": "sampling"},
            "dataset": {"type": str(config["dataset"]["name"]), "name": dataset},
            "metrics": [
                {"type": s.name, "value": s.value.mean, "name": f"{s.name}, mean over {count(s.value.n, 'seed')}"}
                for s in evidence.scores
            ],
        }
    ]
    named = f"{config.get('network', {}).get('label', 'model')} on {dataset}"
    content: dict[str, Any] = {
        **({"license": licence} if licence else {}),
        "library_name": "pytorch",
        "tags": ["flow-matching", "fmbench"],
        **({"pipeline_tag": task} if task else {}),
        **({"model-index": [{"name": named, "results": results}]} if evidence.scores else {}),
    }
    written = yaml.safe_dump(encodable(content), sort_keys=False, allow_unicode=True)
    return f"---\n{written}---\n\n"
