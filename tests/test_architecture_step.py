"""Sees an architecture step that is not Algorithm 1, or the unrolled one: against naive loops and Adam by hand."""

import numpy as np
import pytest
import torch
from tiny_learner import adam_by_hand, batches, learner, leaves, tiny

from flatlib import aggregators
from flatlib.search import bilevel, variants
from flatlib.search.config import METHODS, recipe
from flatlib.search.supernet import Supernet

ALL_METHODS = [prefix + name for name in METHODS for prefix in ("", "na-")]


def spied(monkeypatch):
    """What the step's neighbors and Gumbel samples were: draw_neighbors and gumbel_softmax leave a note."""
    notes = {}

    def noting(name, function):
        def noted(*arguments, **options):
            notes[name] = (*arguments, function(*arguments, **options))
            return notes[name][-1]

        return noted

    monkeypatch.setattr(bilevel, "draw_neighbors", noting("draw", bilevel.draw_neighbors))
    monkeypatch.setattr(variants, "gumbel_softmax", noting("gumbel", variants.gumbel_softmax))
    return notes


@pytest.mark.parametrize("aggregator", ["mean", "max", "variance"])
@pytest.mark.parametrize("method", ALL_METHODS)
def test_arch_step_is_algorithm_1_and_adam(method, aggregator, monkeypatch):
    """Sees a gradient, weighting or optimizer that differs from Algorithm 1 with naive loops and Adam by hand."""
    config = tiny(method, aggregator=aggregator, lam=0.5, epochs=1)
    own, (train, valid), notes = learner(config, chunk=2), batches(), spied(monkeypatch)
    before, rate = leaves(own), recipe(config).arch_learning_rate
    step = own.arch_step(train, valid)

    leaf = {name: values.clone().requires_grad_() for name, values in before.items()}
    neighbors = notes["draw"][-1](torch.softmax(leaf["logits"], -1))
    if method.endswith("snas"):
        neighbors = variants.gumbel_softmax(neighbors, *notes["gumbel"][1:3])
    gamma = variants.normalize_edges(leaf["edge_logits"], own.space) if "edge_logits" in leaf else None
    f = torch.stack(
        [
            torch.nn.functional.cross_entropy(
                own.net.logits(leaf["weights"], valid[0], alphas[None], edge_weights=gamma)[0], valid[1]
            )
            for alphas in neighbors
        ]
    )
    spread = ((f - f.mean()) ** 2).mean()
    g = {"mean": f.mean(), "max": f.max(), "variance": f[0] + 0.5 * (spread.sqrt() if len(f) > 1 else 0)}[aggregator]
    g.backward()

    assert len(step.losses) == (3 if method.startswith("na-") else 1)
    assert np.allclose(step.losses, f.detach().numpy(), rtol=1e-12, atol=0)
    assert step.objective == pytest.approx(aggregators.aggregator(aggregator, 0.5)(step.losses), rel=1e-13)
    assert step.objective == pytest.approx(g.item(), rel=1e-12) and step.loss == step.losses[0]
    for name in own.arch:
        assert np.allclose(own.arch[name].grad, leaf[name].grad, rtol=1e-8, atol=1e-10 * leaf[name].grad.abs().max())
        moved, *_ = adam_by_hand(before[name].numpy(), own.arch[name].grad.numpy(), 0, 0, 1, rate)
        assert np.allclose(own.arch[name].detach(), moved, rtol=0, atol=1e-15)
    assert (own.weights == before["weights"]).all() and own.weights.grad is None


def test_two_adam_steps_by_hand():
    """Sees moments that are lost between steps, or betas other than (0.5, 0.999)."""
    own, (train, valid) = learner(tiny()), batches()
    p, m, v = own.arch["logits"].detach().numpy().copy(), 0, 0
    for t in (1, 2):
        own.arch_step(train, valid)
        p, m, v = adam_by_hand(p, own.arch["logits"].grad.numpy(), m, v, t, 3e-4)
    assert np.allclose(own.arch["logits"].detach(), p, rtol=0, atol=1e-15)


