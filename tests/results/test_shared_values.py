"""What many cells hold alike is kept once."""

from __future__ import annotations

import json

from fmbench.results.shared_values import SharedValues

IDENTITY = {"metric": "fid", "version": 2, "data": {"split": "test", "n": 10_000}}
ENTRY = {"a1b2": {"name": "fid", "values": {"fid": 1.5}, "identity": IDENTITY, "seconds": 0.25}}


def test_values_are_equal_to_what_was_read() -> None:
    read = json.loads(json.dumps({**ENTRY, "files": {"samples": [3, "f" * 64]}, "error": "x" * 500, "none": None}))
    assert SharedValues().of(read) == read
    assert list(SharedValues().of(read)) == list(read)
    assert SharedValues().of(None) is None


def test_names_and_identities_are_the_same_objects() -> None:
    shared = SharedValues()
    one, other = (shared.of(json.loads(json.dumps(ENTRY))) for _ in range(2))
    assert one["a1b2"]["identity"] is other["a1b2"]["identity"]
    assert all(a is b for a, b in zip(one["a1b2"], other["a1b2"], strict=True))
    assert one["a1b2"]["values"] is not other["a1b2"]["values"]


def test_identities_that_differ_stay_apart() -> None:
    shared = SharedValues()
    assert shared.of({"identity": {"version": 1}}) != shared.of({"identity": {"version": 1.0, "n": 1}})
    assert type(shared.of({"identity": {"version": 1.0}})["identity"]["version"]) is float
