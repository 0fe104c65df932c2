"""The quadrature is exact for the polynomials that paths give, with no node more than needed."""

import numpy as np
import pytest

from staunch_training.onnx.quadrature import Quadrature


@pytest.mark.parametrize("features", range(1, 13))
def test_a_path_of_so_many_features_is_integrated_exactly(features: int) -> None:
    rule = Quadrature.exact_for(features)
    assert len(rule.t) == (features + 1) // 2
    for degree in range(features):
        assert rule.w @ rule.t**degree == pytest.approx(1 / (degree + 1), rel=1e-13)


@pytest.mark.parametrize("features", [2, 4, 8])
def test_fewer_nodes_would_not_do(features: int) -> None:
    fewer = Quadrature.exact_for(features - 2) if features > 2 else Quadrature(np.empty(0), np.empty(0))
    assert abs(fewer.w @ fewer.t ** (features - 1) - 1 / features) > 1e-9


def test_factors_run_from_the_ratio_to_whether_it_is_met_and_stay_above_nothing() -> None:
    rule = Quadrature.exact_for(6)
    factors = rule.factor(np.array([0.0, 1.0]), np.array([1e-12, 0.25]))
    assert factors.shape == (2, 3)
    assert (factors > 0).all()
    np.testing.assert_allclose(factors[0], 1e-12 * (1 - rule.t))
    np.testing.assert_allclose(factors[1], 0.25 + 0.75 * rule.t)
