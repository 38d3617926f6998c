"""Local search, evolution, REINFORCE and TPE against plain loops: sees a rival that searches or counts wrongly."""

import importlib.util
import itertools
from functools import partial

import numpy as np
import pandas as pd
import pytest

from flatlib.aggregators import mean
from flatlib.spaces import all_archs
from flatlib.tabular import rivals
from flatlib.tabular.analysis import Budget
from flatlib.tabular.rivals import (
    bayesian_optimization,
    evolution,
    local_search,
    reinforce,
    rivals_by_epoch,
    search,
    winners,
)
from flatlib.tabular.samplers import incumbents

needs_optuna = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="no optuna: pip install '.[bo]'")


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


# --- REINFORCE -------------------------------------------------------------------------------------------


def test_policy_gradient_is_autograd(archs):
    """Sees a wrong sign, a missing advantage, or the gradient of another log-likelihood."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    logits, drawn, advantage = rng.normal(size=(9, 6, 5)), rng.integers(0, 5, (9, 6)), rng.normal(size=9)
    free = torch.tensor(logits, requires_grad=True)
    log_p = torch.log_softmax(free, -1).gather(-1, torch.tensor(drawn)[..., None]).sum((1, 2))
    (torch.tensor(advantage) * log_p).sum().backward()
    np.testing.assert_allclose(rivals.policy_gradient(logits, drawn, advantage), free.grad.numpy(), atol=1e-12)


def test_reinforce_is_adam_on_the_policy(archs, errors):
    """Sees a baseline that knows the present reward, another Adam, or a cell drawn from other probabilities."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    trace = search(reinforce(archs, 1, rng, requests=60), errors, evaluations=60, rng=rng)
    rng, baseline = np.random.default_rng(8), None
    logits = torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=60**-0.5)
    for cell in trace.evaluated[0, :, 0]:
        below = torch.softmax(logits, -1).detach().numpy().cumsum(-1)
        arch = [int((row[:-1] < u).sum()) for row, u in zip(below, rng.random(6), strict=True)]
        assert archs[cell].tolist() == arch
        reward = -errors[cell]
        advantage = 0.0 if baseline is None else reward - baseline
        baseline = reward if baseline is None else 0.9 * baseline + 0.1 * reward
        adam.zero_grad()
        (-advantage * torch.log_softmax(logits, -1)[range(6), arch].sum()).backward()
        adam.step()


# --- Bayesian optimization -------------------------------------------------------------------------------


@needs_optuna
def test_bayesian_optimization(archs, bowl):
    """Sees trials told to another study, an edge read as another one, or a seed without effect."""

    def trace(seed):
        rng = np.random.default_rng(seed)
        return search(bayesian_optimization(archs, 3, rng), bowl, evaluations=120, rng=rng)

    first = trace(9)
    assert first.evaluated.tolist() == trace(9).evaluated.tolist() != trace(10).evaluated.tolist()
    assert len({tuple(run) for run in first.evaluated[:, :, 0].tolist()}) == 3
    assert bowl[first.found].max() <= 1  # 120 random draws find a cell that good in 18 % of runs
    assert bowl[first.evaluated[:, 60:, 0]].mean() < bowl[first.evaluated[:, :10, 0]].mean() - 1


def test_missing_optuna_is_one_line(synthetic_experiment, monkeypatch, capsys):
    """Sees a notebook that ends because an extra is not installed."""
    monkeypatch.setattr(rivals, "find_spec", lambda name: None)
    budget = Budget(steps=2, n_nbr=2, runs=2)
    assert len(rivals.rivals(synthetic_experiment, budget, bo_runs=3)) == 4
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert len(rivals.rivals(synthetic_experiment, budget)) == 4 and not capsys.readouterr().out


# --- the comparison --------------------------------------------------------------------------------------


def test_everyone_has_the_same_budget(synthetic_experiment):
    """Sees a rival with more evaluations than random search, or the neighborhood left out of its objective."""
    budget = Budget(steps=12, n_nbr=5, runs=7)
    for chosen, cost in ((None, 1), ("max", 5)):
        searches = rivals.rivals(synthetic_experiment, budget, chosen)
        assert [trace.evaluations[-1] for _, trace in searches] == [60] * 4
        assert [trace.evaluated.shape for _, trace in searches] == [(7, 60 // cost, cost)] * 4
        score = {None: lambda e: e[..., 0], "max": lambda e: e.max(-1)}[chosen]
        for row, trace in searches:
            assert ("NA-" in row) == (chosen is not None)
            scores = score(synthetic_experiment.f[trace.evaluated])
            np.testing.assert_array_equal(trace.incumbent, incumbents(trace.evaluated[:, :, 0], scores))


def test_rivals_by_epoch_reads_each_f(synthetic_experiment):
    """Sees an epoch judged with another epoch's f, or a column's errors under another name."""
    budget = Budget(steps=6, n_nbr=5, runs=4)
    points = rivals_by_epoch(synthetic_experiment, budget)
    assert len(points[["key", "epoch"]].drop_duplicates()) * 8 * len(synthetic_experiment.targets) == len(points)
    then = synthetic_experiment.reading(synthetic_experiment.key, 3, "first")
    for row, trace in rivals.rivals(then, budget) + rivals.rivals(then, budget, "mean"):
        found = points.set_index(["key", "epoch", "column", "row"]).errors[then.key, 3, "toy", row]
        np.testing.assert_array_equal(found, then.targets["toy"][trace.found])


def test_winners():
    """Sees the worst sampler named, or another runner-up than the second."""
    spread = np.array([-1.0, 0.0, 1.0])
    points = [("k", 3, "toy", row, at + spread) for row, at in (("a", 5.0), ("b", 2.0), ("c", 4.0))]
    (won,) = winners(pd.DataFrame(points, columns=["key", "epoch", "column", "row", "errors"])).itertuples()
    assert (won.f, won.epoch, won.column, won.winner, won.runner_up, won.error) == ("k", 3, "toy", "b", "c", 2.0)
    assert won.lead == pytest.approx(2.0) and won.low < 2 < won.high