def test_arch_step_takes_no_weight_gradient(monkeypatch):
    """Sees an architecture step that pays for weight gradients it throws away."""
    seen = []
    logits = Supernet.logits
    monkeypatch.setattr(
        Supernet, "logits", lambda net, w, *a, **o: seen.append(w.requires_grad) or logits(net, w, *a, **o)
    )
    for aggregator in ("mean", "max", "variance"):
        learner(tiny(aggregator=aggregator)).arch_step(*batches())
    assert seen and not any(seen)


def test_weight_step_takes_no_architecture_gradient(monkeypatch):
    """Sees a weight step that pays for gradients of alpha or of PC-DARTS's edge weights."""
    seen = []
    logits = Supernet.logits

    def noting(net, weights, images, alphas, *, edge_weights, **options):
        seen.append((weights.requires_grad, alphas.requires_grad, edge_weights.requires_grad))
        return logits(net, weights, images, alphas, edge_weights=edge_weights, **options)

    monkeypatch.setattr(Supernet, "logits", noting)
    learner(tiny("na-pc-darts")).weight_step(batches()[0])
    assert seen == [(True, False, False)]


@pytest.mark.parametrize("method", ["darts", "na-darts", "na-pc-darts", "snas"])
@pytest.mark.parametrize("aggregator", ["mean", "max", "variance"])
def test_compiled_steps_are_the_plain_ones(method, aggregator):
    """Sees compiled kernels that are called with other inputs than the plain ones."""
    config, data = tiny(method, aggregator=aggregator, space="s3"), batches()
    fast, plain = (learner(config, kernels=one, chunk=2) for one in ("auto", "plain"))
    assert np.allclose(fast.arch_step(*data).losses, plain.arch_step(*data).losses, rtol=1e-12, atol=0)
    assert fast.weight_step(data[0]).loss == pytest.approx(plain.weight_step(data[0]).loss, rel=1e-12)
    for own, other in zip((fast.weights, *fast.arch.values()), (plain.weights, *plain.arch.values()), strict=True):
        assert (own.grad - other.grad).norm() < 1e-10 * other.grad.norm()  # 1e-15 measured


@pytest.mark.parametrize("eps", [0.1, 0.02])
def test_neighbors_follow_the_seed_and_the_threshold(eps):
    """Sees neighbors that are the same for each seed, and eps passed over."""
    found = []
    for seed in (0, 0, 1):
        own = learner(tiny(eps=eps, n_nbr=20, seed=seed))
        found.append(own._neighbors(torch.full((1, 6, 5), 0.2, dtype=torch.float64)).numpy())
    assert (found[0] == found[1]).all() and (found[0][1:] != found[2][1:]).any((1, 2, 3)).all()
    ratio, limit = (found[0].max(-1) / found[0].min(-1)).max(), (0.2 + eps) / (0.2 - eps)
    assert 1 + 0.7 * (limit - 1) < ratio <= limit + 1e-12


@pytest.mark.parametrize("aggregator", ["mean", "max", "variance"])
def test_chunks_give_the_same_step(aggregator):
    """Sees a step that depends on how many neighbors are in memory."""
    steps = [learner(tiny(aggregator=aggregator), chunk=chunk) for chunk in (None, 1, 2)]
    found = [own.arch_step(*batches()) for own in steps]
    for own, step in zip(steps[1:], found[1:], strict=True):
        assert np.allclose(step.losses, found[0].losses, rtol=1e-13, atol=0)
        assert step.accuracy == found[0].accuracy
        assert torch.allclose(own.arch["logits"].grad, steps[0].arch["logits"].grad, rtol=1e-9, atol=1e-13)


