"""Local search, evolution, REINFORCE and TPE against plain loops: sees a rival that searches or counts wrongly."""

import itertools
from functools import partial

import numpy as np
import pytest

from flatlib.aggregators import mean
from flatlib.spaces import all_archs
from flatlib.tabular.rivals import (
    evolution,
    local_search,
    reinforce,
    search,
)
from flatlib.tabular.samplers import incumbents


@pytest.fixture(scope="module")
def archs():
    """The whole space."""
    return all_archs()


@pytest.fixture(scope="module")
def neighbors(archs, small_table):
    """(A, 25) rows in the order of `archs`."""
    order = np.argsort(small_table.archs @ 5 ** np.arange(5, -1, -1))
    position = np.argsort(order)
    return position[small_table.neighbors(1)[order]]


@pytest.fixture(scope="module")
def errors(archs):
    """(A,) in eighths, rugged, with many ties."""
    return np.random.default_rng(1).integers(40, 400, len(archs)) / 8


@pytest.fixture(scope="module")
def bowl(archs):
    """(A,) one minimum: the number of edges that are not 2, 3, 1, 4, 0, 2."""
    return (archs != [2, 3, 1, 4, 0, 2]).sum(1).astype(float)


@pytest.fixture(scope="module")
def samplers(archs, neighbors):
    """name -> sampler(runs, rng)."""
    moves = neighbors[:, 1:]
    return {
        "local": partial(local_search, moves),
        "evolution": partial(evolution, moves),
        "reinforce": partial(reinforce, archs),
    }


# --- against plain loops on the same random numbers ---------------------------------------------------


def plain_local_search(errors, hoods, evaluations, rng):
    """White et al.'s search in plain Python: the requested cells in order."""
    requested = []
    while True:
        center = int(rng.integers(0, len(hoods), 1)[0])
        requested.append(center)
        while True:
            keys = rng.random(24)
            ordered = [hoods[center][i] for i in sorted(range(24), key=lambda i: keys[i])]
            requested += ordered
            if len(requested) >= evaluations:
                return requested[:evaluations]
            best = min(ordered, key=lambda cell: errors[cell])  # of equals the first
            if errors[best] >= errors[center]:
                break
            center = best


def plain_evolution(errors, hoods, evaluations, rng, population, sample):
    """Real et al.'s Algorithm 1 with a queue; a slot is a member's number modulo the population."""
    history = []
    while len(history) < evaluations:
        if len(history) < population:
            history.append(int(rng.integers(0, len(hoods), 1)[0]))
        else:
            alive = {age % population: cell for age, cell in enumerate(history)}  # the latest of each slot
            drawn = [alive[slot] for slot in rng.integers(0, population, (sample, 1))[:, 0].tolist()]
            parent = min(drawn, key=lambda cell: errors[cell])
            history.append(hoods[parent][int(rng.integers(0, 24, 1)[0])])
    return history


def test_local_search_is_the_loop(errors, neighbors):
    """Sees a move to another than the best neighbor, to an equal one, before all were seen, or no new start."""
    for seed in range(5):
        trace = search(
            local_search(neighbors[:, 1:], 1, (rng := np.random.default_rng(seed))),
            errors,
            evaluations=700,
            rng=rng,
        )
        loop = plain_local_search(errors.tolist(), neighbors[:, 1:].tolist(), 700, np.random.default_rng(seed))
        assert trace.evaluated[0, :, 0].tolist() == loop
        assert trace.incumbent[0, -1] == min(loop, key=lambda cell: errors[cell])
        assert trace.distinct[0] == len(set(loop))


@pytest.mark.parametrize(("population", "sample"), [(10, 10), (7, 3)])
def test_evolution_is_the_loop(errors, neighbors, population, sample):
    """Sees the worst dropped in place of the oldest, a parent not from the sample, a mutation of two edges."""
    for seed in range(5):
        sampler = evolution(
            neighbors[:, 1:], 1, (rng := np.random.default_rng(seed)), population=population, sample=sample
        )
        trace = search(sampler, errors, evaluations=300, rng=rng)
        loop = plain_evolution(
            errors.tolist(), neighbors[:, 1:].tolist(), 300, np.random.default_rng(seed), population, sample
        )
        assert trace.evaluated[0, :, 0].tolist() == loop


def replay(cells, scores, hoods):
    """Check one run of local search request by request; the scores of its successive centers."""
    at, centers = 0, []
    while at < len(cells):
        center, score = cells[at], scores[at]
        centers.append([score])
        at += 1
        while at < len(cells):
            seen = cells[at : at + 24]
            assert set(seen) <= set(hoods[center]) and len(set(seen)) == len(seen)
            best = int(np.argmin(scores[at : at + 24])) + at
            at += 24
            if at > len(cells) or scores[best] >= score:
                break
            center, score = cells[best], scores[best]
            centers[-1].append(score)
    return centers


