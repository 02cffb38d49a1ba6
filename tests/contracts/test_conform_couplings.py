"""Every built-in coupling conforms, and so does the smallest that learns from a teacher."""

import pytest
import torch
from built_ins import cases

from fmbench import Coupling
from fmbench.testing import CouplingConformance

LEARNERS = ["reflow"]
VARIANTS = [
    ("conditional_ot", {"weight": 0.0}),
    ("conditional_ot", {"weight": 3.0, "distance": "squared", "ratio": None}),
    ("minibatch_ot", {"pool": 4}),
    ("reflow", {"pairs": 600, "steps": 2}),
    ("sinkhorn", {"reg": 0.5, "relative": False}),
]


class TestCouplings(CouplingConformance):
    @pytest.fixture(params=cases("coupling", VARIANTS, without=LEARNERS), ids=str)
    def component(self, request):
        return request.param.build()


class OneStep(Coupling):
    """Pairs every x_0 with one Euler step of the teacher from it, and may make a mistake."""

    permutes = False
    teacher = "teacher"

    def __init__(self, *, teacher: dict = {}, fault: str = "") -> None:  # noqa: B006
        self.fault = fault
        self.pairs = None

    def fit(self, teacher, source):
        x_0, y = source(100)
        teacher.y = None if self.fault == "no labels" or y is None else y
        x_1 = x_0 + teacher(x_0, torch.zeros(100))
        pairs = {"x_0": x_0, "x_1": x_1} | ({} if y is None else {"y": y})
        if self.fault == "itself":
            self.pairs = pairs
        return pairs

    def with_fit(self, fitted):
        taught = OneStep(fault=self.fault)
        taught.pairs = dict(fitted)
        return taught

    def pair(self, x_0, x_1, y, generator):
        rows = torch.randint(100, (len(x_0),), generator=generator)
        others = rows.flip(0) if self.fault == "crossed" else rows
        y = self.pairs.get("y")
        return self.pairs["x_0"][rows], self.pairs["x_1"][others], None if y is None else y[rows]


class TestALearner(CouplingConformance):
    def component(self):
        return OneStep()


@pytest.mark.parametrize("fault", ["no labels", "crossed"])
def test_a_wrong_flow_is_noticed(fault):
    with pytest.raises(AssertionError, match="where the teacher takes x_0"):
        CouplingConformance().test_pairs_as_its_teacher_flows(OneStep(fault=fault), (2,), True)


def test_a_study_that_changes_the_coupling_is_noticed():
    with pytest.raises(AssertionError, match="leave the coupling as it is"):
        CouplingConformance().test_learning_leaves_the_coupling_alone(OneStep(fault="itself"))


class Random(Coupling):
    """Draws the x_0 of each x_1 at random: evenly, or the same for all."""

    permutes = False

    def __init__(self, even=True):
        self.even = even

    def pair(self, x_0, x_1, y, generator):
        rows = torch.randint(len(x_0), (len(x_0),), generator=generator)
        return x_0[rows if self.even else rows // 2], x_1, y


def test_a_source_that_is_skewed_is_noticed():
    CouplingConformance().test_uses_each_source_once_on_average(Random())
    with pytest.raises(AssertionError, match="once on average"):
        CouplingConformance().test_uses_each_source_once_on_average(Random(even=False))
