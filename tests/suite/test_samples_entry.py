"""Entries of `samples` in a suite: what may be written together, and that it is the same when it is written again."""

from __future__ import annotations

import pytest
import yaml

from fmbench.errors import SuiteError
from fmbench.suite import read_suite

SUITE = "name: s\ndatasets: [digits]\nsamples:\n  - {{{}}}\nevaluation: {{samples: 10, metrics: [energy_distance]}}\n"


def test_what_was_read_is_the_same_when_it_is_written_and_read_again() -> None:
    text = SUITE.format(
        "files: [a.npz, b.npz], name: edm, nfe: 35, value_range: [-1, 1], seeds: [3, 4], dataset: digits"
    )
    suite = read_suite(text)
    assert read_suite(yaml.safe_dump(suite.settings())).settings() == suite.settings()
    assert "training" not in suite.settings()


@pytest.mark.parametrize(
    ("entry", "at", "text"),
    [
        ("folder: a, file: b.npz, name: x", "b.npz", "samples lie in one of folder, folders, file and files"),
        ("name: x", "{", "samples lie in one of folder, folders, file and files; found none"),
        ("folder: a", "{", "the key 'name' is missing in samples"),
        ("folder: a, name: x, layout: NCHW", "NCHW", "layout is for arrays in a file"),
        ("folder: a, name: x, labels: y", "y}", "labels of pictures are written labels: subfolders"),
        ("file: a.npz, name: x, layout: HWC", "HWC", "a layout is one of NCHW, NHWC; found 'HWC'"),
        ("file: a.npz, name: x, value_range: [1, 0]", "[1", "black below white; found [1.0, 0.0]"),
        ("file: a.npz, name: x, value_range: 255", "255", "must be two numbers, [0, 1] say; found 255"),
        ("folders: [a, a], name: x", "[a", "folders names one place twice"),
        ("folders: [a, b], name: x, seeds: [1]", "[1", "seeds are as many as there are places"),
        ('folder: a, name: "a\\nb"', '"a', "a name is one line of letters that can be seen, without spaces around it"),
        ("folder: a, name: ' '", "' '", "without spaces around it; found ' '"),
        ("folder: a, name: x, nfe: 0", "0}", "a whole number, 1 or more, or left out; found 0"),
        ("folder: a, name: x, metric: fid", "metric", "unknown key 'metric' in samples"),
    ],
)
def test_a_mistake_is_said_where_it_stands(entry: str, at: str, text: str) -> None:
    written = SUITE.format(entry)
    with pytest.raises(SuiteError) as raised:
        read_suite(written)
    assert text in str(raised.value)
    column = written.splitlines()[3].index(at) + 1
    assert str(raised.value).startswith(f"suite.yaml:4:{column}: ")


def test_without_samples_solvers_and_nfe_are_needed() -> None:
    text = (
        "name: s\ndatasets: [moons]\ntraining: {paths: linear, networks: mlp, steps: 1}\nevaluation: {metrics: [nfe]}\n"
    )
    with pytest.raises(SuiteError, match="the key 'solvers' is missing in evaluation"):
        read_suite(text)
    with pytest.raises(SuiteError, match="under 'models' or 'samples' what exists already"):
        read_suite("name: s\ndatasets: [moons]\nevaluation: {metrics: [nfe]}\n")