@pytest.mark.parametrize("n_nbr", [None, 4])
def test_local_search_never_moves_to_a_worse_cell(errors, neighbors, n_nbr):
    """Sees runs that share their place or their order, and a move upwards, with and without the neighborhood."""
    rng = np.random.default_rng(2)
    judged_by = {} if n_nbr is None else {"neighbors": neighbors, "n_nbr": n_nbr}
    sampler = local_search(neighbors[:, 1:], 30, rng)
    trace = search(sampler, errors, **judged_by, evaluations=400 * (n_nbr or 1), rng=rng)
    hoods = neighbors[:, 1:].tolist()
    for run in trace.evaluated:
        centers = replay(run[:, 0].tolist(), errors[run].mean(1).tolist(), hoods)
        assert all(earlier > later for start in centers for earlier, later in itertools.pairwise(start))
        assert len(centers) > 1
    assert len({tuple(run) for run in trace.evaluated[:, :, 0].tolist()}) == 30


# --- the objective and its budget ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local", "evolution", "reinforce"])
@pytest.mark.parametrize(("n_nbr", "evaluations", "requests"), [(None, 70, 70), (10, 1000, 100), (10, 79, 7)])
def test_budget_is_exact(samplers, errors, neighbors, name, n_nbr, evaluations, requests):
    """Sees a budget in requests instead of evaluations, one request too many, or a neighbor not counted."""
    rng = np.random.default_rng(3)
    judged_by = {} if n_nbr is None else {"neighbors": neighbors, "n_nbr": n_nbr}
    trace = search(samplers[name](6, rng), errors, **judged_by, evaluations=evaluations, rng=rng)
    assert trace.incumbent.shape == (6, requests)
    assert trace.evaluated.shape == (6, requests, n_nbr or 1)
    assert trace.evaluations[-1] == trace.evaluated[0].size <= evaluations
    assert trace.distinct.tolist() == [len(set(run.ravel().tolist())) for run in trace.evaluated]


@pytest.mark.parametrize("name", ["local", "evolution", "reinforce"])
def test_incumbent_is_the_best_request(samplers, errors, neighbors, name):
    """Sees a returned cell that was not requested, or judged by other neighbors than were counted."""
    rng = np.random.default_rng(4)
    trace = search(samplers[name](5, rng), errors, neighbors, n_nbr=8, aggregate=mean, evaluations=800, rng=rng)
    expected = incumbents(trace.evaluated[:, :, 0], errors[trace.evaluated].mean(2))
    np.testing.assert_array_equal(trace.incumbent, expected)
    for sampled in trace.evaluated.reshape(-1, 8).tolist():
        assert len(set(sampled)) == 8 and set(sampled) <= set(neighbors[sampled[0]].tolist())


def test_neighbors_are_drawn_anew(errors, neighbors):
    """Sees a neighborhood score that is remembered: a cell requested again shows other neighbors."""

    def stays():
        while True:
            yield np.array([7])

    trace = search(stays(), errors, neighbors, evaluations=500, rng=np.random.default_rng(5))
    assert len({tuple(sorted(sampled)) for sampled in trace.evaluated[0].tolist()}) > 40


def test_a_budget_below_one_request_is_refused(samplers, errors, neighbors):
    """Sees a search that returns nothing, or spends more than it has."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"^evaluations = 9: one request costs 10; allowed: that or more$"):
        search(samplers["local"](2, rng), errors, neighbors, evaluations=9, rng=rng)


@pytest.mark.parametrize("name", ["local", "evolution", "reinforce"])
def test_seed_gives_the_run(samplers, errors, name):
    """Sees a global random state, and a seed without effect."""

    def found(seed):
        rng = np.random.default_rng(seed)
        return search(samplers[name](4, rng), errors, evaluations=200, rng=rng).evaluated.tolist()

    assert found(1) == found(1) != found(2)


@pytest.mark.parametrize("name", ["local", "evolution", "reinforce"])
def test_a_bowl_is_solved(samplers, bowl, name):
    """Sees a search upwards, or moves that do not reach every cell; by chance 1,000 draws find it in 6 % of runs."""
    rng = np.random.default_rng(6)
    trace = search(samplers[name](50, rng), bowl, evaluations=1000, rng=rng)
    assert (bowl[trace.found] == 0).mean() >= 0.95
