"""Every built-in grid conforms."""

import pytest
from built_ins import cases

from fmbench.testing import GridConformance


class TestGrids(GridConformance):
    @pytest.fixture(params=cases("grid"), ids=str)
    def component(self, request):
        return request.param.build()
