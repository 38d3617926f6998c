"""Triton's sums in its interpreter, which needs no GPU: against torch's, and through the whole network."""

from dataclasses import replace

import pytest
import torch
from test_supernet import close, naive_gradients, problem, total_loss

from flatlib.search.config import SearchConfig
from flatlib.search.kernels import choose, sums
from flatlib.search.supernet import Supernet
from flatlib.spaces import DARTS, NAS_BENCH_201

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def fused():
    """On a GPU if there is one, else in the interpreter, which conftest.py switches on."""
    pytest.importorskip("triton", reason="no triton: it comes with torch for CUDA, or pip install triton")
    from flatlib.search.kernels import fused

    return fused


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shared", [False, True], ids=["an output an edge", "one for all edges"])
@pytest.mark.parametrize(("m", "k", "edges", "columns"), [(37, 2, 3, 5), (600, 1, 2, 70), (32, 4, 1, 64)])
def test_sums_equal_torchs(fused, m, k, edges, columns, shared, dtype):
    """Sees a wrong address, a border of a tile that is read or written, an edge left out, sums in too few bits."""
    g = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=g, dtype=torch.float64).to(DEVICE)

    y, slope = random(m, k, 1 if shared else edges, columns).to(dtype), random(m, edges, columns).to(dtype)
    wide = sums.wide(y)
    scales, by_output = random(k, edges, columns).to(wide), random(2, k, y.shape[2], columns).to(wide)
    totals = [random(m, edges, columns).to(dtype) for _ in "a"] * 2
    totals[1] = totals[0].clone()
    for total, by in zip(totals, (fused, sums), strict=True):
        by.add_weighted(total, y, scales)
    found = [
        (total, by.inner_products(y, slope), by.output_gradient(slope, y, by_output[0], scales, by_output[1]))
        for total, by in zip(totals, (fused, sums), strict=True)
    ]
    narrow = 8 * k * edges * torch.finfo(dtype).eps  # each product and sum rounds once
    for ours, torchs in zip(*found, strict=True):
        assert ours.dtype == torchs.dtype and ours.shape == torchs.shape
        assert (ours - torchs).abs().max() <= narrow * (1 + torchs.abs().max()) * (
            m if dtype == torch.bfloat16 else 8
        ) ** 0.5


@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize("space", [DARTS, NAS_BENCH_201], ids=lambda space: space.name)
def test_gradients_through_the_whole_network(space):
    """Sees a sum that the network calls otherwise than the test of sums does."""
    net = replace(Supernet(space, 2, 3, 3, in_channels=1), kernels="triton")
    weights, alphas, _, images, labels = problem(net, size=4, n=2, batch=3)
    loss, of_alphas, of_weights, _ = naive_gradients(net, weights, alphas, None, images, labels)
    points = [t.to(DEVICE).requires_grad_() for t in (weights, alphas)]
    ours = total_loss(net.logits(points[0], images.to(DEVICE), points[1]), labels.to(DEVICE))
    for own, naive in zip((ours, *torch.autograd.grad(ours, points)), (loss, of_weights, of_alphas), strict=True):
        close(own.detach().cpu(), naive)


def test_triton_is_taken_only_when_asked_for(monkeypatch):
    """Sees kernels that nobody has seen on a GPU chosen by themselves, or asked for where they cannot run."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert choose(SearchConfig(), torch.device("cuda")) == "plain"
    monkeypatch.setattr("flatlib.search.kernels.find_spec", lambda name: name)
    assert choose(SearchConfig(), torch.device("cuda"), "triton") == "triton"
    with pytest.raises(
        ValueError, match=r"kernels = 'triton': Triton's are for CUDA, not for cpu; choose auto or plain"
    ):
        choose(SearchConfig(), torch.device("cpu"), "triton")
    monkeypatch.setattr("flatlib.search.kernels.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="kernels = 'triton': no module named triton"):
        choose(SearchConfig(), torch.device("cuda"), "triton")
