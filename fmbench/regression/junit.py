"""A check's outcome as JUnit XML, which CI systems show: one test case a comparison and an event."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from fmbench.regression.outcome import Comparison, Happened, Outcome

_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""
READABLE = 1e4


def junit(outcome: Outcome) -> bytes:
    """Return the XML: worse, failed and vanished are failures; what cannot be told is skipped, with the reason."""
    suites = Xml.Element("testsuites")
    suite = _add(suites, "testsuite", name=f"fmbench check {outcome.suite}")
    for comparison in outcome.comparisons:
        _comparison(suite, comparison, moved=outcome.strict and comparison in outcome.improved)
    for event in outcome.events:
        _event(suite, event)
    if outcome.fault:
        case = _add(suite, "testcase", classname="check", name="every judged metric can be compared")
        _add(case, "error", message=outcome.fault)
    outcomes = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    counts = {name: str(len(suite.findall(f"testcase/{tag}"))) for name, tag in outcomes.items()}
    for element in (suites, suite):
        element.attrib |= {"tests": str(len(suite)), **counts}
    suite.set("time", "0")
    Xml.indent(suites)
    return bytes(Xml.tostring(suites, encoding="utf-8", xml_declaration=True))


def _comparison(suite: Xml.Element, comparison: Comparison, moved: bool) -> None:
    case = _add(suite, "testcase", classname=f"{comparison.metric}.{comparison.level}", name=comparison.what)
    if comparison.verdict == "worse" or moved:
        _add(case, "failure", message=sentence(comparison), type=comparison.verdict)
    elif comparison.verdict == "cannot tell":
        _add(case, "skipped", message=f"cannot tell: {comparison.reason}")


def _event(suite: Xml.Element, event: Happened) -> None:
    case = _add(suite, "testcase", classname=event.what, name=event.name)
    if event.alarming:
        _add(case, "failure", message=f"{event.what}: {event.reason}", type=event.what)
    elif event.what != "new":
        _add(case, "skipped", message=f"{event.what}: {event.reason}")


def sentence(comparison: Comparison) -> str:
    """Return a comparison in one line: `fid_digits of solver heun: worse by 21.3% [17.0, 25.6]`."""
    text = f"{comparison.metric} of {comparison.what}: {comparison.verdict}"
    if comparison.verdict in ("worse", "better") and comparison.effect is not None:
        text += f" by {percent(abs(comparison.effect))}%"
        if comparison.low is not None and comparison.high is not None and comparison.low < comparison.high:
            ends = sorted((end if comparison.effect > 0 else -end) for end in (comparison.low, comparison.high))
            text += f" [{percent(ends[0])}, {percent(ends[1])}]"
    if comparison.explained_by:
        text += f" (as {comparison.explained_by})"
    return text


def percent(value: float, sign: str = "") -> str:
    """Return a fraction in percent, with one decimal as far as that can be read."""
    return f"{100 * value:{sign}{'.1f' if abs(value) < READABLE else '.1e'}}"


def _add(parent: Xml.Element, tag: str, **texts: str) -> Xml.Element:
    return Xml.SubElement(parent, tag, {name: _FORBIDDEN.sub("?", text) for name, text in texts.items()})
