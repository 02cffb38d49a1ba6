"""Anybody's folder of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Lt

from fmbench import DataError, Dataset
from fmbench_datasets.picture_files import Split, list_pictures, shown

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor


class ImageFolder(Dataset):
    """The pictures of a folder, of any sizes, cropped to squares and scaled to [-1, 1].

    Subfolders are classes, in alphabetical order, if there are any. Each picture's shorter side is resized to `size`
    (antialiased, bicubic) and its centre is cut out; transparency is laid over white. About one picture in five,
    chosen by a hash of its name within the folder, is a test picture, so that adding a picture never moves another
    one. A folder of `train/` and `test/` or `val/` is taken as split: training pictures from `train/`, test pictures
    from `test/` if that is laid out alike, else from `val/`, and their subfolders are the classes.

    Links to folders are followed, each folder is read once. Hidden files, `__MACOSX`, files that are no pictures by
    their suffix, and what is no file are left aside; `fmbench plan` says how many pictures are read, and what is not.

    Args:
        folder: the folder with the pictures.
        size: height and width of the result, in pixels.
        grayscale: one channel instead of three.
        validation: the validation split: 0 for none, the share of the training pictures that is held out, chosen by a
            hash of their names, or "folder" for the pictures in `val/`, beside those in `train/` and `test/`.

    Raises:
        DataError: the folder is missing or empty, a class or a split has no picture, or a picture is broken.
    """

    reference = "torchvision.datasets.ImageFolder (the layout: a folder a class)"
    provides = ("images", "classes", "normal_source")
    content = ("folder",)
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "validation": {0.0: {}, ...: {"provides": ("images", "classes", "normal_source", "validation")}}
    }
    omitted_defaults = ("validation",)

    def __init__(
        self,
        *,
        folder: str,
        size: Annotated[int, Ge(1)] = 32,
        grayscale: bool = False,
        validation: Annotated[float, Ge(0), Lt(1)] | Literal["folder"] = 0.0,
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.size = size
        self.grayscale = grayscale
        self.shape = (1 if grayscale else 3, size, size)
        self._pictures = list_pictures(self.folder, validation)
        self.class_names = self._pictures.classes
        self.classes = len(self.class_names)

    def describe(self) -> str:
        """Say how many pictures of how many classes are read, and what is left out."""
        return self._pictures.describe()

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return pictures in [-1, 1], float32 `(n, channels, size, size)`, and classes, int64 `(n,)`, or None."""
        import torch

        from fmbench_datasets.splits import in_turn

        names = list(self._pictures.names[split])
        if not names:
            raise DataError(
                f"image_folder splits pictures by a hash of their names, and none of those in {shown(self.folder)} "
                f"falls into the {split} split. Add more pictures."
            )
        y = torch.tensor(self._pictures.labels(names)) if self.classes else None
        if y is not None:
            order = in_turn(y)
            names, y = [names[i] for i in order.tolist()], y[order]
        read = partial(_read_picture, size=self.size, grayscale=self.grayscale)
        with ThreadPoolExecutor() as pool:
            arrays = list(pool.map(read, (self.folder / name for name in names)))
        x = torch.stack([torch.from_numpy(array) for array in arrays])  # (n, size, size, channels), uint8
        return x.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1, y


def _read_picture(path: Path, *, size: int, grayscale: bool) -> np.ndarray:
    """Return one picture as uint8 `(size, size, channels)`. Raises DataError naming a file that cannot be read."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:  # key: it lies in `folder`
            picture = _flatten(ImageOps.exif_transpose(opened)).convert("L" if grayscale else "RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = shown(str(error))
        raise DataError(f"{shown(path)} is not a picture that can be read ({reason}). Replace or remove it.") from error
    fitted = ImageOps.fit(picture, (size, size), method=Image.Resampling.BICUBIC)
    return np.array(fitted).reshape(size, size, -1)


def _flatten(picture: Image) -> Image:
    """Return a picture whose levels are 8-bit and which has no transparency."""
    import numpy as np
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip instead of scale
        levels = np.asarray(picture).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("pixels are floating-point numbers, whose range is unknown")
    if "transparency" in picture.info or "A" in picture.mode or "a" in picture.mode:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture
