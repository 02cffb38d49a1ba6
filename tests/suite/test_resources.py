"""What a suite says that a worker is given."""

from __future__ import annotations

import pytest
from test_suite import SUITE, complaint

from fmbench.suite import read_suite
from fmbench.suite.json_schema import suite_schema

LINE = SUITE.count("\n") + 1


def with_resources(text: str) -> str:
    return f"{SUITE}resources: {text}\n"


def test_resources_are_numbers_and_bytes_and_nothing_where_none_are_named() -> None:
    assert read_suite(SUITE).resources is None
    found = read_suite(with_resources("{gpu: 0.25, cpu: 2, memory: 4GB}")).resources
    assert found is not None
    assert found.named == (("gpu", 0.25), ("cpu", 2.0), ("memory", 4 * 10**9))
    assert dict(read_suite(with_resources("{memory: 512 MiB}")).resources.named) == {"memory": 2**29}
    assert dict(read_suite(with_resources("{memory: 1000}")).resources.named) == {"memory": 1000}
    assert read_suite(with_resources("{gpu: 0}")).resources.named == (("gpu", 0.0),)


def test_resources_are_set_on_the_command_line_and_written_again_as_read() -> None:
    suite = read_suite(SUITE, overrides=["resources.memory=1.5GB"])
    assert suite.settings()["resources"] == {"memory": 1_500_000_000}
    assert "resources" not in read_suite(SUITE).settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{gpu: -1}", "18: resources.gpu must be a number, 0 or more; found -1."),
        ("{cpu: 0}", "18: resources.cpu must be a number above 0; found 0."),
        ("{memory: 4XB}", "21: resources.memory must be a size, 4GB or 512MiB say, or a number of bytes; found '4XB'."),
        ("{memory: 0}", "21: resources.memory must be a size"),
        ("{memory: true}", "21: resources.memory must be a size"),
        ("{memory: 99999999999TB}", "21: resources.memory must be a size"),
        ("{gpus: 1}", "13: unknown key 'gpus' in resources. Did you mean 'gpu'? Allowed: gpu, cpu, memory."),
        ("4", "12: resources must be a mapping with the keys gpu, cpu, memory; found 4."),
    ],
)
def test_a_mistake_in_resources_has_its_place(text: str, message: str) -> None:
    assert complaint(with_resources(text)).startswith(f"s.yaml:{LINE}:{message}")


def test_editors_know_resources() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    section = suite_schema()["$defs"]["Resources"]
    validator = jsonschema.Draft202012Validator(section)
    for good in ({"gpu": 0.25, "cpu": 1, "memory": "4GB"}, {"memory": 10}, {"memory": "512 MiB"}, {"gpu": None}):
        assert validator.is_valid(good), good
    for bad in ({"gpu": -1}, {"memory": "4XB"}, {"memory": 0}, {"cores": 1}):
        assert not validator.is_valid(bad), bad
