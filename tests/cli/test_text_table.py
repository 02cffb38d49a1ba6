"""Tables on the screen: nothing is lost, columns stand below one another, and no line is wider than the screen."""

from __future__ import annotations

import pytest

from fmbench.cli.text_table import GAP, fit, lines_of, wide

COLUMNS = ("kind", "name", "what it does")
ROWS = [
    ("path", "linear", "x_t = t x_1 + (1-t) x_0: straight lines from the noise to the data"),
    ("t_distribution", "µ-shaped", ""),
    ("solver", "heun", "two calls\na step"),
]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_screen_and_no_word_is_lost(width: int) -> None:
    lines = list(lines_of(COLUMNS, ROWS, width))
    assert max(map(wide, lines)) <= width
    words = sorted("".join(" ".join(row).split()) for row in [COLUMNS, *ROWS])
    assert sorted("".join("".join(lines).replace("─", "").split())) == sorted("".join(words))


def test_columns_stand_below_one_another() -> None:
    head, rule, first, second, *_ = lines_of(COLUMNS, ROWS, 200)
    assert {line.index(text) for line, text in ((head, "name"), (first, "linear"), (second, "µ-shaped"))} == {
        1 + len("t_distribution") + GAP
    }
    assert set(rule.strip()) == {"─"}


def test_the_widest_columns_give_way_first() -> None:
    assert fit([4, 30, 50], 100) == [4, 30, 50]
    assert fit([4, 30, 50], 64) == [4, 30, 30]
    assert fit([4, 30, 50], 44) == [4, 20, 20]
    assert next(iter(lines_of(COLUMNS, [], 80))) == " kind   name   what it does"


def test_letters_of_two_places_and_of_none_are_counted() -> None:
    assert [wide(text) for text in ("abc", "é", "e\u0301", "数据", "a\nlong")] == [3, 1, 1, 4, 4]
