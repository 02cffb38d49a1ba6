"""How much a suite file may hold, what numbers and texts it may name, and how YAML's shorthands are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_suite import SUITE, changed, complaint

from fmbench.errors import SuiteError, UserError, brief, did_you_mean
from fmbench.suite import ComponentRef, load_suite, read_suite, yaml_reader
from fmbench.suite import error_messages as words
from fmbench.suite.yaml_reader import MOST_BYTES, MOST_VALUES


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_text(SUITE + "#" + "x" * (MOST_BYTES - len(SUITE) - 1))
    assert load_suite(file).name == "low_nfe"
    file.write_text(SUITE + "#" + "x" * 10_000_000)
    with pytest.raises(SuiteError, match=r"a suite file has at most 1,048,576 bytes; found 10,000,406\."):
        load_suite(file)
    with pytest.raises(SuiteError, match="at most 1,048,576 bytes"):
        read_suite(SUITE, overrides=["description=" + "x" * (MOST_BYTES + 1)])


def test_reading_stops_where_a_text_holds_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = 0

    class Counting(yaml_reader._Loader):
        def fetch_more_tokens(self) -> None:
            nonlocal scanned
            scanned += 1
            super().fetch_more_tokens()

    monkeypatch.setattr(yaml_reader, "_Loader", Counting)
    found = complaint(changed("[1, 2]", "[" + "1," * 200_000 + "1]"))
    assert found.startswith("s.yaml:12:")
    assert found.endswith("a suite holds at most 50,000 keys and values; found more. Split it into several suites.")
    assert scanned < 3 * MOST_VALUES


def test_values_are_looked_up_and_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    equal = ComponentRef.__eq__

    def counting(one: ComponentRef, other: object) -> bool:
        nonlocal asked
        asked += 1
        return equal(one, other)

    monkeypatch.setattr(ComponentRef, "__eq__", counting)
    many = ", ".join(f"{{digits: {{size: {number}}}}}" for number in range(300))
    assert len(read_suite(changed("[digits]", f"[{many}]")).datasets) == 300
    assert asked < 300


def test_unknown_keys_are_compared_with_the_missing_ones_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    monkeypatch.setattr(words, "_nearest", lambda location: compared.append(location[-1]) or "")
    many = "".join(f"  key{number}: 1\n" for number in range(1000))
    assert complaint(changed("  steps: 1500\n", many)).endswith("... and 991 more problems.")
    assert len(compared) == words.MOST_COMPARED


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1500", "0x" + "f" * 10_000, "8:10: a whole number is at most 9,223,372,036,854,775,807; found 0xff"),
        ("1500", "9223372036854775808", "8:10: a whole number is at most 9,223,372,036,854,775,807; found 9223"),
        ("1500", "9" * 10_000, "8:10: 9999"),
        ("1500", "1000000001", "8:10: training.steps must be at most 1,000,000,000; found 1000000001."),
        ("width: 64", "width: -9223372036854775808", "7:28: a whole number is at most"),
        ("[1, 2]", "[1000000001]", "12:9: evaluation.nfe must be at most 1,000,000,000; found 1000000001."),
        ("[1, 2]", "[1]\n  samples: 1000000001", "13:12: evaluation.samples must be at most 1,000,000,000"),
        ("[1, 2]", "[1]\n  batch_size: 1000000001", "13:15: evaluation.batch_size must be at most 1,000,000,000"),
        ("[1, 2]", "[1]\n  keep_samples: 1000000001", "13:17: evaluation.keep_samples must be at most 1,000,000,000"),
        ("1500", "1500\n  batch_size: 1000000001", "9:15: training.batch_size must be at most 1,000,000,000"),
        ("1500", "1500\n  seeds: [0, 9223372036854775808]", "9:14: a whole number is at most 9,223,372,036,854,775"),
        ("{path: linear}", "{seed: 9223372036854775808}", "16:18: a whole number is at most"),
        ("[digits]", '["a\\0b"]', "3:12: text is Unicode without NUL; found the character '\\x00'. Remove it."),
        ("width: 64", 'width: "\\ud800"', "7:28: text is Unicode without NUL; found the character '\\ud800'."),
    ],
)
def test_numbers_and_texts_that_nothing_could_keep_are_refused(old: str, new: str, message: str) -> None:
    found = complaint(changed(old, new))
    assert found.startswith(f"s.yaml:{message}")
    assert len(found) < 300


def test_the_largest_seed_is_read_and_can_be_named() -> None:
    from fmbench.plan.selection import choice_test

    suite = read_suite(SUITE, overrides=["training.seeds=[9223372036854775807]"])
    assert suite.training.seeds == (2**63 - 1,)
    names = choice_test("9223372036854775807", "seed")
    assert names(2**63 - 1)
    assert not names(2**63 - 2)
    assert choice_test("1e1", "nfe")(10)


def test_a_part_of_a_huge_batch_is_found_without_trying_all_numbers() -> None:
    message = complaint(SUITE, "training.batch_size=999999937", "training.accumulate=999999936")
    assert "found 999999936, and batch_size is 999999937. Take 1, say." in message
    assert "Take 6, say." in complaint(SUITE, "training.batch_size=36", "training.accumulate=8")


def test_merge_keys_bring_in_the_keys_of_an_anchor() -> None:
    text = changed("{mlp: {width: 64}}", "{mlp: &base {width: 64, depth: 2}}, {mlp: {<<: *base, depth: 3}}")
    written = changed("{mlp: {width: 64}}", "{mlp: {width: 64, depth: 2}}, {mlp: {depth: 3, width: 64}}")
    suite = read_suite(text, "s.yaml")
    assert suite.settings() == read_suite(written).settings()
    merged = suite.training.networks[1]
    assert str(merged.place("width")) == "s.yaml:7:27"  # where it is written
    assert str(merged.place("depth")) == "s.yaml:7:68"


@pytest.mark.parametrize(
    ("inside", "read"),
    [
        ("<<: [*one, *two]", {"width": 1, "depth": 2, "power": 3}),
        ("<<: [*two, *one]", {"width": 9, "depth": 2, "power": 3}),
        ("power: 0, <<: [*one, *two]", {"width": 1, "depth": 2, "power": 0}),
        ("<<: {width: 5}", {"width": 5}),
        ("'<<': 5", {"<<": 5}),
    ],
)
def test_what_stands_in_the_mapping_and_what_is_merged_first_counts(inside: str, read: dict[str, int]) -> None:
    anchors = "{a: &one {width: 1, depth: 2}}, {b: &two {width: 9, power: 3}}"
    text = changed("{mlp: {width: 64}}", f"{anchors}, {{mlp: {{{inside}}}}}")
    assert read_suite(text).training.networks[2].parameters == read


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "lr: 1e-3",
            "lr: 1, <<: 3",
            "9:34: << takes the keys of a mapping that has an anchor, <<: *NAME after &NAME; found 3",
        ),
        ("lr: 1e-3", "<<: *x", "9:27: this is not YAML: found undefined alias 'x'."),
        ("lr: 1e-3", "<<: {lr: 1}, <<: {eps: 1}", "9:36: << is written twice; merge several mappings as <<: [*one, *"),
        ("{adamw: {lr: 1e-3}}", "&a {adamw: {<<: *a}}", "9:14: an alias contains itself; write the values out."),
        ("lr: 1e-3", "<<: {lr: 1, lr: 2}", "9:35: the key 'lr' is written twice; the first is at line 9."),
        ("lr: 1e-3", "<<: {lr: 0}", "9:32: training.optimizer.adamw.lr must be a number above 0; found 0."),
    ],
)
def test_a_merge_that_goes_wrong_is_said_at_its_place(old: str, new: str, message: str) -> None:
    assert complaint(changed(old, new)).startswith(f"s.yaml:{message}")


def test_merges_of_merges_are_bounded() -> None:
    chain = "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 8))
    assert "an alias expands to more than 50,000 values" in complaint("a0: &a0 {x: 1}\n" + chain + SUITE)


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("{adamw: {lr: 1e-3}}", "{adamw:{lr:1e-4}}", "9:22: unknown key 'lr:1e-4' in training.optimizer.adamw. A"),
        ("{adamw: {lr: 1e-3}}", "adamw:{lr:1e-4}", "9:14: training.optimizer: an optimizer is one of adamw, "),
        (
            "{adamw: {lr: 1e-3}}",
            "\n    adamw:\n      lr:1e-4",
            "11:7: training.optimizer.adamw: the parameters of adamw",
        ),
        ("steps: 1500", "steps:1500", "9:3: this is not YAML: could not find expected ':'"),
        ("name: low_nfe", "name:low_nfe", "2:12: this is not YAML: mapping values are not allowed here"),
    ],
)
def test_a_space_that_is_missing_after_a_colon_is_pointed_out(old: str, new: str, hint: str) -> None:
    message = complaint(changed(old, new))
    assert message.startswith(f"s.yaml:{hint}")
    assert " A colon needs a space after it: write '" in message
    assert "is missing" not in message


def test_a_parameter_without_its_space_is_pointed_out_too() -> None:
    assert did_you_mean("width:64", ["width", "depth"]) == " A colon needs a space after it: write 'width: 64'."
    assert did_you_mean("module:Class", ["width", "depth"]) == ""


def test_no_message_is_longer_than_somebody_reads() -> None:
    assert brief("short and long enough") == "short and long enough"
    message = str(UserError(f"first {'x' * 10_000} last, choose {', '.join(['some'] * 5_000)}\nsecond {'y' * 10_000}"))
    first, second = message.split("\n")
    assert first.startswith("first xxx")
    assert first.endswith("some, some")
    assert len(first) == 600
    assert second.startswith("second yyy")
    assert len(second) == len("second ") + 200
    for override in (f"training.{'x' * 10_000}=1", f"training.networks.{'x' * 10_000}.a=1", f"name={'x' * 10_000}"):
        assert len(complaint(SUITE, override)) < 1000
