"""Aggregators: against the standard library's statistics and a plain-loop transcription of Eq. 1."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flatlib.aggregators import (
    NAMES,
    aggregator,
    maximum,
    mean,
    median,
    neighborhood_score,
    variance,
)
from flatlib.neighborhoods import enumerate_neighbors

seeded = settings(derandomize=True, deadline=None, database=None)
LAM = 0.7
NAIVE = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "max": max,
    "variance": lambda errors: errors[0] + LAM * statistics.pstdev(errors),
}
PERCENT = st.floats(0, 100)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 7))


def naive_score(name, errors, neighbors):
    """g(f(N(alpha))) of Eq. 1, one architecture at a time."""
    return [NAIVE[name]([float(errors[other]) for other in row]) for row in neighbors]


@pytest.mark.parametrize("name", NAMES)
@seeded
@given(errors=SHAPES.flatmap(lambda shape: arrays(float, shape, elements=PERCENT)))
def test_aggregators_against_statistics(name, errors):
    """Sees a wrong axis, the lower of two middle values as median, a sample deviation, a lost cell itself."""
    ours = aggregator(name, LAM)(errors)
    assert ours.shape == errors.shape[:-1]
    for i, j in np.ndindex(ours.shape):
        assert ours[i, j] == pytest.approx(NAIVE[name](errors[i, j].tolist()), rel=1e-12, abs=1e-9)


def test_closed_forms():
    """Sees ddof = 1, a variance instead of a standard deviation, and f taken from another neighbor than the first."""
    errors = np.array([[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], [9.0, 7.0, 5.0, 5.0, 4.0, 4.0, 4.0, 2.0]])
    assert mean(errors).tolist() == [5, 5]
    assert median(errors).tolist() == [4.5, 4.5]
    assert maximum(errors).tolist() == [9, 9]
    assert variance(errors).tolist() == [4, 11]  # sigma = 2, lam = 1 (Sec. B.3)
    assert variance(errors, 3.0).tolist() == [8, 15]


@seeded
@given(arrays(float, (3, 5), elements=PERCENT))
def test_variance_without_weight_is_f(errors):
    """Sees lam that is ignored or falls back to 1 where it is 0."""
    assert (variance(errors, 0.0) == errors[:, 0]).all()
    assert (aggregator("variance", 0.0)(errors) == errors[:, 0]).all()
    assert (aggregator("variance")(errors) == variance(errors, 1.0)).all()


@pytest.mark.parametrize("name", NAMES)
def test_flat_neighborhood_scores_as_its_cell(name):
    """Sees an aggregator that adds something to a perfectly flat neighborhood."""
    flat = np.full((4, 25), 12.5)
    assert (aggregator(name, 3.0)(flat) == 12.5).all()
    assert (aggregator(name, 3.0)(flat[:, :1]) == 12.5).all()


def test_names_give_their_aggregators():
    """Sees a name that gives another aggregator."""
    assert set(NAMES) == set(NAIVE)
    assert (aggregator("mean"), aggregator("median"), aggregator("max")) == (mean, median, maximum)


@pytest.mark.parametrize("name", ["", "Mean", "min", "average", None])
def test_unknown_name_is_refused(name):
    """Sees a KeyError, or a message that does not name what was asked and what there is."""
    with pytest.raises(ValueError) as error:
        aggregator(name)
    message = str(error.value)
    assert repr(name) in message and ", ".join(NAMES) in message and "\n" not in message


@pytest.mark.parametrize("name", NAMES)
def test_neighborhood_score_against_a_loop(name):
    """Sees neighbors gathered from the wrong axis, and scores of rows out of order."""
    rng = np.random.default_rng(0)
    errors = rng.uniform(0, 100, 30)
    neighbors = np.concatenate([np.arange(30)[:, None], rng.integers(30, size=(30, 6))], axis=1)
    scores = neighborhood_score(errors, neighbors, aggregator(name, LAM))
    assert scores.shape == (30,)
    assert np.allclose(scores, naive_score(name, errors, neighbors), rtol=1e-12, atol=0)


@pytest.mark.parametrize("d", [0, 1, 2, 3])
def test_equation_1_on_a_whole_space(d):
    """Sees a score of a complete space that differs from Eq. 1 written as loops, alpha first, mean by default."""
    rng = np.random.default_rng(d)
    cells = list(itertools.product(range(3), repeat=3))
    errors = rng.uniform(0, 100, len(cells))
    neighbors = np.ravel_multi_index(np.moveaxis(enumerate_neighbors(np.array(cells), 3, d), -1, 0), (3, 3, 3))
    loop = []
    for i, arch in enumerate(cells):
        others = [j for j, cell in enumerate(cells) if sum(a != b for a, b in zip(arch, cell, strict=True)) <= d]
        loop.append([i, *(j for j in others if j != i)])
    for name in NAMES:
        ours = neighborhood_score(errors, neighbors, aggregator(name, LAM))
        assert np.allclose(ours, naive_score(name, errors, loop), rtol=1e-12, atol=0)
        assert d == 3 or ours.argmin() == np.argmin(naive_score(name, errors, loop))  # d = 3: all scores are equal
    assert (neighborhood_score(errors, neighbors) == neighborhood_score(errors, neighbors, mean)).all()
