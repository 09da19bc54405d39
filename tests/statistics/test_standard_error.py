"""The error of a mean from several sources."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balanced_mixup.statistics.standard_error import StandardError

PARTS = st.lists(st.tuples(st.floats(1e-4, 10), st.floats(1, 1000)), min_size=1, max_size=3)


def test_one_source_is_the_t_test():
    error = StandardError(((0.25, 4.0),))
    assert error.half_width(0.05) == pytest.approx(0.5 * 2.776445)
    assert error.p_value(0.5 * 2.776445) == pytest.approx(0.05, abs=1e-6)


def test_two_sources_by_hand():
    # 12.7062^2 0.04 + 1.95996^2 0.09 = 6.8035
    assert StandardError(((0.04, 1.0), (0.09, 1e9))).half_width(0.05) == pytest.approx(np.sqrt(6.8036), rel=1e-4)


@given(PARTS, st.floats(1e-6, 0.999))
def test_p_value_and_interval_are_the_same_statement(parts, p):
    error = StandardError(tuple(parts))
    assert error.p_value(error.half_width(p)) == pytest.approx(p, rel=1e-4, abs=1e-9)


@given(PARTS)
def test_it_is_never_surer_than_its_normal_distribution(parts):
    error = StandardError(tuple(parts))
    assert error.half_width(0.05) >= 1.9599 * np.sqrt(sum(variance for variance, _ in parts))


def test_edges():
    assert StandardError(()).p_value(0.0) == 1 and StandardError(()).p_value(0.1) == 0
    assert StandardError(((1.0, 5.0), (1.0, 9.0))).p_value(0.0) == 1
    assert 0 < StandardError(((1e-9, 5000.0), (1e-9, 9000.0))).p_value(1.0) < 1e-9


@pytest.mark.parametrize("freedom", [1, 2, 4])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0, 3.0])
def test_its_intervals_cover(freedom, ratio):
    rng = np.random.default_rng(0)
    mean = rng.normal(size=4000) + np.sqrt(ratio) * rng.normal(size=4000)
    estimated = rng.chisquare(freedom, 4000) / freedom
    width = [StandardError(((each, freedom), (ratio + 1e-12, 1e6))).half_width(0.05) for each in estimated]
    assert np.mean(np.abs(mean) <= width) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 4000)
