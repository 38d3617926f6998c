"""The steps: against a search written out with naive loops, hand-worked optimizers, and a second run from a state."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from flatlib import aggregators
from flatlib.run.checkpoint import RunStoppedError
from flatlib.search import bilevel, variants
from flatlib.search.bilevel import Learner
from flatlib.search.config import METHODS, SearchConfig, recipe
from flatlib.search.supernet import Supernet

pytestmark = pytest.mark.usefixtures("one_thread")

ALL_METHODS = [prefix + name for name in METHODS for prefix in ("", "na-")]


def tiny(method="na-darts", **values):
    """A config of the smallest network of its method, in float64."""
    channels = 8 if method.endswith("pc-darts") else 2
    defaults = {"space": "nas-bench-201", "channels": channels, "cells": 3, "epochs": 4, "n_nbr": 3, "d": 2}
    own = {"precision": "float64", "method": method, "arch_learning_rate": 0.0}
    return SearchConfig(**(own | defaults | values))


def learner(config, **options):
    return Learner(config, n_classes=3, in_channels=1, **({"kernels": "plain"} | options))


def batches(n=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 4, 1, 8, 8, generator=generator, dtype=torch.float64)
    return list(zip(images, torch.randint(3, (n, 4), generator=generator), strict=True))


def leaves(own):
    return {name: leaf.detach().clone() for name, leaf in {"weights": own.weights, **own.arch}.items()}


def adam_by_hand(p, slope, m, v, t, rate, decay=1e-3, betas=(0.5, 0.999)):
    """One Adam step, weight decay added to the gradient: Kingma and Ba, Algorithm 1."""
    g = slope + decay * p
    m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
    return p - rate * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + 1e-8), m, v


# --- Where a search starts ------------------------------------------------------------------------


def test_methods_with_the_same_seed_start_from_the_same_numbers():
    """Sees a neighborhood that changes the start, so that NA-DARTS and DARTS are not compared like with like."""
    first, *others = [leaves(learner(tiny(m, seed=3))) for m in ("darts", "na-darts", "snas", "na-sdarts-rs")]
    for other in others:
        assert all((first[name] == other[name]).all() for name in ("weights", "logits"))
    partial = learner(tiny("pc-darts", seed=3)).arch
    assert (partial["logits"] == first["logits"]).all() and partial["edge_logits"].shape == (1, 6)
    another = leaves(learner(tiny("darts", seed=4)))
    assert (first["weights"] != another["weights"]).any() and (first["logits"] != another["logits"]).all()


def test_first_logits_are_small_normal_numbers():
    """Sees a start far from the uniform alpha, or all logits 0."""
    logits = learner(SearchConfig(channels=2, cells=3)).arch["logits"].detach()
    assert logits.shape == (2, 14, 8) and logits.dtype == torch.float32
    assert 0.8e-3 < logits.std() < 1.2e-3 and abs(logits.mean()) < 3e-4


def test_second_order_with_a_neighborhood_is_refused():
    """Sees NA-DARTS that claims the unrolled step (Algorithm 1 is first order)."""
    with pytest.raises(ValueError, match="order = 2 with method = na-darts"):
        tiny("na-darts", order=2)


def test_schedule():
    """Sees a learning rate that ends early or starts late, and warm-up in a method that has none."""
    own = learner(tiny("na-pc-darts", epochs=10))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, 0.0)
    for epoch in range(10):
        own.begin_epoch(epoch)
        assert own.sgd.param_groups[0]["lr"] == own.learning_rate == pytest.approx(cosine.get_last_lr()[0], abs=1e-12)
        assert own.searches == (epoch >= 3)
        optimizer.step()
        cosine.step()
    darts = learner(tiny("darts", epochs=50))
    assert darts.searches and darts.noise == 0 and darts.temperature is None
    assert darts.learning_rate == 0.025
    darts.begin_epoch(49)
    assert darts.learning_rate == pytest.approx(0.001 + 0.024 * (1 + math.cos(math.pi * 49 / 50)) / 2)


def test_noise_and_temperature_follow_the_epochs():
    """Sees a ramp that is never moved on."""
    own = learner(tiny("sdarts-rs", epochs=4))
    assert own.noise == 0.03
    own.begin_epoch(3)
    assert own.noise == pytest.approx(0.3)
    own = learner(tiny("snas", epochs=4))
    assert own.temperature == 1
    own.begin_epoch(3)
    assert own.temperature == pytest.approx(0.03)


# --- Architecture step ----------------------------------------------------------------------------


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


# --- Weight step ----------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [5.0, 1e-2])
def test_weight_step_is_sgd_by_hand(clip):
    """Sees a clip by value or after the decay, decay left out, momentum that is lost, and the wrong alpha."""
    own, (train, _) = learner(tiny()), batches()
    own.recipe = replace(own.recipe, gradient_clip=clip)
    weights, velocity = own.weights.detach().clone(), 0
    for _ in range(2):
        leaf = weights.clone().requires_grad_()
        alphas = torch.softmax(own.arch["logits"].detach(), -1)[None]
        logits = own.net.logits(leaf, train[0], alphas)[0]
        loss = torch.nn.functional.cross_entropy(logits, train[1])
        loss.backward()
        norm = leaf.grad.norm().item()
        assert norm > 1e-2  # so that the small clip acts
        velocity = 0.9 * velocity + leaf.grad * min(1, clip / (norm + 1e-6)) + 3e-4 * weights
        weights = weights - 0.025 * velocity
        step = own.weight_step(train)
        assert step.loss == pytest.approx(loss.item(), rel=1e-12)
        assert step.accuracy == pytest.approx(100 * (logits.argmax(-1) == train[1]).double().mean().item())
        assert torch.allclose(own.weights.detach(), weights, rtol=0, atol=1e-12)
    assert own.steps == 2 and own.arch["logits"].grad is None


@pytest.mark.parametrize("method", ["sdarts-rs", "snas", "pc-darts"])
def test_weight_step_of_the_variants(method):
    """Sees a weight step at plain alpha where the method noises, samples or weighs edges."""
    own, (train, _) = learner(tiny(method)), batches()
    rng = np.random.default_rng()
    rng.bit_generator.state = own.rng.bit_generator.state
    alphas, gamma = torch.softmax(own.arch["logits"].detach(), -1)[None], None
    if method == "sdarts-rs":
        alphas = variants.smoothed(alphas, torch.tensor(rng.uniform(-0.03, 0.03, alphas.shape)))
    elif method == "snas":
        alphas = variants.gumbel_softmax(alphas, torch.tensor(rng.gumbel(size=alphas.shape)), 1.0)
    else:
        gamma = variants.normalize_edges(own.arch["edge_logits"].detach(), own.space)
    logits = own.net.logits(own.weights.detach(), train[0], alphas, edge_weights=gamma)[0]
    assert own.weight_step(train).loss == pytest.approx(torch.nn.functional.cross_entropy(logits, train[1]).item())


# --- What is kept, and what goes wrong ------------------------------------------------------------


def run(own, epochs, data):
    found = []
    for epoch in epochs:
        own.begin_epoch(epoch)
        found += [own.arch_step(*data), own.weight_step(data[0])]
    return found


@pytest.mark.parametrize("method", ["darts", "na-darts", "na-pc-darts", "na-snas", "sdarts-rs"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_restored_search_gives_the_same_bits(method, precision):
    """Sees an optimizer, random state or schedule that a checkpoint forgets, and a state that moves with the search."""
    config, data = tiny(method, precision=precision), batches()
    own = learner(config)
    run(own, [0, 1], data)
    file = io.BytesIO()
    state = own.state()
    first = run(own, [2, 3], data)
    torch.save(state, file)
    file.seek(0)
    for saved in (torch.load(file, weights_only=True), state, state):  # twice: restoring must not move the state
        other = learner(config)
        other.restore(saved)
        assert other.learning_rate != learner(config).learning_rate and other.steps == 2
        again = run(other, [2, 3], data)
        assert all((a == b).all() for a, b in zip(leaves(own).values(), leaves(other).values(), strict=True))
        assert str(again) == str(first)
        assert other.rng.bit_generator.state == own.rng.bit_generator.state


def test_alphas_are_probabilities():
    """Sees logits instead of alphas, float32 sums, and edge weights of a method without them."""
    own = learner(tiny("na-pc-darts", precision="float32"))
    alphas, gamma = own.alphas(), own.edge_weights()
    assert alphas.shape == (1, 6, 5) and alphas.dtype == gamma.dtype == np.float64
    assert np.allclose(alphas.sum(-1), 1, rtol=0, atol=1e-15)
    assert gamma.shape == (1, 6) and gamma.sum() == pytest.approx(3)  # one a node
    assert learner(tiny()).edge_weights() is None


@pytest.mark.parametrize("aggregator", ["mean", "max", "variance"])
def test_loss_that_is_not_finite_ends_the_search(aggregator):
    """Sees a search that goes on with nan, or has moved before it stops; the line names step and part."""
    own, (train, valid) = learner(tiny(aggregator=aggregator)), batches()
    own.weight_step(train)
    before = leaves(own)
    broken = (valid[0] * math.nan, valid[1])
    with pytest.raises(RunStoppedError, match=r"^step 2, architecture: a loss or its gradient is not finite; try"):
        own.arch_step(train, broken)
    with pytest.raises(
        RunStoppedError, match=r"^step 2, weights: .*; try precision = float32 \(now float64\)"
    ) as error:
        own.weight_step(broken)
    assert "\n" not in str(error.value)
    assert all((a == b).all() for a, b in zip(before.values(), leaves(own).values(), strict=True))


def test_gradient_that_is_not_finite_ends_the_search(monkeypatch):
    """Sees a finite loss whose gradient is not, which would make every weight nan."""
    own, (train, _) = learner(tiny()), batches()
    monkeypatch.setattr(torch.autograd, "grad", lambda output, inputs: (torch.full_like(inputs, math.inf),))
    with pytest.raises(RunStoppedError, match="step 1, weights: a loss or its gradient is not finite"):
        own.weight_step(train)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16", "float64"])
@pytest.mark.parametrize("method", ["na-darts", "na-pc-darts"])
def test_precision_is_that_of_the_supernet(precision, method, monkeypatch):
    """Sees a network in another precision than asked for, learned numbers in 16 bits, flags of torch set on a CPU."""
    seen, flags = set(), (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    logits = Supernet.logits

    def noting(net, *tensors, **options):
        found = logits(net, *tensors, **options)
        seen.update(x.dtype for x in (*tensors, found))
        return found

    monkeypatch.setattr(Supernet, "logits", noting)
    own, exact = learner(tiny(method, precision=precision)), learner(tiny(method))
    data = [(images.float(), labels) for images, labels in batches()]
    step, loss = own.arch_step(*data), own.weight_step(data[0]).loss
    assert seen == {{"bf16": torch.bfloat16, "float64": torch.float64}.get(precision, torch.float32)}
    assert {leaf.dtype for leaf in leaves(own).values()} == {
        exact.weights.dtype if precision == "float64" else torch.float32
    }
    tolerance = {"bf16": 0.1, "float64": 1e-12}.get(precision, 1e-4)
    assert np.allclose(step.losses, exact.arch_step(*data).losses, rtol=tolerance, atol=0)
    assert loss == pytest.approx(exact.weight_step(data[0]).loss, rel=tolerance)
    assert flags == (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)


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
