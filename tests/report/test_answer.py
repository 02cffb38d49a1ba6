"""The first lines of a report: they answer the suite's question, or say that the data cannot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_report import FID, IDENTITY, Factory, T, page, set_values, small, spec, written

from fmbench.report import in_short
from fmbench.report.analysis.floor_and_oracle import Floor
from fmbench.report.result_table import Values
from fmbench.report.text import headline
from fmbench.report.text.one_sentence import MOST_WORDS, words
from fmbench.results.records import EvaluationRecord

BASELINE = {"path": "linear", "t_distribution": "uniform"}
LINEAR = [10.0, 11.0, 12.0]


def lines(factory: Factory, **about: Any) -> dict[str, str]:
    """Return the first lines, with each answer as it stands in full."""
    short = in_short(factory.records(**about))
    full = {about.replace("in full", "").strip(): text for about, text in short.details if "in full" in about}
    named = {
        "Answer" if name == "Answer" else ", ".join(reversed(name.split(", "))): text for name, text in full.items()
    }
    return dict(short.lines) | named


def sentence(factory: Factory) -> str:
    return dict(in_short(factory.records()).lines)["Answer"]


def paths(folder: Path, cosine: Sequence[float], **changes: Any) -> Factory:
    """Two paths that differ as is said at every NFE, whatever the solver."""
    change = set_values({"linear": LINEAR, "cosine": cosine}, "path")
    return small(folder, **({"change": change, "metrics": (FID,), "baseline": {"path": "linear"}} | changes))


def test_the_best_is_named_with_its_advantage_its_interval_and_n(tmp_path: Path):
    said = lines(paths(tmp_path, [5.0, 5.4, 6.1]))["Answer"]
    assert said.startswith("cosine with euler has the lowest mean fid_digits at every NFE (1 and 2). ")
    by = "50% [48, 53] lower at NFE 1, 50% [48, 53] lower at NFE 2 (n = 3)."
    assert said.endswith(f"Against the baseline (linear) with its best solver: {by}")


def test_what_cannot_be_told_is_said_first(tmp_path: Path):
    found = lines(paths(tmp_path, [9.0, 12.0, 11.9]))
    assert found["Answer"].startswith(
        "At no NFE can the best be told from the others (n = 3). Tie at NFE 1 (cosine with euler and linear with euler)"
    )
    assert "not distinguishable at NFE 1 and 2 (n = 3)" in found["Answer"]
    assert "%" not in found["Answer"]


LONG = tuple(spec("t_distribution", "beta", alpha=0.5 * i, beta="one that has a long name") for i in range(3))
SENTENCES: Mapping[str, tuple[dict[str, Any], str]] = {
    "a leader": (
        {},
        "cosine with euler leads in fid_digits at NFE 1 and 2, 50% and 50% below the baseline's best solver.",
    ),
    "no baseline": (
        {"baseline": None},
        "cosine with euler leads in fid_digits at NFE 1 and 2, 50% and 50% below the next",
    ),
    "a tie": (
        {"change": set_values({"linear": LINEAR, "cosine": [9.0, 12.0, 11.9]}, "path")},
        "No winner in fid_digits",
    ),
    "one seed": ({"seeds": (0,)}, "One seed tells no winner; so far cosine with euler at NFE 1 and 2 has the lowest"),
    "long names": ({"t_distributions": LONG, "nfe": (1, 2, 4, 8, 16)}, ""),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_one_sentence_of_few_words_names_its_comparison(case: str, tmp_path: Path):
    changes, start = SENTENCES[case]
    said = sentence(paths(tmp_path, [5.0, 5.4, 6.1], **changes))
    assert said.startswith(start)
    assert words(said) <= MOST_WORDS
    assert any(text in said for text in ("below", "every other", "seed"))


def test_a_tie_is_called_one_and_has_no_winner(tmp_path: Path):
    def change(record: EvaluationRecord) -> EvaluationRecord:
        seed, cosine = record.cell.training.seed, record.cell.training.path.name == "cosine"
        gap = (0.1 * seed - 0.1 if record.cell.nfe == 1 else 5.0 + 0.1 * seed) * cosine
        return dataclasses.replace(record, metrics={"fid_digits": LINEAR[seed] - gap})

    said = sentence(small(tmp_path, change=change, metrics=(FID,), solvers=("euler",), baseline={"path": "linear"}))
    assert said == "cosine leads in fid_digits at NFE 2, 46% below the baseline; tie at NFE 1."
    short = dict(in_short(small(tmp_path, change=change, metrics=(FID,), solvers=("euler",)).records()).details)
    assert "Tie at NFE 1 (" in short["Answer in full"]
    assert "A tie: 1 of 1 other (" in short["NFE 1"]


def test_what_is_told_against_the_baseline_is_told_jointly_at_all_nfe(tmp_path: Path):
    """By itself each difference has p = 0.04, and its interval leaves out zero; of two that is no news."""

    def change(record: EvaluationRecord) -> EvaluationRecord:
        seed, cosine = record.cell.training.seed, record.cell.training.path.name == "cosine"
        return dataclasses.replace(record, metrics={"fid_digits": LINEAR[seed] - (1 + 0.35 * (seed - 1)) * cosine})

    given: dict[str, Any] = {"change": change, "metrics": (FID,), "solvers": ("euler",), "baseline": {"path": "linear"}}
    one = in_short(small(tmp_path, nfe=(1,), **given).records())
    assert " lower at NFE 1 (n = 3)" in dict(one.details)["Answer in full"]
    assert dict(one.details)["NFE 1"].endswith("lower, better.")
    two = in_short(small(tmp_path, nfe=(1, 2), **given).records())
    assert (
        "Against the baseline (linear): not distinguishable at NFE 1 and 2 (n = 3)."
        in dict(two.details)["Answer in full"]
    )
    assert dict(two.details)["NFE 1"].endswith("lower, not distinguishable.")
    assert "better in 0, worse in 0, not distinguishable in 2 of 2 comparisons" in dict(two.details)["path"]


def test_a_rival_at_one_nfe_stands_under_what_is_not_known(tmp_path: Path):
    def change(record: EvaluationRecord) -> EvaluationRecord:
        seed, cosine = record.cell.training.seed, record.cell.training.path.name == "cosine"
        gap = (0.1 * seed - 0.1 if record.cell.nfe == 1 else 5.0 + 0.1 * seed) * cosine
        return dataclasses.replace(record, metrics={"fid_digits": LINEAR[seed] - gap})

    found = lines(small(tmp_path, change=change, metrics=(FID,), solvers=("euler",), baseline={"path": "linear"}))
    assert "at NFE 2" in found["Answer"]
    assert "Cannot be told from the best: " in found["Not known"]
    assert "at NFE 1. 3 seeds are few" in found["Not known"]


def test_a_baseline_that_nothing_beats_is_said(tmp_path: Path):
    said = lines(paths(tmp_path, [15.0, 15.4, 16.1]))["Answer"]
    assert "linear with euler has the lowest" in said
    assert "It is the baseline, and nothing is better. Against the next (cosine): 29% [" in said


def test_a_baseline_that_leads_at_some_nfe_is_said(tmp_path: Path):
    def change(record: EvaluationRecord) -> EvaluationRecord:
        seed, cosine = record.cell.training.seed, record.cell.training.path.name == "cosine"
        gap = (5.0 if record.cell.nfe == 1 else -5.0) * cosine
        return dataclasses.replace(record, metrics={"fid_digits": LINEAR[seed] + gap * (1 + 0.01 * seed)})

    said = lines(small(tmp_path, change=change, metrics=(FID,), solvers=("euler",), baseline={"path": "linear"}))
    assert said["Answer"].startswith("Lowest mean fid_digits: linear at NFE 1 and cosine at NFE 2.")
    assert said["Answer"].endswith("lower at NFE 2 (n = 3); at NFE 1 the baseline itself has the best mean.")


def test_each_side_has_the_solver_that_suits_it(tmp_path: Path):
    """With heun linear is as good as cosine with euler: an advantage with the same solver would mislead."""
    values = {("linear", "euler"): 20.0, ("linear", "heun"): 10.0, ("cosine", "euler"): 9.9, ("cosine", "heun"): 30.0}

    def change(record: EvaluationRecord) -> EvaluationRecord:
        cell, noise = record.cell, 0.5 * (record.cell.training.seed - 1)
        sign = 1 if cell.training.path.name == "linear" else -1
        value = values[cell.training.path.name, cell.solver.name] + sign * noise
        return dataclasses.replace(record, metrics={"fid_digits": value})

    said = lines(small(tmp_path, nfe=(2,), change=change, metrics=(FID,), baseline={"path": "linear"}))["Answer"]
    assert "not distinguishable at NFE 2 (with heun) (n = 3)" in said


def test_without_a_baseline_the_next_is_compared(tmp_path: Path):
    said = lines(paths(tmp_path, [5.0, 5.4, 6.1], baseline=None))["Answer"]
    assert "Against the next (linear): 50% [48, 53] lower at NFE 1" in said


def test_one_seed_answers_nothing(tmp_path: Path):
    found = lines(Factory(tmp_path, seeds=(0,), baseline=BASELINE))
    assert found["Answer"].startswith("With one seed nothing can be said of which is best.")
    assert "%" not in found["Answer"]
    assert "What matters" not in found
    assert found["Not known"].startswith("One seed: ")


def test_several_datasets_have_an_answer_each(tmp_path: Path):
    found = lines(Factory(tmp_path, datasets=("moons", "circles"), baseline=BASELINE))
    assert list(found) == ["Answer, moons", "Answer, circles", "What matters", "Not known"]
    assert "moons: solver " in found["What matters"]
    assert "; circles: solver " in found["What matters"]
    assert "some on moons at NFE" in found["Not known"]


def test_a_failed_combination_never_leads_and_is_said(tmp_path: Path):
    def failed(cell: Any) -> str:
        return "diverged" if cell.seed and cell.t_distribution.name == "u_shaped" else "ok"

    found = lines(Factory(tmp_path, baseline=BASELINE, failed=failed))
    assert "u_shaped" not in found["Answer"]
    assert "4 of 18 trainings (with 64 evaluations) have no result" in found["Not known"]


def other_identity(record: EvaluationRecord) -> EvaluationRecord:
    if record.cell.nfe == 2 and record.cell.training.seed == 1 and record.cell.solver.name == "euler":
        return dataclasses.replace(record, identities={"fid_digits": IDENTITY | {"samples": 500}})
    return record


def test_values_of_two_identities_have_no_best(tmp_path: Path):
    said = lines(small(tmp_path, change=other_identity))["Answer"]
    assert "At NFE 2 there is no best: its values are not comparable with each other: samples is" in said
    assert "at NFE 1" in said


def against_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: Sequence[float]) -> str:
    """Return what is not known where the best has 5, 5.4 and 6.1, and real data have these scores."""
    floor = Floor(Values(dict(enumerate(real))), 1000, 1000)
    monkeypatch.setattr(headline, "floor_of", lambda result_table, facts: (floor, ""))
    return lines(paths(tmp_path, [5.0, 5.4, 6.1]))["Not known"]


def test_what_cannot_be_told_from_real_data_is_not_called_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = against_real(tmp_path, monkeypatch, [5.2, 5.1, 6.2])
    assert "Cannot be told from real data by these 3 seeds: the best on digits at NFE 1 and 2. " in said
    assert "better than real data" not in said


def test_what_scores_better_than_real_data_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = against_real(tmp_path, monkeypatch, [7.0, 7.5, 8.0])
    assert (
        "Scores better than real data, where a better score means nothing: the best on digits at NFE 1 and 2. " in said
    )
    assert "from real data" not in said


def test_what_scores_worse_than_real_data_is_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert "real data" not in against_real(tmp_path, monkeypatch, [3.0, 3.5, 4.0])


@pytest.mark.parametrize("seeds", [1, 3, 6])
def test_whoever_was_chosen_as_the_best_looks_better_than_it_is(seeds: int, tmp_path: Path):
    flattered = "The best of several looks a little better than it is"
    assert flattered in lines(small(tmp_path, seeds=range(seeds)))["Not known"]
    assert (
        flattered not in lines(small(tmp_path, seeds=range(seeds), paths=("linear",), solvers=("euler",)))["Not known"]
    )


SILENT: Mapping[str, tuple[dict[str, Any], str]] = {
    "all failed": ({"failed": lambda cell: "oom"}, "No answer: no combination finished every seed."),
    "no evaluations": ({"solvers": ()}, "No answer: nothing was evaluated."),
    "adaptive": ({"solvers": (), "adaptive": ("dopri5",)}, "No answer: all solvers are adaptive"),
    "no metric": ({"metrics": ()}, "No answer: this suite has no metric that looks at samples."),
    "no direction": ({"metrics": (dataclasses.replace(FID, better=""),)}, "No answer: the metric has no direction"),
    "one row": ({"paths": ("linear",), "solvers": ("euler",)}, "One combination, so nothing is compared: mean fid"),
    "all equal": (
        {"change": lambda r: dataclasses.replace(r, metrics={"fid_digits": 1.0})},
        "All combinations have the same fid_digits at every NFE (1 and 2).",
    ),
}


@pytest.mark.parametrize("case", SILENT)
def test_where_there_is_no_answer_the_line_says_why(case: str, tmp_path: Path):
    changes, start = SILENT[case]
    assert lines(small(tmp_path, **changes))["Answer"].startswith(start)


def test_no_records_say_nothing(tmp_path: Path):
    assert not lines(small(tmp_path, seeds=()))


def test_the_lines_stand_first_in_every_form(tmp_path: Path):
    factory = small(tmp_path, baseline={"path": "linear"}, t_distributions=(*T[:1], spec("t_distribution", "late")))
    folder, short = written(factory, tmp_path), in_short(factory.records())
    first = [about for about, _ in short.lines]
    assert first == ["Answer", "What matters", "Not known"]
    title, _, question, _, *rest = (folder / "table.md").read_text().splitlines()
    assert (title, question[:10]) == ("# low\\_nfe", "Which path")
    assert [line.split(".**")[0] for line in rest[:3]] == [f"- **{about}" for about in first]
    tex = (folder / "table.tex").read_text().splitlines()
    assert [line.split(":")[0] for line in tex[:3]] == [f"% {about}" for about in first]
    text = page(folder).text
    places = [text.rindex(said) for _, said in (*short.lines, *short.details)]
    assert places == sorted(places)
    assert text.index(dict(short.lines)["Answer"]) < 600
