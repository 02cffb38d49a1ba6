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
    name = f"fmbench check {outcome.suite}"
    suites = Xml.Element("testsuites")
    suite = Xml.SubElement(suites, "testsuite", name=_clean(name))
    for comparison in outcome.comparisons:
        _comparison(suite, comparison, moved=outcome.strict and comparison in outcome.improved)
    for event in outcome.events:
        _event(suite, event)
    if outcome.fault:
        case = Xml.SubElement(suite, "testcase", classname="check", name="every judged metric can be compared")
        Xml.SubElement(case, "error", message=_clean(outcome.fault))
    tally = {tag: len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "error", "skipped")}
    counts = {"tests": len(suite), "failures": tally["failure"], "errors": tally["error"], "skipped": tally["skipped"]}
    for element in (suites, suite):
        for attribute, count in counts.items():
            element.set(attribute, str(count))
    suite.set("time", "0")
    Xml.indent(suites)
    return bytes(Xml.tostring(suites, encoding="utf-8", xml_declaration=True))


def _comparison(suite: Xml.Element, comparison: Comparison, moved: bool) -> None:
    case = Xml.SubElement(
        suite, "testcase", classname=_clean(f"{comparison.metric}.{comparison.level}"), name=_clean(comparison.what)
    )
    if comparison.verdict == "worse" or moved:
        Xml.SubElement(case, "failure", message=_clean(sentence(comparison)), type=comparison.verdict)
    elif comparison.verdict == "cannot tell":
        Xml.SubElement(case, "skipped", message=_clean(f"cannot tell: {comparison.reason}"))


def _event(suite: Xml.Element, event: Happened) -> None:
    case = Xml.SubElement(suite, "testcase", classname=_clean(event.what), name=_clean(event.name))
    if event.alarming:
        Xml.SubElement(case, "failure", message=_clean(f"{event.what}: {event.reason}"), type=event.what)
    elif event.what != "new":
        Xml.SubElement(case, "skipped", message=_clean(f"{event.what}: {event.reason}"))


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


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
