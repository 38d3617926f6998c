"""RS and NA-RS against loops over their steps: sees a vectorization that searches differently."""

import math

import numpy as np
import pytest

from flatlib.aggregators import NAMES, aggregator, neighborhood_score
from flatlib.tabular.samplers import incumbents, na_random_search, random_search

RUNS, STEPS = 7, 40


@pytest.fixture(scope="module")
def neighbors(small_table):
    """(A, 25) of the whole space."""
    return small_table.neighbors(1)


@pytest.fixture(scope="module")
def errors(neighbors):
    """(A,) in eighths: many ties, exact sums."""
    return np.random.default_rng(1).integers(40, 400, len(neighbors)) / 8


def loop(cells, scores):
    """The incumbent after each step, by Algorithm 2's strict comparison."""
    best, lowest, history = None, math.inf, []
    for cell, score in zip(cells, scores, strict=True):
        if score < lowest:
            best, lowest = cell, score
        history.append(best)
    return history


def plain_score(name, values):
    """g(f(N(alpha))) in plain Python; eight values, so mean and median are exact."""
    ordered, center = sorted(values), sum(values) / len(values)
    spread = math.sqrt(sum((value - center) ** 2 for value in values) / len(values))
    return {
        "mean": center,
        "median": (ordered[3] + ordered[4]) / 2,
        "max": ordered[-1],
        "variance": values[0] + spread,
    }[name]


def test_random_search_is_the_loop(errors):
    """Sees another winner than the first cell of lowest error, in any run and after any step."""
    trace = random_search(errors, steps=300, runs=RUNS, rng=np.random.default_rng(3))
    cells = np.random.default_rng(3).integers(0, len(errors), (RUNS, 300))
    assert trace.incumbent.tolist() == [loop(row, errors[row]) for row in cells.tolist()]
    assert trace.distinct.tolist() == [len(set(row)) for row in cells.tolist()]


@pytest.mark.parametrize("name", NAMES)
def test_na_random_search_is_algorithm_2(errors, neighbors, name):
    """Sees a score over the wrong axis or set, a winner that is not the reference cell, a tie kept late."""
    trace = na_random_search(
        errors, neighbors, aggregate=aggregator(name), steps=STEPS, n_nbr=8, runs=RUNS, rng=np.random.default_rng(4)
    )
    for run, steps in enumerate(trace.evaluated.tolist()):
        scores = [plain_score(name, [float(errors[cell]) for cell in cells]) for cells in steps]
        assert trace.incumbent[run].tolist() == loop([cells[0] for cells in steps], scores)
        assert trace.distinct[run] == len({cell for cells in steps for cell in cells})
    assert (trace.found == trace.incumbent[:, -1]).all()


def test_ties_keep_the_first():
    """Sees <= in place of Algorithm 2's <."""
    cells = np.array([[4, 5, 6, 7, 8]])
    assert incumbents(cells, np.array([[2.0, 2.0, 1.0, 1.0, 1.0]])).tolist() == [[4, 4, 6, 6, 6]]
    assert incumbents(cells, np.zeros((1, 5))).tolist() == [[4] * 5]


@pytest.mark.parametrize("name", ["mean", "median", "max"])
def test_all_25_are_the_whole_neighborhood(errors, neighbors, name):
    """Sees a neighbor drawn twice or left out: then 25 of 25 would not be N(alpha)."""
    trace = na_random_search(
        errors, neighbors, aggregate=aggregator(name), steps=STEPS, n_nbr=25, runs=RUNS, rng=np.random.default_rng(5)
    )
    cells = trace.evaluated[:, :, 0]
    whole = neighborhood_score(errors, neighbors, aggregator(name))
    assert trace.incumbent.tolist() == [loop(row, whole[row]) for row in cells.tolist()]


def test_one_neighbor_is_random_search(errors, neighbors):
    """Sees a reference cell that is not among its n_nbr: with n_nbr = 1, NA-RS is RS."""
    trace = na_random_search(errors, neighbors, steps=STEPS, n_nbr=1, runs=RUNS, rng=np.random.default_rng(6))
    cells = np.random.default_rng(6).integers(0, len(errors), RUNS * STEPS).reshape(RUNS, STEPS)
    assert trace.incumbent.tolist() == [loop(row, errors[row]) for row in cells.tolist()]


def drawn(neighbors, steps, n_nbr, runs, seed):
    """(R, T, n_nbr) cells whose f NA-RS asks for."""
    f, rng = np.zeros(len(neighbors)), np.random.default_rng(seed)
    return na_random_search(f, neighbors, steps=steps, n_nbr=n_nbr, runs=runs, rng=rng).evaluated


@pytest.mark.parametrize("n_nbr", [2, 10, 24, 25])
def test_draws_are_different_neighbors(neighbors, n_nbr):
    """Sees draws with replacement, from another cell's neighborhood, or without the cell itself first."""
    draws = drawn(neighbors, 20, n_nbr, 30, seed=7)
    assert draws.shape == (30, 20, n_nbr)
    for cells in draws.reshape(-1, n_nbr).tolist():
        assert len(set(cells)) == n_nbr and set(cells) <= set(neighbors[cells[0]].tolist())


def test_draws_are_uniform(neighbors):
    """Sees a neighbor, or a reference cell, drawn too often: binomial bounds of five standard deviations."""
    n = 20_000
    draws = drawn(neighbors, n, 10, 1, seed=8)[0]
    share = 9 / 24
    counts = (neighbors[draws[:, 0]][:, None, :] == draws[:, :, None]).sum((0, 1))
    assert counts[0] == n
    assert np.abs(counts[1:] - n * share).max() < 5 * math.sqrt(n * share * (1 - share))
    tenths = np.bincount(draws[:, 0] * 10 // len(neighbors), minlength=10)
    assert np.abs(tenths - n / 10).max() < 5 * math.sqrt(n * 0.09)


def test_evaluations_count_every_neighbor(errors, neighbors):
    """Sees a budget in steps instead of evaluations: T * n_nbr on both sides (Sec. 4.1)."""
    rng = np.random.default_rng(9)
    ours = na_random_search(errors, neighbors, steps=30, n_nbr=10, runs=2, rng=rng)
    rival = random_search(errors, steps=300, runs=2, rng=rng)
    assert ours.evaluations.tolist() == [10 * step for step in range(1, 31)]
    assert rival.evaluations.tolist() == list(range(1, 301))


def test_seed_gives_the_run(errors, neighbors):
    """Sees a global random state, and a seed without effect."""

    def found(seed):
        rng = np.random.default_rng(seed)
        return (
            random_search(errors, steps=50, runs=5, rng=rng).incumbent.tolist(),
            na_random_search(errors, neighbors, steps=50, runs=5, rng=rng).incumbent.tolist(),
        )

    assert found(1) == found(1)
    assert found(1)[0] != found(2)[0] and found(1)[1] != found(2)[1]


def test_too_many_neighbors_are_refused(errors, neighbors):
    """Sees an endless draw, or a message over several lines."""
    with pytest.raises(ValueError) as error:
        na_random_search(errors, neighbors, n_nbr=26, runs=2, steps=2, rng=np.random.default_rng(0))
    assert "\n" not in str(error.value)
