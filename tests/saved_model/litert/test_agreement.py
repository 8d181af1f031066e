"""How far a LiteRT file may be from the learner."""

import numpy as np
import pytest

from tfmeta.saved_model.litert import agreement


@pytest.mark.parametrize(("rounding", "allowed"), [(1e-6, 1e-5), (1e-4, 3e-4), (0.1, 1e-2)])
def test_rounding_of_the_network_itself_allows_a_hundredth_at_most(rounding, allowed):
    exact = {"outputs": np.array([1.0, 0.5])}
    rounded = {"outputs": exact["outputs"] + rounding}

    def compared(distance):
        got = {"outputs": exact["outputs"] + distance}
        pairs = [(got, exact, [(exact, rounded)])]
        return agreement._compared("adapt", "outputs", pairs, None)

    assert compared(0.9 * allowed)["allowed"] == pytest.approx(allowed)
    with pytest.raises(ValueError, match="must compute what the learner does"):
        compared(1.1 * allowed)
