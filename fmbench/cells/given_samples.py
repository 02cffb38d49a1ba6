"""Samples that were made elsewhere: where they lie and how they are read, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SampleFiles:
    """A folder of pictures or a file of an array, as a suite gives it and as it was found when that was planned.

    `place` is the folder or the file; `array` and `labels` are names in a file, "" for none, and `subfolders` says
    whether the folders below one are classes. `channels_last` is where an array has its channels, and `value_range`
    what black and white are in it, None for bytes and for points. `content` is a hash over all of it, and `said_at`
    where the suite names it.
    """

    place: str
    is_folder: bool
    content: str
    array: str = ""
    labels: str = ""
    subfolders: bool = False
    channels_last: bool = False
    value_range: tuple[float, float] | None = None
    said_at: str = ""
