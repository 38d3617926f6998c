"""Neighborhoods: against closed forms, plain loops over Eq. 2, 3, 6 and A, chi-square tests and autograd."""

import itertools
from collections import Counter
from math import comb

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flatlib.neighborhoods import (
    cell_distance,
    distinct_draws,
    enumerate_neighbors,
    neighborhood_size,
    one_hot,
    total_variation,
)

seeded = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
ULP = np.finfo(float).eps


@st.composite
def distributions(draw, n, k=1):
    """k probability vectors (k, n); zeros and one-hot vectors are common."""
    weight = st.one_of(st.just(0), st.integers(1, 9), st.floats(1e-6, 1))
    rows = [draw(st.lists(weight, min_size=n, max_size=n).filter(any)) for _ in range(k)]
    return np.array([np.array(row) / sum(row) for row in rows], dtype=float)


@st.composite
def spaces(draw):
    """(E, m, d) of a small space, d = 0 and d = E among them."""
    n_edges = draw(st.integers(1, 4))
    return n_edges, draw(st.integers(2, 4)), draw(st.integers(0, n_edges))


def random_alphas(rng, *shape):
    """Relaxed cells: dense edges, sparse ones, and one one-hot edge a cell."""
    alphas = rng.dirichlet(np.full(shape[-1], 0.5), shape[:-1])
    alphas[..., 0, :] = np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-2])]
    return alphas


def hamming(arch, other):
    return sum(a != b for a, b in zip(arch, other, strict=True))


def refusal(function, *arguments, **options):
    with pytest.raises(ValueError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- Distances (Eq. 2) ----------------------------------------------------------------------------


@seeded
@given(st.integers(2, 8).flatmap(lambda n: distributions(n, 3)))
def test_total_variation_is_a_metric(pqr):
    """Sees a missing 1/2, a missing absolute value, a squared norm and a sum over the wrong axis."""
    p, q, r = pqr
    delta = total_variation(p, q)
    assert delta == total_variation(q, p) == pytest.approx(sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2)
    assert 0 <= delta <= 1 + 4 * ULP
    assert (delta == 0) == (p == q).all()
    assert delta <= total_variation(p, r) + total_variation(r, q) + 8 * ULP


@seeded
@given(st.integers(1, 14), st.integers(2, 8), st.randoms(use_true_random=False))
def test_one_hot_distance_counts_edges(n_edges, n_operations, random):
    """Sees a distance of one-hot cells that is not the number of edges that differ (Sec. 3.1)."""
    pair = np.array([[random.randrange(n_operations) for _ in range(n_edges)] for _ in range(2)])
    cells = one_hot(pair, n_operations)
    assert (cells.argmax(-1) == pair).all() and (cells.sum(-1) == 1).all() and cells.max() == 1
    assert cell_distance(*cells) == hamming(*pair)


def test_distances_keep_leading_axes():
    """Sees a distance that sums over the axes of cells."""
    rng = np.random.default_rng(0)
    alphas, others = random_alphas(rng, 2, 3, 5, 4), random_alphas(rng, 2, 3, 5, 4)
    edges, cells = total_variation(alphas, others), cell_distance(alphas, others)
    assert edges.shape == (2, 3, 5) and cells.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        assert cells[i, j] == cell_distance(alphas[i, j], others[i, j])
        naive = sum(0.5 * abs(alphas[i, j, e, k] - others[i, j, e, k]) for e in range(5) for k in range(4))
        assert cells[i, j] == pytest.approx(naive, rel=1e-14)


# --- Complete neighborhoods (Eq. 3) ---------------------------------------------------------------


@pytest.mark.parametrize("n_edges", [1, 2, 6, 14])
@pytest.mark.parametrize("n_operations", [2, 5, 8])
def test_neighborhood_size_closed_forms(n_edges, n_operations):
    """Sees a sum that stops one early, leaves out the cell itself, or takes m for m - 1."""
    assert neighborhood_size(n_edges, n_operations, 0) == 1
    assert neighborhood_size(n_edges, n_operations, 1) == 1 + n_edges * (n_operations - 1)
    assert neighborhood_size(n_edges, n_operations, n_edges) == n_operations**n_edges
    for d in range(1, n_edges + 1):
        ring = neighborhood_size(n_edges, n_operations, d) - neighborhood_size(n_edges, n_operations, d - 1)
        assert ring == comb(n_edges, d) * (n_operations - 1) ** d
    if (n_edges, n_operations) == (6, 5):
        assert [neighborhood_size(6, 5, d) for d in (1, 2, 6)] == [25, 265, 15625]


@seeded
@given(spaces(), st.randoms(use_true_random=False))
def test_neighborhood_is_complete(space, random):
    """Sees a neighbor that is lost, doubled or too far, and a cell that is not its own first neighbor."""
    n_edges, n_operations, d = space
    arch = [random.randrange(n_operations) for _ in range(n_edges)]
    rows = [tuple(row) for row in enumerate_neighbors(np.array(arch), n_operations, d).tolist()]
    every = itertools.product(range(n_operations), repeat=n_edges)
    assert rows[0] == tuple(arch)
    assert len(rows) == len(set(rows)) == neighborhood_size(n_edges, n_operations, d)
    assert set(rows) == {other for other in every if hamming(arch, other) <= d}
    distances = [hamming(arch, row) for row in rows]
    assert distances == sorted(distances)


def test_neighborhoods_of_many_cells():
    """Sees neighbors that mix the cells of an array, and index types that overflow."""
    archs = np.random.default_rng(1).integers(5, size=(2, 3, 6))
    together = enumerate_neighbors(archs, 5, 2)
    assert together.shape == (2, 3, 265, 6)
    for i, j in np.ndindex(2, 3):
        assert (together[i, j] == enumerate_neighbors(archs[i, j], 5, 2)).all()
    assert (enumerate_neighbors(archs.astype(np.uint8), 5, 2) == together).all()
    assert (enumerate_neighbors(archs, 5) == together[:, :, :25]).all()


@pytest.mark.parametrize("d", [-1, 7])
def test_impossible_radius_is_refused(d):
    """Sees a radius beyond the cell that is taken, or a message that names neither value nor limits."""
    line = refusal(enumerate_neighbors, np.zeros((1, 6), dtype=int), 5, d)
    assert f"d = {d}" in line and "6" in line


# --- Draws without replacement (Sec. 4.1) -------------------------------------------------------------


@pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 0), (4, 1), (5, 3), (4, 4), (6, 2)])
def test_floyd_draws_each_subset_equally(n, k):
    """Sees a wrong range or replacement in Floyd's algorithm: every outcome of the generator is tried."""
    ranges = [range(last + 1) for last in range(n - k, n)]
    outcomes = np.array(list(itertools.product(*ranges)))

    class EveryOutcome:
        """Stands in for the generator: row r sees the r-th of all equally likely outcomes."""

        columns = iter(outcomes.T)

        def integers(self, low, high, rows, **_):
            column = next(self.columns)
            assert (low, high, rows) == (0, column.max() + 1, len(outcomes))
            return column

    drawn = distinct_draws(EveryOutcome(), len(outcomes), n, k)
    counts = Counter(frozenset(row) for row in drawn.tolist())
    assert set(counts) == {frozenset(subset) for subset in itertools.combinations(range(n), k)}
    assert set(counts.values()) == {len(outcomes) // comb(n, k)}


def test_more_neighbors_than_there_are_is_refused():
    """Sees a sample with repeats, or an endless search, where the neighborhood is too small."""
    assert "different" in refusal(distinct_draws, np.random.default_rng(0), 2, 3, 4)
