"""What a suite file means, and what is said of a wrong one: place, rule, what was found, nearest name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from fmbench.errors import SuiteError
from fmbench.plan.training_settings import training_settings
from fmbench.suite import ComponentRef, load_suite, read_suite, suite_schema

SUITE = """\
name: low_nfe
description: Which path?
datasets: [digits]
training:
  paths: [linear, {lipman: {sigma_min: 1e-3}}]
  t_distributions: [uniform, {beta: {alpha: 0.5, beta: 0.5}}]
  networks: [{mlp: {width: 64}}]
  steps: 1500
  optimizer: {adamw: {lr: 1e-3}}
evaluation:
  solvers: [euler, heun]
  nfe: [1, 2]
  metrics: [distance]
exclude:
  - {path: linear, t_distribution: beta}
baseline: {path: linear}
"""


def changed(old: str, new: str) -> str:
    assert SUITE.count(old) == 1, old
    return SUITE.replace(old, new)


def complaint(text: str, *overrides: str) -> str:
    with pytest.raises(SuiteError) as error:
        read_suite(text, "s.yaml", overrides)
    message = str(error.value)
    assert "pydantic" not in message
    return message


def test_a_suite_is_typed_and_has_defaults() -> None:
    suite = read_suite(SUITE)
    assert suite.training.paths == (ComponentRef("linear"), ComponentRef("lipman", {"sigma_min": 0.001}))
    assert suite.training.couplings == suite.training.couplings == (ComponentRef("independent"),)
    assert suite.evaluation.guidance == (1.0,)
    assert suite.training.seeds == (0,)
    assert suite.training.optimizer[0].model_dump() == {
        "name": "adamw",
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.01,
    }
    assert suite.exclude[0].axes == {"path": (ComponentRef("linear"),), "t_distribution": (ComponentRef("beta"),)}
    assert suite.baseline_labels() == {"path": "linear"}
    with pytest.raises(ValidationError, match="frozen"):
        suite.name = "other"  # type: ignore[misc]


def test_every_component_and_parameter_knows_its_place() -> None:
    lipman = read_suite(SUITE, "s.yaml").training.paths[1]
    assert str(lipman.where) == "s.yaml:5:19"
    assert str(lipman.place("sigma_min")) == "s.yaml:5:29"


def test_one_value_stands_for_a_list_of_one() -> None:
    text = changed("[digits]", "digits").replace("nfe: [1, 2]", "nfe: 1").replace("[euler, heun]", "{euler: null}")
    listed = changed("nfe: [1, 2]", "nfe: [1]").replace("[euler, heun]", "[euler]")
    assert read_suite(text).settings() == read_suite(listed).settings()


def test_the_resolved_settings_are_the_same_suite_and_plain_json() -> None:
    suite = read_suite(SUITE, overrides=["training.schedule={cosine: {warmup: 5}}", "training.gradient_clip=1"])
    settings = suite.settings()
    assert read_suite(yaml.safe_dump(settings)).settings() == settings == json.loads(json.dumps(settings))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("+7", 7),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("yes", "yes"),
        ("off", "off"),
        ("'1'", "1"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("~", None),
        ("True", True),
        ("[a, 1, {b: null}]", ["a", 1, {"b": None}]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    (network,) = read_suite(SUITE, overrides=[f"training.networks=[{{mlp: {{width: {text}}}}}]"]).training.networks
    assert network.parameters["width"] == value
    assert type(network.parameters["width"]) is type(value)


WRONG = [
    # Keys
    ("steps: 1500", "stesp: 1500", "8:3: unknown key 'stesp' in training. Did you mean 'steps'? Allowed: paths, "),
    ("name: low_nfe", "name: low_nfe\nnfe: 3", "2:1: unknown key 'nfe' in a suite. It belongs to evaluation. Allowed:"),
    ("steps: 1500", "steps: 1\n  zip: []", "9:3: unknown key 'zip' in training. It belongs to the top level."),
    (
        "lr: 1e-3",
        "lr: 1, beta: [0.9, 0.99]",
        "9:30: unknown key 'beta' in training.optimizer.adamw. Did you mean 'betas'?",
    ),
    (
        "{path: linear}",
        "{paths: linear}",
        "16:12: unknown key 'paths' in baseline. Did you mean 'path'? Allowed: dataset",
    ),
    ("  steps: 1500\n", "", "5:3: the key 'steps' is missing in training (Optimiser steps). Add it."),
    ("name: low_nfe\n", "", "1:1: the key 'name' is missing in a suite"),
    ("lr: 1e-3", "eps: 1e-3", "9:22: the key 'lr' is missing in training.optimizer.adamw (Learning rate). Add it."),
    (
        "steps: 1500",
        "steps: 1\n  paths: [a]",
        "9:3: the key 'paths' is written twice; the first is at line 5. Remove one of them.",
    ),
    ("width: 64", "1: 64", "7:21: a key is a word; found 1."),
    # Types and ranges
    ("steps: 1500", "steps: many", "8:10: training.steps must be a whole number, 1 or more; found 'many'."),
    ("steps: 1500", "steps: 1.5e3", "8:10: training.steps must be a whole number, 1 or more; found 1500.0."),
    ("steps: 1500", "steps: true", "8:10: training.steps must be a whole number, 1 or more; found true."),
    ("steps: 1500", "steps: 0", "8:10: training.steps must be a whole number, 1 or more; found 0."),
    ("steps: 1500", "steps:", "8:9: training.steps must be a whole number, 1 or more; found nothing (null)."),
    ("steps: 1500", "steps: 1\n  ema: 1.0", "9:8: training.ema must be a number from 0 to below 1; found 1.0."),
    (
        "steps: 1500",
        "steps: 1\n  ema: {decay: 1}",
        "9:16: training.ema.decay must be a number from 0 to below 1; found 1.",
    ),
    ("steps: 1500", "steps: 1\n  ema: {warmup: 10}", "9:17: training.ema.warmup must be true or false; found 10."),
    ("steps: 1500", "steps: 1\n  ema: {warm: true}", "9:9: unknown key 'warm' in training.ema. Did you mean 'warmup'?"),
    ("steps: 1500", "steps: 1\n  seeds: [0, -1]", "9:14: training.seeds must be a whole number, 0 or more; found -1."),
    ("steps: 1500", "steps: 1\n  batch_size: 0", "9:15: training.batch_size must be a whole number, 1 or more"),
    ("steps: 1500", "steps: 1\n  label_dropout: 1", "9:18: training.label_dropout must be a number from 0 to below 1"),
    ("steps: 1500", "steps: 1\n  gradient_clip: 0", "9:18: training.gradient_clip must be a number above 0, or null"),
    (
        "steps: 1500",
        "steps: 1\n  class_conditional: yes",
        "9:22: training.class_conditional must be true or false; found 'yes'",
    ),
    (
        "steps: 1500",
        "steps: 1\n  accumulate: 0",
        "9:15: training.accumulate must be a whole number, 1 or more; found 0.",
    ),
    (
        "steps: 1500",
        "steps: 1\n  accumulate: 48",
        "9:15: training.accumulate: accumulate must divide batch_size; found 48, and batch_size is 128. Take 32, say.",
    ),
    (
        "steps: 1500",
        "steps: 1\n  compile: maybe",
        "9:12: training.compile must be auto, true or false; found 'maybe'.",
    ),
    (
        "steps: 1500",
        "steps: 1\n  precision: bf61",
        "9:14: training.precision: a precision is one of auto, float32, bf16;",
    ),
    ("lr: 1e-3", "lr: 0", "9:27: training.optimizer.adamw.lr must be a number above 0; found 0."),
    ("lr: 1e-3", "lr: fast", "9:27: training.optimizer.adamw.lr must be a number above 0; found 'fast'."),
    ("lr: 1e-3", "lr: .inf", "9:27: a number must be finite; found .inf."),
    ("lr: 1e-3", "lr: 1e999", "9:27: a number must be finite; found 1e999."),
    ("lr: 1e-3", "lr: 1, betas: 0.9", "9:37: training.optimizer.adamw.betas must be two numbers from 0 to below 1"),
    ("[1, 2]", "[1, 0]", "12:12: evaluation.nfe must be a whole number, 1 or more; found 0."),
    ("[1, 2]", "[1]\n  samples: 0", "13:12: evaluation.samples must be a whole number, 1 or more; found 0."),
    ("[1, 2]", "[1]\n  guidance: [true]", "13:14: evaluation.guidance must be a finite number (the weight"),
    ("name: low_nfe", "name: low nfe", "1:7: name must be letters, digits, _ and - "),
    ("name: low_nfe", "name: ../x", "1:7: name must be letters, digits, _ and - "),
    ("{path: linear}", "{nfe: 0}", "16:17: baseline.nfe must be a whole number, 1 or more; found 0."),
    ("{path: linear}", "{}", "16:11: baseline: this selects nothing: name one axis or more of dataset, path,"),
    ("{path: linear}", "linear", "16:11: baseline must be a mapping with the keys dataset, path,"),
    # Choices
    (
        "adamw",
        "adamm",
        "9:14: training.optimizer: an optimizer is one of adamw, adam, adamax, sgd; found 'adamm'. Did you mean 'adam",
    ),
    (
        "{adamw: {lr: 1e-3}}",
        "[[adam]]",
        "9:15: training.optimizer: an optimizer is written as its name or as {name: {param",
    ),
    (
        "{adamw: {lr: 1e-3}}",
        "{sgd: {lr: 1, nesterov: true}}",
        "9:38: training.optimizer.sgd.nesterov: nesterov needs a mo",
    ),
    (
        "lr: 1e-3}}",
        "lr: 1}}\n  schedule: cosin",
        "10:13: training.schedule: a schedule is one of constant, cosine; found",
    ),
    (
        "lr: 1e-3}}",
        "lr: 1}}\n  schedule: {cosine: {warmup: 1500}}",
        "10:31: training.schedule.cosine.warmup: warmup must end",
    ),
    (
        "lr: 1e-3}}",
        "lr: 1}}\n  schedule: {constant: {final: 0}}",
        "10:25: unknown key 'final' in training.schedule.const",
    ),
    # Components
    ("[digits]", "[3]", "3:12: datasets: a dataset is written as its name or as {name: {parameters}}; found 3."),
    (
        "[digits]",
        "[{digits: 3}]",
        "3:21: datasets.digits: the parameters of digits are a mapping, {parameter: value}; found 3",
    ),
    (
        "[digits]",
        "[{digits: null, size: 3}]",
        "3:12: datasets: a dataset is written as its name or as {name: {parameters}}",
    ),
    ("[digits]", "[{}]", "3:12: datasets: a dataset is written as its name or as {name: {parameters}}; found {}."),
    # Axes
    ("[digits]", "[]", "3:11: datasets: the list is empty; it needs one value or more."),
    ("[digits]", "", "3:10: datasets: the list is empty; it needs one value or more."),
    ("[digits]", "[digits, moons, digits]", "3:27: digits stands twice in datasets. Remove one of them."),
    ("[1, 2]", "[1, 2, 1]", "12:15: 1 stands twice in evaluation.nfe. Remove one of them."),
    ("[digits]", "[{a: {b: 1}}, {a: {b: 1}}]", "3:25: a(b=1) stands twice in datasets. Remove one of them."),
    ("[distance]", "[a, a]", "13:16: a stands twice in evaluation.metrics. Remove one of them."),
    ("metrics:", "guidance: [1, 1]\n  metrics:", "13:17: 1 stands twice in evaluation.guidance. Remove one of them."),
    ("[digits]", "[digits]\nmodels: [a, a]", "4:13: a stands twice in models. Remove one of them."),
    ("[digits]", "[digits]\nmodels: [a]\nmodel_seeds: [0, 0]", "5:18: 0 stands twice in model_seeds. Remove one of"),
    # zip
    ("baseline", "zip: [[paths, path]]\nbaseline", "16:15: zip: an axis is one of datasets, paths, "),
    (
        "baseline",
        "zip: [paths, nfe]\nbaseline",
        "16:7: a group of zip names two or more axes, [[paths, t_distributions]] say",
    ),
    (
        "baseline",
        "zip: [[paths, seeds]]\nbaseline",
        "16:7: axes that run in step need as many values each; paths has 2, see",
    ),
    (
        "baseline",
        "zip: [[paths, nfe], [nfe, solvers]]\nbaseline",
        "16:21: an axis can run in step with one group only; nfe is",
    ),
    # YAML
    ("[digits]", "[digits", "4:9: this is not YAML: expected ',' or ']'"),
    ("  steps: 1500", "\tsteps: 1500", "8:1: this is not YAML: found character '\\t' that cannot start any token"),
    (
        "[digits]",
        "[!!python/name:os.system digits]",
        "3:12: tags are not part of a suite; found !!python/name:os.system.",
    ),
    ("[digits]", "&a [*a]", "3:11: an alias contains itself; write the values out."),
    ("low_nfe", "low\x07", "1:10: this is not YAML: the character '\\x07' is not allowed."),
    ("baseline", "---\nbaseline", "16:1: this is not YAML: but found another document"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG, ids=[new or f"no {old.strip()}" for old, new, _ in WRONG])
def test_what_is_wrong_is_said_at_its_place(old: str, new: str, message: str) -> None:
    first = complaint(changed(old, new)).splitlines()[0]
    assert first.startswith(f"s.yaml:{message}")


def test_the_same_axis_may_repeat_a_value_where_axes_run_in_step() -> None:
    text = changed("[1, 2]", "[4, 4]").replace("baseline", "zip: [[solvers, nfe]]\nbaseline")
    assert read_suite(text).zipped == [("solver", "nfe")]
    twice = text.replace("[euler, heun]", "[euler, euler]")
    assert complaint(twice) == "s.yaml:11:20: euler, 4 stands twice in the zipped solvers, nfe. Remove one."


def test_all_problems_are_named_at_once_in_the_order_of_the_file() -> None:
    text = changed("steps: 1500", "stesp: 1500").replace("[1, 2]", "[0, x]").replace("[digits]", "[]")
    lines = complaint(text).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "s.yaml:3:11",
        "s.yaml:8:3",
        "s.yaml:12:9",
        "s.yaml:12:12",
    ]


def test_at_most_ten_problems_are_named() -> None:
    lines = complaint(changed("[1, 2]", str([0] * 30))).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "... and 20 more problems."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.yaml: the file is empty. A suite is a mapping with the keys name,"),
        ("# nothing\n", "s.yaml: the file is empty."),
        ("- a\n- b\n", "s.yaml:1:1: a suite is a mapping with the keys name, "),
        ("low_nfe", "s.yaml:1:1: a suite is a mapping with the keys name, "),
        ("3", "s.yaml:1:1: a suite is a mapping with the keys name, "),
        ("[" * 5000, "s.yaml: the values are nested too deeply to be a suite."),
        (
            "a: &a [0,0,0,0,0,0,0,0,0,0]\n"
            + "".join(f"{chr(c + 1)}: &{chr(c + 1)} [{','.join(['*' + chr(c)] * 10)}]\n" for c in range(97, 104)),
            "s.yaml:1:14: an alias expands to more than 50,000 values",
        ),
    ],
    ids=["empty", "comment", "list", "word", "number", "deep", "aliases"],
)
def test_a_file_that_cannot_be_a_suite_is_refused(text: str, message: str) -> None:
    assert complaint(text).startswith(message)


def test_aliases_are_the_values_that_they_stand_for() -> None:
    text = changed("[digits]", "&d [digits]").replace("[distance]", "*d")
    assert read_suite(text).evaluation.metrics == (ComponentRef("digits"),)


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    for name in ("smoke.yaml", "low_nfe.yaml", "notes.txt"):
        (tmp_path / name).write_text(SUITE)
    with pytest.raises(SuiteError) as error:
        load_suite(tmp_path / "low_nef.yaml")
    assert str(error.value) == (
        f"{tmp_path}/low_nef.yaml: there is no such suite file. Did you mean 'low_nfe.yaml'? "
        f"The folder {str(tmp_path)!r} holds low_nfe.yaml, smoke.yaml."
    )
    with pytest.raises(SuiteError, match=r"smoke: there is no such suite file. Did you mean 'smoke.yaml'"):
        load_suite(tmp_path / "smoke")
    with pytest.raises(SuiteError, match=r"there is no such suite file. The folder '.*/nowhere' does not exist."):
        load_suite(tmp_path / "nowhere" / "smoke.yaml")
    with pytest.raises(SuiteError, match=r"this is a folder. The folder '.*' holds low_nfe.yaml, smoke.yaml"):
        load_suite(tmp_path)


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"name: a\ndescription: caf\xe9\n")
    with pytest.raises(SuiteError) as error:
        load_suite(file)
    assert str(error.value).startswith(f"{file}:2:17: a suite is UTF-8 text; byte 0xe9 is not.")


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SUITE.replace("\n", "\r\n").encode())
    assert load_suite(file).settings() == read_suite(SUITE).settings()
    assert load_suite(file).path == str(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret.yaml"
    file.write_text(SUITE)
    file.chmod(0)
    with pytest.raises(SuiteError, match="the suite file cannot be read: Permission denied"):
        load_suite(file)


@pytest.mark.parametrize(
    ("override", "old", "new"),
    [
        ("training.steps=200", "1500", "200"),
        ("training.optimizer.adamw.lr=0.01", "lr: 1e-3", "lr: 0.01"),
        ("training.networks=[mlp]", "[{mlp: {width: 64}}]", "[mlp]"),
        ("training.networks.mlp.width=8", "width: 64", "width: 8"),
        ("training.networks.0.mlp.width=8", "width: 64", "width: 8"),
        ("training.paths.linear.a=1", "[linear,", "[{linear: {a: 1}},"),
        ("training.paths.0=cosine", "[linear,", "[cosine,"),
        ("evaluation.nfe.1=8", "[1, 2]", "[1, 8]"),
        ("datasets.0=moons", "[digits]", "[moons]"),
        ("training.ema=0", "1500", "1500\n  ema: 0"),
        ("training.ema.warmup=false", "1500", "1500\n  ema: {decay: 0.999, warmup: false}"),
        ("training.schedule.cosine.warmup=5", "1500", "1500\n  schedule: {cosine: {warmup: 5}}"),
        ("description=a=b", "Which path?", "a=b"),
        ("exclude=null", "exclude:\n  - {path: linear, t_distribution: beta}\n", ""),
    ],
)
def test_an_override_is_an_edit_of_the_file(override: str, old: str, new: str) -> None:
    assert read_suite(SUITE, overrides=[override]).settings() == read_suite(changed(old, new)).settings()


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("0.99", 0.99),
        ("{decay: 0.99}", 0.99),
        ("{decay: 0.99, warmup: true}", 0.99),
        ("{}", 0.999),
        ("{decay: 0, warmup: false}", 0.0),
        ("{decay: 0.99, warmup: false}", {"decay": 0.99, "warmup": False}),
        ("{warmup: false}", {"decay": 0.999, "warmup": False}),
    ],
)
def test_an_average_is_a_number_where_it_is_warmed_up(written: str, canonical: object) -> None:
    """So it is in settings, and in cells: what was written before it could be said otherwise is the same."""
    suite = read_suite(changed("1500", f"1500\n  ema: {written}"))
    assert suite.settings()["training"]["ema"] == canonical
    assert training_settings(suite.training)["ema"] == canonical
    assert json.dumps(training_settings(suite.training)["ema"]) == json.dumps(canonical)
    assert read_suite(SUITE).settings()["training"]["ema"] == 0.999


def test_later_overrides_win_and_a_name_opens_up() -> None:
    overrides = [
        "training.schedule=cosine",
        "training.schedule.cosine.warmup=5",
        "training.steps=6",
        "training.steps=7",
    ]
    suite = read_suite(SUITE, overrides=overrides)
    assert suite.training.schedule[0].model_dump() == {"name": "cosine", "warmup": 5, "final": 0.0}
    assert suite.training.steps == (7,)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.stesp=200", "unknown key 'stesp' in training. Did you mean 'steps'?"),
        ("trainin.steps=200", "unknown key 'trainin' in a suite. Did you mean 'training'?"),
        ("training.steps=few", "training.steps must be a whole number, 1 or more; found 'few'."),
        ("training.steps.x=1", "steps is 1500, which holds no 'x'. Set steps as a whole."),
        ("training.steps", "an override is written KEY.KEY=VALUE, training.steps=200 say."),
        (".steps=1", "an override is written KEY.KEY=VALUE, training.steps=200 say."),
        ("training.networks.mpl.width=1", "the list holds no 'mpl'. Did you mean 'mlp'? It holds mlp."),
        ("evaluation.nfe.7=1", "the list has 2 entries, counted from 0; found the index 7."),
        ("evaluation.nfe=[1", "this is not YAML: expected ',' or ']'"),
        ("evaluation.nfe=[]", "evaluation.nfe: the list is empty; it needs one value or more."),
        ("evaluation.nfe=[2, 2]", "2 stands twice in evaluation.nfe."),
        ("training.optimizer={sgd: {lr: .nan}}", "a number must be finite; found .nan."),
    ],
)
def test_a_wrong_override_is_named_in_place_of_the_file(override: str, message: str) -> None:
    assert complaint(SUITE, override).startswith(f"--set {override}: {message}")


def test_a_name_that_stands_twice_in_a_list_needs_an_index() -> None:
    text = changed("[digits]", "[{a: {b: 1}}, {a: {b: 2}}]")
    assert "give the index from 0" in complaint(text, "datasets.a.b=3")
    assert read_suite(text, overrides=["datasets.1.a.b=3"]).datasets[1].parameters == {"b": 3}


def test_the_schema_accepts_what_is_read_and_refuses_what_is_not() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    width = {"type": "object", "properties": {"width": {"type": "integer"}}, "additionalProperties": False}
    schema = suite_schema({"network": {"mlp": width}, "metric": {"distance": {"type": "object", "required": ["a"]}}})
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    file = yaml.safe_load(SUITE.replace("1e-3", "0.001"))
    file["evaluation"]["metrics"] = [{"distance": {"a": 1}}]
    assert validator.is_valid(file)
    for section, key, value in [
        ("training", "networks", ["mlp"]),
        ("training", "networks", {"mlp": None}),
        ("training", "schedule", "cosine"),
        ("training", "ema", 0.99),
        ("training", "ema", {"warmup": False}),
        ("evaluation", "nfe", 4),
    ]:
        assert validator.is_valid({**file, section: {**file[section], key: value}}), (key, value)
    for section, key, value in [
        ("training", "networks", ["mpl"]),
        ("training", "networks", [{"mlp": {"width": "wide"}}]),
        ("training", "optimizer", "adamw"),
        ("training", "steps", 0),
        ("training", "stesp", 1),
        ("training", "ema", 1),
        ("training", "ema", {"decay": 1}),
        ("training", "ema", {"warmup": 10}),
        ("evaluation", "nfe", []),
        ("evaluation", "metrics", ["distance"]),
    ]:
        assert not validator.is_valid({**file, section: {**file[section], key: value}}), (key, value)


def test_the_schema_wants_a_training_or_models_and_has_no_default_that_it_refuses() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = suite_schema()
    validator, file = jsonschema.Draft202012Validator(schema), yaml.safe_load(SUITE.replace("1e-3", "0.001"))
    neither = {key: value for key, value in file.items() if key != "training"}
    assert not validator.is_valid(neither)
    assert validator.is_valid({**neither, "models": ["empirical_oracle"], "model_seeds": [0, 1]})
    assert not validator.is_valid({**neither, "models": []})
    for name, held in schema["properties"].items():
        if "default" in held:
            assert validator.evolve(schema={**held, "$defs": schema["$defs"]}).is_valid(held["default"]), name


def test_reading_a_suite_imports_no_torch_and_no_registry() -> None:
    unwanted = ("torch", "mlflow", "fmbench.plugins.registry")
    code = f"import sys, fmbench.suite; print([m for m in {unwanted} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
