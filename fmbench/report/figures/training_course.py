"""The figure of a score over the training: against steps, and against seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fmbench.report.analysis.curves import N_TRAINING
from fmbench.report.analysis.training_course import CoursePoint, TrainingCourse
from fmbench.report.figures.score_curves import HOLLOW, directed, name_above, reach
from fmbench.report.figures.theme import Picture, log_axis, looks, new_figure, new_panels, save, themed, wants_log
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import varying, words
from fmbench.results.records import MetricFacts
from fmbench.stats.paired_seeds import ranked

MOST = 8
"""Training combinations in the figure; of more, the best after the last step are shown."""


def over_training(
    courses: Sequence[TrainingCourse], facts: MetricFacts, dataset: str, folder: Folder, name: str
) -> Picture | None:
    """Draw a line a training combination; None where no training was evaluated at several steps."""
    if not courses:
        return None
    from matplotlib.lines import Line2D

    shown = _best(courses, facts)
    axes_said = varying([course.row for course in shown])
    labels = [f"{words(course.row, axes_said)}{_budget(course, shown)}" for course in shown]
    styles = looks(labels)
    timed = all(point.seconds is not None for course in shown for point in course.points)
    scores = [point.score for course in shown for point in course.points]
    with themed():
        figure = new_figure(6.6 if timed else 4.4, 3.4)
        panels = new_panels(figure, 2 if timed else 1, 2 if timed else 1, sharey=True)
        ways: list[tuple[str, Callable[[CoursePoint], float]]] = [
            ("training step", lambda point: point.step),
            ("training seconds", lambda point: point.seconds or 0.0),
        ]
        for axes, (title, where) in zip(panels, ways, strict=False):
            axes.set_xlabel(title, fontsize=9)
            axes.grid(True, axis="y")
            for course, label in zip(shown, labels, strict=True):
                x, y = [where(point) for point in course.points], [point.score.mean for point in course.points]
                half = [point.score.half if point.score.known else 0.0 for point in course.points]
                axes.errorbar(x, y, yerr=half, elinewidth=1.0, capsize=0, **styles[label].line)
                if hollow := [(where(p), p.score.mean) for p in course.points if not p.values.complete]:
                    axes.plot(*zip(*hollow, strict=True), **{**styles[label].line, **HOLLOW})
        means = [score.mean for score in scores]
        if wants_log(means):
            log_axis(panels[0], "y", min(means), max(means))
            panels[0].set_ylim(*reach(scores))
        middle = name_above(figure, [Line2D([], [], label=label, **styles[label].line) for label in labels])
        figure.supylabel(directed(facts), fontsize=9, y=middle)
        return save(figure, folder, name, f"{dataset}: {facts.name} over the training", _caption(courses, shown))


def _best(courses: Sequence[TrainingCourse], facts: MetricFacts) -> list[TrainingCourse]:
    """Return the courses that are shown, in their order."""
    ends = {number: course.points[-1].score.mean for number, course in enumerate(courses)}
    chosen = set(ranked(ends, facts.better)[:MOST])
    return [course for number, course in enumerate(courses) if number in chosen]


def _budget(course: TrainingCourse, shown: Sequence[TrainingCourse]) -> str:
    """Return the NFE where the courses have different ones."""
    if len({each.nfe for each in shown}) == 1:
        return ""
    return ", adaptive" if course.nfe is None else f", NFE {course.nfe}"


def _caption(courses: Sequence[TrainingCourse], shown: Sequence[TrainingCourse]) -> str:
    known = any(point.score.known for course in shown for point in course.points)
    spread = "bars are 95% intervals over seeds (Student's t)" if known else "with one seed there is no interval"
    same = {(*course.row[N_TRAINING:], course.nfe) for course in shown}
    sampler = ""
    if len(same) == 1 and shown[0].nfe is not None:
        sampler = f" All are sampled with {shown[0].row[N_TRAINING]} at NFE {shown[0].nfe}."
    few = f" The best {len(shown)} of {len(courses)} training combinations are shown." if shown != list(courses) else ""
    return (
        "The same trainings, evaluated at several of their steps: a line a training combination, each under the way of "
        f"sampling that scores best after its last step; {spread}. Seconds are what a training had taken until then, "
        f"without the time of keeping and judging weights.{sampler}{few}"
    )
