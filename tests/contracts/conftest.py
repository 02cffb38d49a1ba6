"""fmbench's own components change nothing of the process, which is why a unit of theirs is compared only at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fmbench.isolation.monkeypatches import Attributes
from fmbench.isolation.process_state import Watch


@pytest.fixture(scope="module")
def attributes() -> Attributes:
    return Attributes()


@pytest.fixture(autouse=True)
def nothing_is_changed(attributes: Attributes) -> Iterator[None]:
    state = Watch(whole=False)
    yield
    assert state.changes() == []
    assert attributes.replaced() == []
