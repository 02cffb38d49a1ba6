"""What a worker on a Ray node said reaches the driver before its end does."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from fmbench.executors.messages import Event
from fmbench.executors.node_worker import Gone, Said
from fmbench.executors.ray import ActorLink
from fmbench.executors.supervisor import WorkerGone

FINISHED, STARTED = Event("finished", "training", "a"), Event("started", "training", "b")
GONE = Gone("its process was killed", killed=True)


def link_of(*batches: Said) -> ActorLink:
    """Return the line to a worker of which these batches have arrived."""
    waiting = deque(batches)
    actor = SimpleNamespace(node=SimpleNamespace(remote=lambda: "node"))
    cluster: Any = SimpleNamespace(
        actor=lambda *given: actor, next_of=lambda stream: waiting.popleft() if waiting else []
    )
    config: Any = None
    link = ActorLink(cluster, config, config, {})
    link.stream = "stream"
    return link


@pytest.mark.parametrize("batches", [([FINISHED, STARTED], [GONE]), ([FINISHED, STARTED, GONE],)])
def test_what_was_said_before_the_end_is_not_lost(batches: tuple[Said, ...]) -> None:
    link = link_of(*batches)
    assert link.receive() == [FINISHED, STARTED]
    assert link.has_ended
    with pytest.raises(WorkerGone, match="was killed") as caught:
        link.receive()
    assert caught.value.killed


def test_a_task_that_ends_leaves_the_rest_for_the_next_look() -> None:
    link = link_of([STARTED], [FINISHED, None])
    assert link.receive() == [STARTED, FINISHED, None]
    assert not link.has_ended
    assert link.receive() == []