def test_max_uses_the_multiplicative_representation():
    """Sees max with additive neighbors, where A.2.1 says multiplicative, and the setting passed over."""
    for representation, one_hot in (("auto", True), ("additive", False)):
        own = learner(tiny(aggregator="max", representation=representation))
        neighbors = own._neighbors(torch.softmax(own.arch["logits"], -1)).detach()
        assert ((neighbors[1:] == 1).any(-1).sum(-1) == (2 if one_hot else 0)).all()


def loss_on(net, batch):
    """Weights and one cell's alphas -> cross-entropy."""
    return lambda w, alphas: torch.nn.functional.cross_entropy(net.logits(w, batch[0], alphas[None])[0], batch[1])


def test_second_order_step():
    """Sees xi that is not the current rate, w' without momentum or decay, and a wrong chain to the logits."""
    own, (train, valid) = learner(tiny("darts", order=2)), batches()
    for _ in range(2):  # the first step meets no momentum buffer
        own.begin_epoch(2)
        logits = own.arch["logits"].detach().clone().requires_grad_()
        buffer = own.sgd.state[own.weights].get("momentum_buffer", torch.zeros_like(own.weights))

        alphas, rate = torch.softmax(logits, -1), 0.001 + 0.024 / 2  # half of four epochs
        value, gradient = variants.unrolled_gradient(
            *(loss_on(own.net, train), loss_on(own.net, valid), own.weights, alphas),
            **{"learning_rate": rate, "weight_decay": 3e-4, "push": 0.9 * buffer},
        )
        (expected,) = torch.autograd.grad(alphas, logits, gradient)
        step = own.arch_step(train, valid)
        assert step.objective == step.loss == pytest.approx(value.item(), rel=1e-10) and step.losses.shape == (1,)
        assert (own.arch["logits"].grad - expected).norm() < 1e-8 * expected.norm()
        own.weight_step(train)


def test_folded_network_shares_its_stem(monkeypatch):
    """Sees the fast path's shared terms that are not asked for, or asked for where weights need gradients."""
    asked, given = [], []
    logits = Supernet.logits
    monkeypatch.setattr(Supernet, "share", lambda net, weights, images: asked.append(len(images)) or {"shared": 1})

    def noting(net, weights, images, alphas, *, shared=None, **options):
        given.append(shared)
        return logits(net, weights, images, alphas, **options)

    monkeypatch.setattr(Supernet, "logits", noting)
    train, valid = batches()
    for method, shares in (("na-darts", 1), ("darts", 0), ("na-pc-darts", 0)):
        asked.clear(), given.clear()
        own = learner(tiny(method), chunk=2)
        own.arch_step(train, valid)
        assert len(asked) == shares and all((note is not None) == bool(shares) for note in given)
        given.clear()
        own.weight_step(train)
        assert given == [None]


def test_search_learns():
    """Sees a step that climbs: both losses fall on data that is seen again and again."""
    own, data = learner(tiny("na-darts", precision="float32", channels=4)), batches()
    found = [(own.arch_step(*data).objective, own.weight_step(data[0]).loss) for _ in range(25)]
    assert np.mean([loss for _, loss in found[-5:]]) < 0.7 * np.mean([loss for _, loss in found[:5]])


@pytest.mark.parametrize("sign", [1, -1])
def test_arch_step_descends_g(sign):
    """Sees Adam that climbs g: a step along the gradient raises it, against it lowers it, the neighbors being equal."""
    own, data = learner(tiny("darts")), batches()
    first, slope = own.arch_step(*data), own.arch["logits"].grad.clone()
    moved = learner(tiny("darts"))
    moved.arch["logits"].data += sign * 1e-4 * slope / slope.norm()
    change = moved.arch_step(*data).objective - first.objective
    assert change == pytest.approx(sign * 1e-4 * slope.norm().item(), rel=0.05)
    stepped = own.arch["logits"] - learner(tiny("darts")).arch["logits"]
    assert (stepped.detach() * slope).sum() < 0
