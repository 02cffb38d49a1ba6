"""The samples on the page: sheets of pictures from the same noise, or points in the plane, as many as there is room."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fmbench.io.printable_text import count
from fmbench.report.figures.sample_grids import Samples, frame_of, load_samples, shape_of
from fmbench.report.page_data.columns import seed_of
from fmbench.report.page_data.flows import flows_data
from fmbench.report.page_data.plane_points import LEVELS, Frame, quantised
from fmbench.report.page_data.ranks import row_ranks
from fmbench.report.result_table import ResultTable
from fmbench.results.image_grid import grid_of_images, shrunk
from fmbench.results.records import EvaluationRecord, Records

COLUMNS, PICTURES, POINTS = 4, 16, 256
LARGEST_SIDE, TINY = 64, 16
"""Pictures are shrunk to the first; up to the second they are kept to the bit, and shown in squares."""
QUALITY, EFFORT = 80, 2
"""WebP's; more effort would save little and take long."""
GREY = 128
"""Between the pictures of a sheet: seen on light and on dark pages."""

Order = Sequence[int]
"""Entries, the most wanted first."""


def samples_data(
    records: Records, data: Mapping[str, Any], result_tables: Sequence[ResultTable], room: int
) -> dict[str, Any]:
    """Return the samples of each dataset. `data` is the page's payload; all together have about `room` bytes."""
    share = room // max(len(result_tables), 1)
    of_each = zip(data["datasets"], result_tables, strict=True)
    return {"datasets": [_dataset(records, table, data, dataset, share) for dataset, table in of_each]}


def _dataset(
    records: Records, result_table: ResultTable, data: Mapping[str, Any], dataset: Mapping[str, Any], room: int
) -> dict[str, Any]:
    stored = _stored(result_table, dataset)
    shape = next(filter(None, (shape_of(record.samples) for record in stored.values())), None)
    if shape is None:
        return {"kind": "none", "note": "There are no samples to show."}
    seed = seed_of(next(iter(stored.values())))
    real = load_samples(records.real.get(result_table.dataset), POINTS if shape == (2,) else PICTURES)
    order = [entry for entry in wanted(data, dataset) if entry in stored]
    if shape == (2,):
        return _points(stored, order, real, seed, result_table, dataset, room)
    if len(shape) == 3 and shape[0] in (1, 3):
        return _images(stored, order, real, seed, shape, room)
    return {"kind": "none", "note": f"Samples of shape {shape} have no picture here."}


def _stored(result_table: ResultTable, dataset: Mapping[str, Any]) -> dict[int, EvaluationRecord]:
    """Return the record of each entry whose samples are shown: that of one seed, or the first of what was made
    elsewhere.
    """
    keys = {record.cell.key: record for group in result_table.cells.values() for record in group}
    first: int | None = None
    found: dict[int, EvaluationRecord] = {}
    elsewhere = set(dataset["rows"]["elsewhere"])
    for entry, row in enumerate(dataset["entries"]["row"]):
        of_seeds = [keys[of_seed[entry]] for of_seed in dataset["cells"]["key"] if of_seed[entry] is not None]
        having = [r for r in of_seeds if r.status == "ok" and r.samples is not None]
        if row not in elsewhere and having and first is None:
            first = seed_of(having[0])
        mine = [r for r in having if row in elsewhere or seed_of(r) == first]
        if mine:
            found[entry] = mine[0]
    return found


def wanted(data: Mapping[str, Any], dataset: Mapping[str, Any]) -> Order:
    """Return all entries: those of the rows that win somewhere, and of what they are compared with, then by rank."""
    rows, entries = dataset["rows"], dataset["entries"]
    winners = [winner["row"] for winner in dataset["winners"] if winner["row"] is not None]
    compared = [rows["against"][row] for row in winners if rows["against"][row] is not None]
    ranks = row_ranks(data, dataset)
    base = sorted(rows["baseline"], key=lambda row: ranks[row])[:1]
    by_rank = sorted(range(len(ranks)), key=lambda row: ranks[row])
    place = {row: n for n, row in enumerate(dict.fromkeys([*winners, *compared, *base, *by_rank]))}
    return sorted(range(len(entries["row"])), key=lambda entry: (place[entries["row"][entry]], entry))


