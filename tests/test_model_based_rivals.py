"""REINFORCE and Bayesian optimization: sees a wrong gradient, or a score told to another run."""

import importlib.util

import numpy as np
import pytest

from flatlib.spaces import all_archs
from flatlib.tabular import rivals
from flatlib.tabular.analysis import Budget
from flatlib.tabular.rivals import (
    bayesian_optimization,
    reinforce,
    search,
)

needs_optuna = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="no optuna: pip install '.[bo]'")


@pytest.fixture(scope="module")
def archs():
    """The whole space."""
    return all_archs()


@pytest.fixture(scope="module")
def errors(archs):
    """(A,) in eighths, rugged, with many ties."""
    return np.random.default_rng(1).integers(40, 400, len(archs)) / 8


@pytest.fixture(scope="module")
def bowl(archs):
    """(A,) one minimum: the number of edges that are not 2, 3, 1, 4, 0, 2."""
    return (archs != [2, 3, 1, 4, 0, 2]).sum(1).astype(float)


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
