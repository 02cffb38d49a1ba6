"""An entry of `samples`: samples that were made elsewhere, and are scored like those of the suite's own cells."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from fmbench.suite.field_types import (
    MOST,
    Axis,
    ComponentRef,
    ComponentType,
    Listed,
    OneOf,
    Rule,
    Seed,
    Whole,
    fault,
)
from fmbench.suite.strict_model import StrictModel

PLACES = ("folder", "folders", "file", "files")
Place = Annotated[str, Field(strict=True, min_length=1), Rule("the path of a folder or a file")]
Places = Annotated[tuple[Place, ...], Listed(1)]
ArrayName = Annotated[str, Field(strict=True, min_length=1), Rule("a name")]
Bound = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Layout = Annotated[Literal["NCHW", "NHWC"], OneOf("a layout", "NCHW", "NHWC")]


class SamplesEntry(StrictModel):
    """Samples of one method: pictures in a folder, or an array in a file; several places are repeats of the method.

    The first `evaluation.samples` of each place are scored; where there are fewer, the suite is refused.
    """

    name: Annotated[str, Field(strict=True, min_length=1, max_length=100), Rule("a name of 1 to 100 letters")] = Field(
        description="What tables call them."
    )
    folder: Place | None = Field(
        None, description="A folder of pictures, each a sample, in the order of their numbers."
    )
    folders: Places = Field((), description="Folders of pictures, each from a repeat of the same method.")
    file: Place | None = Field(None, description="A .npz, .npy or .safetensors file with an array of samples.")
    files: Places = Field((), description="Files of arrays, each from a repeat of the same method.")
    nfe: Annotated[Whole | None, Rule("a whole number, 1 or more, or left out", MOST)] = Field(
        None, description="Calls of the network a sample, as their maker says; nothing here measures it."
    )
    dataset: Annotated[ComponentRef, ComponentType("dataset")] | None = Field(
        None, description="Which of the datasets they are samples of; may be left out where there is one."
    )
    value_range: Annotated[tuple[Bound, Bound], Rule("two numbers, [0, 1] say")] | None = Field(
        None, description="What black and white are in an array of pictures that are not bytes, [-1, 1] say."
    )
    layout: Layout | None = Field(
        None, description="NCHW or NHWC, where the shape of an array does not tell where its channels are."
    )
    key: ArrayName | None = Field(
        None, description="Which array of a file the samples are: arr_0, samples or the only one."
    )
    labels: ArrayName | None = Field(
        None, description="The classes: an array of the file (labels, where it has one), or the word subfolders."
    )
    seeds: Axis[Seed] = Field((), description="The seeds under which they stand, one a place: 0, 1, ... if left out.")

    @model_validator(mode="after")
    def _lies_somewhere(self) -> SamplesEntry:
        if self.name != self.name.strip() or not self.name.isprintable():
            text = "a name is one line of letters that can be seen, without spaces around it"
            raise fault(f"{text}; found {self.name!r}.", "name")
        given = [name for name in PLACES if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise fault(f"samples lie in one of folder, folders, file and files; found {found}.", *given[-1:])
        array_only = [name for name in ("value_range", "layout", "key") if getattr(self, name) is not None]
        if self.is_folder and array_only:
            raise fault(f"{array_only[0]} is for arrays in a file; these are pictures. Leave it out.", array_only[0])
        if self.is_folder and self.labels not in (None, "subfolders"):
            text = f"labels of pictures are written labels: subfolders, a folder a class; found {self.labels!r}."
            raise fault(text, "labels")
        if len(set(self.places)) < len(self.places):
            raise fault(f"{given[0]} names one place twice. Remove one of them.", given[0])
        if self.seeds and (len(self.seeds) != len(self.places) or len(set(self.seeds)) < len(self.seeds)):
            text = f"seeds are as many as there are places ({len(self.places)}), each another one"
            text += f"; found {list(self.seeds)}."
            raise fault(text, "seeds")
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            raise fault(
                f"value_range is [black, white], black below white; found {list(self.value_range)}.", "value_range"
            )
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value not in (None, (), [])}

    @property
    def is_folder(self) -> bool:
        """Whether they are pictures."""
        return bool(self.folder or self.folders)

    @property
    def places(self) -> tuple[str, ...]:
        """The folders or files."""
        return self.folders or self.files or tuple(place for place in (self.folder, self.file) if place)

    def location(self, number: int) -> tuple[str | int, ...]:
        """Return under which keys of the entry a place is written."""
        named = next(name for name in PLACES if getattr(self, name))
        return (named, number) if named in ("folders", "files") else (named,)
