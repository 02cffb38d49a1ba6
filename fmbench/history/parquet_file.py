"""The history file: one parquet file a suite, a row for each night, section, group, seed and metric.

Columns: `night` (counted from 0), the fields of NightFacts, `section`, one column an axis ("" where a section or an
adaptive solver has none), `seed`, `metric`, `value`, `status`, `identity`. The identity is the digest of what two
values must share to be comparable: the metric's own identity, and the settings of training and evaluation. The metadata
hold, as JSON under `fmbench`, the format, the suite, facts of the metrics, parameters of the components and what the
digests stand for; under `fmbench_checksum` the checksum of that. Pages carry checksums of their own.

A night is added under a lock, and the whole file is written under a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbench.cells.keys import canonical
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.errors import StoreError, UserError
from fmbench.history.history import History
from fmbench.history.night import AXIS_COLUMNS, Night, NightFacts
from fmbench.io.file_lock import StoppedWaiting, held
from fmbench.io.json_forms import OBJECT, TEXT, Each, parsed
from fmbench.io.regular_files import read_regular
from fmbench.results.snapshot_file import METRIC_FACTS, metric_facts
from fmbench.store.atomic_files import check_writable, write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
BODY, CHECKSUM = b"fmbench", b"fmbench_checksum"
MOST_BYTES = 2**31
"""A history that is larger is none of ours."""
FORMS = {"suite": TEXT, "metrics": Each(METRIC_FACTS), "components": Each(Each(OBJECT)), "texts": Each(OBJECT)}
"""The metadata."""
WAIT = 120.0
"""Seconds to wait for another process that adds a night."""
FACTS = tuple(field.name for field in fields(NightFacts))
KEEP = "restore it (git has it, where it was committed), or move it away to begin a new history"


def history_file(reports: Path, suite: str) -> Path:
    """Return where the history of a suite lies."""
    return reports / "history" / f"{suite}.parquet"


def append(night: Night, path: Path) -> int | None:
    """Add a night, and return its number, counted from 1; None where it repeats the newest one in every part.

    Two processes may add at the same time. Raises UserError where the file is damaged, of another suite or newer, and
    leaves it as it is.
    """
    with _locked(path):
        table, body = (None, None) if not path.exists() else _load(path, night.suite)
        number = 0
        if table is not None:
            newest = max(zip(table["night"].to_pylist(), table["content"].to_pylist(), strict=True))
            if newest[1] == night.facts.content:
                return None
            number = newest[0] + 1
        _write(path, _table(night, number), table, _body(night, body))
        return int(number) + 1


def verify(path: Path, suite: str) -> None:
    """Raise UserError where a night could not be added; a file that is not there yet is none."""
    if path.exists():
        _load(path, suite)


def read(path: Path, suite: str) -> History:
    """Read a suite's history. Raises UserError where there is none, or it is damaged, of another suite or newer."""
    if not path.exists():
        raise UserError(f"there is no history {path}: each complete `fmbench check` of {suite} adds a night to it.")
    table, body = _load(path, suite)
    frame = table.to_pandas(use_threads=False)
    each = frame.drop_duplicates("night").sort_values(["time", "night"])
    position = {number: index for index, number in enumerate(each["night"])}
    nights = [NightFacts(**row) for row in each[list(FACTS)].to_dict("records")]
    frame = frame.drop(columns=list(FACTS)).assign(night=frame["night"].map(position))
    return History(suite, nights, frame, metric_facts(body["metrics"]), body["components"], body["texts"])


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"dirty": pa.bool_(), "night": pa.int32(), "seed": pa.int64(), "value": pa.float64()}
    names = ("night", *FACTS, "section", *AXIS_COLUMNS, "seed", "metric", "value", "status", "identity")
    return pa.schema([(name, kinds.get(name, pa.string())) for name in names])


def _table(night: Night, number: int) -> pa.Table:
    import pyarrow as pa

    lacking = [("",) * (len(AXIS_COLUMNS) - len(value.group)) for value in night.values]
    rows = [
        (number, *astuple(night.facts), v.section, *v.group, *empty, v.seed, v.metric, v.value, v.status, v.identity)
        for v, empty in zip(night.values, lacking, strict=True)
    ]
    schema = _schema()
    if not rows:
        raise UserError(f"a night needs at least one value or failed cell; {night.suite} has none.")
    columns = [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.table(columns, schema=schema)


def _body(night: Night, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the metadata, which gather what all nights know; the newest night's word counts."""
    before = before or {}
    components = {kind: dict(labels) for kind, labels in before.get("components", {}).items()}
    for kind, labels in night.components.items():
        components[kind] = {**components.get(kind, {}), **labels}
    return {
        "format": FORMAT,
        "suite": night.suite,
        "metrics": {**before.get("metrics", {}), **{name: asdict(facts) for name, facts in night.metrics.items()}},
        "components": components,
        "texts": {**before.get("texts", {}), **night.texts},
    }


def _write(path: Path, new: pa.Table, old: pa.Table | None, body: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = canonical(dict(body)).encode()
    table = new if old is None else pa.concat_tables([old.replace_schema_metadata(None), new])
    table = table.replace_schema_metadata({BODY: text, CHECKSUM: hashlib.sha256(text).hexdigest()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    write_atomically(path, buffer.getvalue())


def _load(path: Path, suite: str) -> tuple[pa.Table, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise UserError(f"the history {path} cannot be read: {error.strerror}.") from error
    try:
        # Without threads: those that are still at it when the process ends abort it (pyarrow 25.0.1).
        with pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True, pre_buffer=False) as file:
            table = file.read(use_threads=False)
        metadata = table.schema.metadata or {}
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"the history {path} is damaged, or no parquet file ({reason}): {KEEP}.") from error
    if BODY not in metadata:
        raise UserError(f"{path} is not a history of fmbench: it says no format; {KEEP}.")
    if hashlib.sha256(metadata[BODY]).hexdigest().encode() != metadata.get(CHECKSUM):
        raise UserError(f"the history {path} is damaged: its metadata do not have the checksum on record; {KEEP}.")
    body = _body_of(metadata[BODY], path)
    if body["format"] != FORMAT:
        raise UserError(
            f"the history {path} has format {body['format']!r}, and this fmbench reads {FORMAT}: use the fmbench that "
            "wrote it, or move it away to begin a new history."
        )
    if body["suite"] != suite:
        raise UserError(f"the history {path} is of the suite {body['suite']!r}, and this is {suite!r}: {KEEP}.")
    table = _with_settings(table)
    if not table.schema.equals(_schema()) or not len(table):
        raise UserError(f"the history {path} is damaged: it has other columns than were written; {KEEP}.")
    return table, body


def _with_settings(table: pa.Table) -> pa.Table:
    """Return the nights with the axes of settings, blank where they were written before there were such axes."""
    import pyarrow as pa

    place = _schema().names.index(SETTING_AXES[0])
    if set(SETTING_AXES) & set(table.column_names) or table.num_columns < place:
        return table
    for number, axis in enumerate(SETTING_AXES):
        table = table.add_column(place + number, axis, pa.array([""] * len(table), pa.string()))
    return table


def _body_of(text: bytes, path: Path) -> dict[str, Any]:
    """Return the metadata, once they have all parts. A newer format may have others, and is refused by its number."""
    try:
        body = parsed(text)
    except ValueError as error:
        raise UserError(f"the history {path} is damaged: its metadata are not JSON ({error}); {KEEP}.") from error
    if not isinstance(body, dict) or "format" not in body:
        raise UserError(f"the history {path} is damaged: its metadata say no format; {KEEP}.")
    wrong = [name for name, form in FORMS.items() if form.misfit(body.get(name))]
    if "metrics" in wrong and isinstance(body.get("metrics"), dict):
        facts = (f"metrics.{name}" for name, each in body["metrics"].items() if METRIC_FACTS.misfit(each))
        wrong = [name for name in wrong if name != "metrics"] + list(facts)
    if body["format"] == FORMAT and wrong:
        raise UserError(f"the history {path} is damaged: its metadata lack {', '.join(wrong)}; {KEEP}.")
    return body


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    check_writable(path.parent)
    ends = time.monotonic() + WAIT
    try:
        with held(path.with_name(f".{path.name}.lock"), lambda: time.monotonic() < ends):
            yield
    except StoppedWaiting:
        raise StoreError(f"another process has held {path} for {WAIT:.0f} s; try again when it is done.") from None
