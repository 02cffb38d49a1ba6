"""Pictures as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from fmbench.results.image_grid import grid_of_images, to_uint8


def test_every_8_bit_level_returns_exactly():
    levels = np.arange(256)
    assert (to_uint8(levels / 127.5 - 1.0) == levels).all()


def test_values_out_of_range_are_clipped_and_nan_is_black():
    assert to_uint8(np.array([-9.0, 9.0, np.nan, np.inf, -np.inf])).tolist() == [0, 255, 0, 255, 0]


@pytest.mark.parametrize(("n", "columns", "pad", "scale"), [(6, 3, 1, 1), (5, 2, 2, 3), (1, 4, 0, 1)])
def test_grid_holds_every_picture_in_its_place(n: int, columns: int, pad: int, scale: int):
    samples = np.random.default_rng(0).uniform(-1, 1, (n, 3, 4, 5)).astype(np.float32)
    grid = grid_of_images(samples, columns, pad, scale)
    height, width = 4 * scale + pad, 5 * scale + pad
    assert grid.dtype == np.uint8
    assert grid.shape == (-(-n // columns) * height + pad, columns * width + pad, 3)
    for i in range(n):
        top, left = pad + i // columns * height, pad + i % columns * width
        found = grid[top : top + 4 * scale : scale, left : left + 5 * scale : scale]
        assert (found == to_uint8(samples[i]).transpose(1, 2, 0)).all()


def test_one_channel_is_grey():
    grid = grid_of_images(np.zeros((2, 1, 3, 3)), 2, pad=0)
    assert (grid == 128).all()


def test_no_samples_give_an_empty_grid():
    assert grid_of_images(np.zeros((0, 1, 3, 3)), 2).shape[1:] == (9, 3)


@pytest.mark.parametrize("shape", [(4, 2), (4, 2, 3, 3), (3, 3)])
def test_other_shapes_are_refused_with_the_shape_found(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=str(shape[-1])):
        grid_of_images(np.zeros(shape), 2)


@pytest.mark.parametrize("keywords", [{"columns": 0}, {"columns": 1, "scale": 0}, {"columns": 1, "pad": -1}])
def test_impossible_layouts_are_refused(keywords: dict[str, int]):
    with pytest.raises(ValueError, match="at least"):
        grid_of_images(np.zeros((1, 1, 2, 2)), **keywords)