def _fitting(order: Order, pieces: Iterator[tuple[int, Any]], room: int) -> tuple[dict[str, Any], int]:
    """Return pieces by entry until the room is full, and how many entries with samples have none."""
    found: dict[str, Any] = {}
    for entry, piece in pieces:
        room -= len(json.dumps(piece, separators=(",", ":"))) + len(str(entry)) + 4
        if room < 0:
            break
        found[str(entry)] = piece
    return dict(sorted(found.items(), key=lambda item: int(item[0]))), len(order) - len(found)


def _note(left_out: int, lost: int) -> str:
    said = []
    if left_out:
        said.append(f"{count(left_out, 'entry', 'entries')} have samples in the store and no room on this page")
    if lost:
        said.append(f"of {count(lost, 'entry', 'entries')} the samples cannot be read")
    return f"{'; '.join(said)}." if said else ""


def _images(
    stored: Mapping[int, EvaluationRecord], order: Order, real: Samples | None, seed: int, shape: tuple[int, ...],
    room: int,
) -> dict[str, Any]:  # fmt: skip
    truth = sheet(real) if real is not None else None
    lost: list[int] = []

    def sheets() -> Iterator[tuple[int, str]]:
        for entry in order:
            samples = load_samples(stored[entry].samples, PICTURES)
            if samples is None or samples.shape[1:] != shape:
                lost.append(entry)
                continue
            yield entry, sheet(samples)

    found, rest = _fitting(order, sheets(), room - len(truth or ""))
    height, width = (shown_side(side, max(shape[1:])) for side in shape[1:])
    rows = -(-PICTURES // COLUMNS)
    return {
        "kind": "images",
        "seed": seed,
        "columns": COLUMNS,
        "count": PICTURES,
        "width": COLUMNS * (width + 1) + 1,
        "height": rows * (height + 1) + 1,
        "pixelated": max(shape[1:]) <= TINY,
        "sheets": found,
        "real": truth,
        "left_out": rest - len(lost),
        "note": _note(rest - len(lost), len(lost)),
    }


def shown_side(side: int, longest: int) -> int:
    """Return the pixels of a picture's side on a sheet."""
    return max(side // max(1, math.ceil(longest / LARGEST_SIDE)), 1)


def sheet(samples: Samples) -> str:
    """Return the first pictures `(n, c, h, w)` in [-1, 1], row by row, as a data URI; missing ones are grey."""
    from PIL import Image

    n, channels, height, width = samples.shape
    by = max(1, math.ceil(max(height, width) / LARGEST_SIDE))
    if n < PICTURES:
        blank = np.zeros((PICTURES - n, *samples.shape[1:]), dtype=samples.dtype)
        samples = np.concatenate([samples, blank])
    grid = grid_of_images(shrunk(samples, by), COLUMNS, pad=1, background=GREY)
    picture = Image.fromarray(grid[:, :, 0] if channels == 1 else grid)
    buffer, form = io.BytesIO(), "png"
    if max(height, width) <= TINY:
        picture.save(buffer, "PNG", optimize=True)
    else:
        form = "webp"
        picture.convert("RGB").save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    return f"data:image/{form};base64," + base64.b64encode(buffer.getvalue()).decode()


def _points(
    stored: Mapping[int, EvaluationRecord], order: Order, real: Samples | None, seed: int, result_table: ResultTable,
    dataset: Mapping[str, Any], room: int,
) -> dict[str, Any]:  # fmt: skip
    clouds = [found for entry in order[:8] if (found := load_samples(stored[entry].samples, POINTS)) is not None]
    frame = Frame(*frame_of(clouds, real))
    flows = flows_data(result_table, dataset, frame, room // 3)
    truth = quantised(real, frame) if real is not None else None
    lost: list[int] = []

    def clouds_of() -> Iterator[tuple[int, list[int]]]:
        for entry in order:
            samples = load_samples(stored[entry].samples, POINTS)
            if samples is None or samples.shape[1:] != (2,):
                lost.append(entry)
                continue
            yield entry, quantised(samples, frame)

    left = room - len(json.dumps(flows)) - len(json.dumps(truth))
    shown, rest = _fitting(order, clouds_of(), left)
    return {
        "kind": "points",
        "seed": seed,
        "frame": frame.corners,
        "levels": LEVELS,
        "points": shown,
        "real": truth,
        "left_out": rest - len(lost),
        "note": _note(rest - len(lost), len(lost)),
        "flows": flows,
    }
