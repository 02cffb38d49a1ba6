"""Anybody's folder of pictures."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge

from fmbench import DataError, Dataset
from fmbench_datasets.splits import TEST_SHARE, in_turn

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from torch import Tensor

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ImageFolder(Dataset):
    """The pictures of a folder, of any sizes, cropped to squares and scaled to [-1, 1].

    Subfolders are classes, in alphabetical order, if there are any. Each picture's shorter side is resized to `size`
    (antialiased, bicubic) and its centre is cut out; transparency is laid over white. About one picture in five,
    chosen by a hash of its name within the folder, is a test picture, so that adding a picture never moves another
    one. Hidden files, and files that are no pictures by their suffix, are left aside.

    Args:
        folder: the folder with the pictures.
        size: height and width of the result, in pixels.
        grayscale: one channel instead of three.

    Raises:
        DataError: the folder is missing or empty, a class or a split has no picture, or a picture is broken.
    """

    reference = "torchvision.datasets.ImageFolder (the layout: a folder a class)"
    provides = ("images", "classes", "normal_source")
    content = ("folder",)

    def __init__(self, *, folder: str, size: Annotated[int, Ge(1)] = 32, grayscale: bool = False) -> None:
        self.folder = Path(folder).expanduser()
        self.size = size
        self.grayscale = grayscale
        self.shape = (1 if grayscale else 3, size, size)
        self.class_names = _class_names(self.folder)
        self.classes = len(self.class_names)

    def load(self, split: Literal["train", "test"]) -> tuple[Tensor, Tensor | None]:
        """Return pictures in [-1, 1], float32 `(n, channels, size, size)`, and classes, int64 `(n,)`, or None."""
        names = [name for name in _picture_names(self.folder, self.class_names) if _split_of(name) == split]
        if not names:
            raise DataError(
                f"image_folder splits pictures by a hash of their names, and none of those in {self.folder} falls into "
                f"the {split} split. Add more pictures."
            )
        y = self._labels(names)
        if y is not None:
            order = in_turn(y)
            names, y = [names[i] for i in order.tolist()], y[order]
        read = partial(_read_picture, size=self.size, grayscale=self.grayscale)
        with ThreadPoolExecutor() as pool:
            arrays = list(pool.map(read, (self.folder / name for name in names)))
        x = torch.stack([torch.from_numpy(array) for array in arrays])  # (n, size, size, channels), uint8
        return x.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1, y

    def _labels(self, names: list[str]) -> Tensor | None:
        if not self.classes:
            return None
        index = {name: i for i, name in enumerate(self.class_names)}
        return torch.tensor([index[name.split("/")[0]] for name in names])


def _class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the subfolders. Raises DataError where the folder cannot be listed."""
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "it does not exist"
        raise DataError(f"image_folder needs a folder of pictures, but {folder.absolute()}: {found}.")
    try:
        return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))
    except OSError as error:
        raise DataError(f"image_folder cannot list {folder}: {error}") from error


def _picture_names(folder: Path, class_names: tuple[str, ...]) -> list[str]:
    """Return the pictures' names within the folder, with forward slashes, sorted. Raises DataError without any."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    names = sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
    if not names:
        raise DataError(f"{folder} holds no picture. Known suffixes: {', '.join(sorted(SUFFIXES))}.")
    if class_names:
        found = {name.split("/")[0] for name in names}
        empty = [name for name in class_names if name not in found]
        if empty:
            raise DataError(f"Each subfolder of {folder} is a class, and {empty[0]!r} holds no picture.")
        beside = [name for name in names if "/" not in name]
        if beside:
            raise DataError(
                f"{folder} has both subfolders (classes) and pictures beside them, such as {beside[0]}: move the "
                "pictures into a subfolder, or the subfolders away."
            )
    return names


def _split_of(name: str) -> str:
    """Return the split of a picture by the hash of its name alone."""
    hashed = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    return "test" if hashed % TEST_SHARE == 0 else "train"


def _read_picture(path: Path, *, size: int, grayscale: bool) -> np.ndarray:
    """Return one picture as uint8 `(size, size, channels)`. Raises DataError naming a file that cannot be read."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:  # key: it lies in `folder`
            picture = _flatten(ImageOps.exif_transpose(opened)).convert("L" if grayscale else "RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a picture that can be read ({error}). Replace or remove it.") from error
    fitted = ImageOps.fit(picture, (size, size), method=Image.Resampling.BICUBIC)
    return np.array(fitted).reshape(size, size, -1)


def _flatten(picture: Image) -> Image:
    """Return a picture whose levels are 8-bit and which has no transparency."""
    import numpy as np
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip instead of scale
        return Image.fromarray((np.asarray(picture).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("pixels are floating-point numbers, whose range is unknown")
    if "transparency" in picture.info or "A" in picture.mode or "a" in picture.mode:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture
