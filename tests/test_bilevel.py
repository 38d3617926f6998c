"""Sees a search that starts or goes on otherwise than seed, schedule and state say, or takes a wrong weight step."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_learner import batches, learner, leaves, tiny

from flatlib.run.checkpoint import RunStoppedError
from flatlib.search import variants
from flatlib.search.config import METHODS, SearchConfig
from flatlib.search.supernet import Supernet

ALL_METHODS = [prefix + name for name in METHODS for prefix in ("", "na-")]


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
