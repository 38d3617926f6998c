"""What is added from outside behaves as what ships: gradients, resuming, one line for a mistake."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from flatlib.aggregators import AGGREGATORS, SLOPES
from flatlib.search.bilevel import LEARNERS, Learner
from flatlib.search.config import RECIPES, Recipe, SearchConfig
from flatlib.search.derive import derive, one_hot_alphas
from flatlib.search.kernels import choose
from flatlib.search.objective import aggregated_gradient
from flatlib.search.operations import OPERATIONS, WEIGHTS
from flatlib.search.search import search
from flatlib.search.supernet import Supernet
from flatlib.spaces import DARTS, S3, SPACES, Space, genotype

EDGES = tuple((source, node) for node in (2, 3) for source in range(node))
MINE = Space("mine", ("none", "skip_connect", "mix"), EDGES)


def mix(x, weights, edge, stride):
    return F.conv2d(x[..., ::stride, ::stride], weights["conv_mix"][edge])  # torch's own stride 2 harms memory


@pytest.fixture
def mine(monkeypatch):
    monkeypatch.setitem(OPERATIONS, "mix", mix)
    monkeypatch.setitem(WEIGHTS, "mix", lambda c, edges, stride: {"conv_mix": (edges, c, c, 1, 1)})
    monkeypatch.setitem(SPACES, "mine", MINE)
    return MINE


def test_an_added_operation_has_weights_of_each_edge(mine):
    """Sees weights shared among edges, of wrong shape or scale, or an operation that alpha does not reach."""
    net = Supernet(mine, 2, 3, 3, in_channels=1, kernels="naive")
    weights = net.initial_weights(torch.Generator().manual_seed(0)).double().requires_grad_()
    shapes = {key: shape for key, shape in net.shapes.items() if key[0] == "conv_mix"}
    assert [shape[0] for (_, at, _), shape in shapes.items() if at == 0] == [2, 2, 1]  # edges from nodes 0, 1, 2
    assert net.n_joined == 2 and net.shapes["head", -1, -1] == (3, 2 * net.plan[-1].channels)
    first = net.named(weights)["conv_mix", 0, 0].abs().max()
    assert 0.3 / 2**0.5 < first <= 1 / 2**0.5
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    alphas = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(3), (1, 2, 5))).requires_grad_()
    logits = net.logits(weights, images, alphas)
    slope_w, slope_a = torch.autograd.grad(logits[0, :, 0].sum(), (weights, alphas))
    assert all((net.named(slope_w)[key].flatten(1).abs().sum(1) > 0).all() for key in shapes)
    with torch.no_grad():
        moved = alphas.detach().clone()
        moved[0, 1, 3, 2] += 1e-6
        difference = (net.logits(weights, images, moved) - logits)[0, :, 0].sum() / 1e-6
    assert slope_a[0, 1, 3, 2].item() == pytest.approx(difference.item(), rel=1e-4)


def test_the_fast_ways_refuse_a_space_that_they_do_not_know(mine):
    """Sees a kernel that computes the operations of another space, or leaves one out, in silence."""
    config, cpu = SearchConfig(space="mine", d=5), torch.device("cpu")
    assert choose(config, cpu) == choose(config, cpu, "naive") == "naive"
    for asked in ("plain", "compiled", "triton"):
        with pytest.raises(ValueError, match=f"^kernels = '{asked}': operations of mine .*; choose auto or naive$"):
            choose(config, cpu, asked)
        with pytest.raises(ValueError, match=f"^kernels = '{asked}': mine has operations of its own; take 'naive'$"):
            Supernet(mine, 2, 3, 3, kernels=asked)
    turned = Space("turned", DARTS.operations[::-1], DARTS.edges)
    with pytest.raises(ValueError, match="turned has operations of its own"):
        Supernet(turned, 2, 3, 3)


def test_mistakes_are_one_line(mine):
    """Sees an operation that is missing, a one-input cell or too large a d that fails somewhere in the middle."""
    with pytest.raises(ValueError, match=r"^other: no operation 'conv_9x9' in OPERATIONS; add it there first$"):
        Supernet(Space("other", ("none", "conv_9x9"), EDGES), 2, 3, 3, kernels="naive")
    with pytest.raises(ValueError, match=r"^chain: its first edge ends at node 1; nodes 0 and 1 are inputs$"):
        Supernet(Space("chain", S3.operations, ((0, 1), (1, 2))), 2, 3, 3)
    with pytest.raises(ValueError, match=r"^d = 6: a cell of mine has 5 edges; allowed: 0 to 5$"):
        SearchConfig(space="mine", d=6)
    with pytest.raises(ValueError, match=r"^space = 'yours': allowed: nas-bench-201, darts, s3, mine "):
        SearchConfig(space="yours")
    with pytest.raises(ValueError, match=r"^aggregator = 'median': allowed: mean, max, variance "):
        SearchConfig(aggregator="median")


def test_a_cell_of_another_number_of_nodes_is_derived_and_read(mine):
    """Sees four nodes taken for granted."""
    alphas = np.random.default_rng(0).dirichlet(np.ones(3), (2, 5))
    cell = derive(mine, alphas)
    assert len(cell.normal) == 4 and cell.normal_concat == (2, 3)
    assert genotype(cell.to_json(), mine) == cell
    assert one_hot_alphas(mine, cell).sum() == 10


class Counting(Learner):
    def arch_step(self, train_batch, valid_batch):
        seen = super().arch_step(train_batch, valid_batch)
        with torch.no_grad():
            self.arch["logits"][..., 0] -= 0.1
        return seen


def test_an_added_method_on_an_added_space_goes_on_to_the_same_bits(mine, monkeypatch, tmp_path):
    """Sees a search that resumes with DARTS's own learner, or with kernels that do not know the space."""
    monkeypatch.setitem(RECIPES, "counting", Recipe())
    monkeypatch.setitem(LEARNERS, "counting", Counting)
    config = SearchConfig(
        space="mine", method="na-counting", d=2, n_nbr=2, epochs=2, channels=2, cells=3, n_train=64, batch_size=8
    )

    def stop(work):
        if (len(work.done), work.at) == (1, 1):
            raise KeyboardInterrupt

    whole = search(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(config, tmp_path / "stopped", on_step=stop, checkpoint_seconds=0)
    resumed = search(config, tmp_path / "stopped")
    np.testing.assert_array_equal(resumed.trace.alphas, whole.trace.alphas)
    assert (np.diff(whole.trace.alphas[..., 0].mean((1, 2))) < -0.02).all()


def test_an_added_aggregator_descends_by_its_slopes(monkeypatch):
    """Sees slopes that are not used, or g's value from another aggregator."""
    monkeypatch.setitem(AGGREGATORS, "second", lambda errors: np.sort(errors, -1)[..., -2])
    monkeypatch.setitem(
        SLOPES, "second", lambda losses, lam: (losses.argsort().argsort() == len(losses) - 2).to(losses)
    )
    scale = torch.tensor([1.0, 4.0, 3.0, 2.0], dtype=torch.float64)
    neighbors = scale[:, None, None, None] * torch.ones(4, 1, 2, 3, dtype=torch.float64)
    found = aggregated_gradient(lambda alphas: alphas.square().flatten(1).sum(1), neighbors, "second", chunk=3)
    assert found.value == 6 * 9.0
    assert (found.gradient == torch.where(scale[:, None, None, None] == 3, 2 * neighbors, 0)).all()
    assert SearchConfig(aggregator="second").aggregator == "second"
