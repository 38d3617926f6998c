"""Sees a wrong Hessian: a batch forgotten, rows mixed up, a softmax missing, a sign that flips, weights that leak."""

import numpy as np
import pytest
import torch
from naive_supernet import NaiveSupernet, naive_loss_on

from flatlib.search import curvature
from flatlib.search.curvature import (
    hessian,
    hessian_vector_product,
    largest_eigenvalue,
    loss_of_alphas,
    loss_of_logits,
    top_eigenpairs,
)
from flatlib.search.supernet import Supernet
from flatlib.spaces import S3, SPACES

EPS = np.finfo(np.float64).eps


def tiny(space, *, partial=1, size=4):
    """A small supernet in float64: net, weights, logits (T, E, O), two batches of different data."""
    rng = torch.Generator().manual_seed(7)
    net = Supernet(SPACES[space], channels=2 * partial, cells=3, n_classes=3, in_channels=1, partial=partial)
    weights = net.initial_weights(rng).double()
    shape = (net.cell_types, len(net.space.edges), len(net.space.operations))
    logits = torch.randn(shape, generator=rng, dtype=torch.float64) / 10
    batches = [
        (torch.rand(size, 1, 8, 8, generator=rng).double(), torch.randint(3, (size,), generator=rng)) for _ in range(2)
    ]
    return net, weights, logits, batches


def gradient(loss_on, point, batches):
    x = point.clone().requires_grad_()
    return torch.autograd.grad(sum(loss_on(batch)(x[None])[0] for batch in batches) / len(batches), x)[0]


def test_quadratic_is_its_matrix():
    """Sees a missing factor, a transposed index or a batch that does not count: L = x A x / 2 has H = mean A."""
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(3, 6, 6))
    matrices += matrices.transpose(0, 2, 1)
    point = torch.tensor(rng.normal(size=(2, 3)))

    def quadratic(a):
        return lambda x: torch.einsum("ni,ij,nj->n", x.flatten(1), a, x.flatten(1)) / 2

    found = hessian(quadratic, point, [torch.tensor(a) for a in matrices], rows=4)
    np.testing.assert_allclose(found, matrices.mean(0), rtol=0, atol=20 * EPS * np.abs(matrices).max())
    vectors = rng.normal(size=(5, 2, 3))
    products = hessian_vector_product(quadratic, point, torch.tensor(vectors), [torch.tensor(matrices[0])])
    np.testing.assert_allclose(products.reshape(5, 6), vectors.reshape(5, 6) @ matrices[0], rtol=1e-13, atol=1e-13)


def test_linear_loss_through_the_softmax():
    """Sees a softmax over the wrong axis: c . softmax(b) has H = diag(a g) - a g' - g a' + ... for each edge alone."""
    rng = torch.Generator().manual_seed(1)
    logits, c = torch.randn(2, 2, 3, 4, generator=rng, dtype=torch.float64)
    found = hessian(lambda _: lambda b: (c * b.softmax(-1)).flatten(1).sum(1), logits, [None])
    expected = np.zeros((6, 4, 6, 4))
    for edge, (a, cost) in enumerate(zip(logits.softmax(-1).view(6, 4).numpy(), c.view(6, 4).numpy(), strict=True)):
        slope = a * (cost - a @ cost)  # the gradient
        expected[edge, :, edge] = np.diag(slope) - np.outer(a, slope) - np.outer(slope, a)
    np.testing.assert_allclose(found, expected.reshape(24, 24), rtol=0, atol=50 * EPS)
    assert not hessian(lambda _: lambda a: (c * a).flatten(1).sum(1), logits, [None]).any()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("of", [loss_of_alphas, loss_of_logits])
def test_product_is_the_gradients_difference(space, of):
    """Sees a supernet operation without a right second derivative.

    The central difference errs by h^2 g''' / 6, a third of what doubling h changes, and by rounding: the gradient's
    own error, some thousand EPS after a deep network, over h.
    """
    net, weights, logits, batches = tiny(space)
    point = logits if of is loss_of_logits else logits.softmax(-1)
    loss_on = of(net, weights)
    v = torch.randn(point.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    v /= v.norm()
    product = hessian_vector_product(loss_on, point, v[None], batches)[0]

    def difference(h):
        return (gradient(loss_on, point + h * v, batches) - gradient(loss_on, point - h * v, batches)) / (2 * h)

    h = 1e-6
    near, far = difference(h), difference(2 * h)
    tolerance = (far - near).abs().max() + 1000 * EPS * gradient(loss_on, point, batches).abs().max() / h
    assert (product - near).abs().max() <= tolerance
    assert tolerance < 1e-4 * product.abs().max()


@pytest.mark.parametrize("space", SPACES)
def test_many_rows_are_single_rows(space):
    """Sees rows that mix when they pass the graph together, in float64 and in the search's float32."""
    net, weights, logits, batches = tiny(space)
    some = torch.eye(logits.numel(), dtype=torch.float64).view(-1, *logits.shape)[1:4]
    for dtype, rounding in ((torch.float64, EPS), (torch.float32, np.finfo(np.float32).eps)):
        cast = [(images.to(dtype), labels) for images, labels in batches]
        loss_on = loss_of_logits(net, weights.to(dtype))
        together = hessian_vector_product(loss_on, logits.to(dtype), some, cast[:1], rows=2)
        alone = torch.cat([hessian_vector_product(loss_on, logits.to(dtype), v[None], cast[:1], rows=1) for v in some])
        assert together.dtype == torch.float64
        torch.testing.assert_close(together, alone, rtol=0, atol=1000 * rounding * float(alone.abs().max()))


@pytest.mark.parametrize("partial", [1, 2])
@pytest.mark.parametrize("space", SPACES)
def test_the_folded_net_is_the_naive_one(space, partial):
    """Sees a second derivative of the fast path that is not that of the operations one by one."""
    net, weights, logits, batches = tiny(space, partial=partial)
    vectors = torch.randn(5, *logits.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    fast, plain = (
        hessian_vector_product(loss_on, logits.softmax(-1), vectors, batches, rows=3)
        for loss_on in (loss_of_alphas(net, weights), naive_loss_on(net, weights))
    )
    torch.testing.assert_close(fast, plain, rtol=0, atol=1e-10 * float(plain.abs().max()))


def test_whole_hessian_of_a_supernet():
    """Sees an asymmetry beyond rounding, the folded net left on, or weights and edge weights that join the graph."""
    net, weights, logits, batches = tiny("nas-bench-201")
    weights.requires_grad_()
    rows = torch.eye(logits.numel(), dtype=torch.float64).view(-1, *logits.shape)
    raw = hessian_vector_product(loss_of_logits(net, weights), logits, rows, batches).flatten(1).numpy()
    assert np.abs(raw - raw.T).max() < 1e4 * EPS * np.abs(raw).max()
    losses = [naive_loss_on(net, weights)(batch) for batch in batches]
    exact = sum(
        torch.autograd.functional.hessian(lambda b, loss=loss: loss(b.softmax(-1)[None])[0], logits) for loss in losses
    ).view(raw.shape) / len(batches)
    np.testing.assert_allclose(raw, exact, rtol=0, atol=1e4 * EPS * np.abs(raw).max())
    np.testing.assert_array_equal(hessian(loss_of_logits(net, weights), logits, batches), (raw + raw.T) / 2)
    values = np.linalg.eigvalsh(raw)
    assert largest_eigenvalue(loss_of_logits(net, weights), logits, batches) == pytest.approx(values[-1], rel=1e-5)
    assert weights.grad is None
    net, weights, logits, batches = tiny("s3", partial=2)
    gamma = torch.rand(logits.shape[:2], generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    v = torch.ones_like(logits)
    v[..., 0] = 0
    a, b = (
        hessian_vector_product(loss_of_alphas(net, weights, edge), logits.softmax(-1), v[None], batches)
        for edge in (None, gamma)
    )
    assert (a - b).abs().max() > 1e-3 * a.abs().max()


def test_eigenpairs():
    """Sees a wrong order (by size instead of algebraic), a sign that depends on LAPACK, a norm for each edge."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    values = np.array([-9.0, 4.0, 2.5, *rng.uniform(-1, 1, 9)])
    matrix = (basis * values) @ basis.T
    matrix = (matrix + matrix.T) / 2
    result = top_eigenpairs(matrix, (2, 3, 2))
    np.testing.assert_allclose(result.values, [4, 2.5], rtol=1e-13)
    assert result.vectors.shape == (2, 2, 3, 2)
    assert result.trace == pytest.approx(values.sum(), abs=1e-12)
    for vector, own in zip(result.vectors.reshape(2, 12), basis.T[1:3], strict=True):
        np.testing.assert_allclose(vector, own * np.sign(own[np.abs(own).argmax()]), atol=1e-13)
    assert (result.residuals <= 100 * EPS * 9).all()
    flipped = top_eigenpairs(np.diag([1.0, 2.0]) - 1e-9, (2,), k=2)
    assert (np.abs(flipped.vectors).max(1) == flipped.vectors.max(1)).all()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (np.nan, "the Hessian has 1 of 9 entries nan or inf: did the search diverge?"),
        (np.inf, "the Hessian has 1 of 9 entries nan or inf: did the search diverge?"),
    ],
)
def test_mistakes_are_one_line(change, line):
    """Sees a LinAlgError, or eigenvalues of nan, in place of the reason."""
    matrix = np.eye(3)
    matrix[1, 2] = change
    with pytest.raises(ValueError, match=f"^{line.replace('?', '[?]')}$"):
        top_eigenpairs(matrix, (3,))


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, under curvlinops
def test_against_curvlinops():
    """Sees an error that autograd twice over shares with its transcription: another library's Hessian."""
    curvlinops = pytest.importorskip("curvlinops", reason="no curvlinops: pip install --no-deps, see DESIGN.md")
    net, weights, logits, batches = tiny("nas-bench-201")
    naive = NaiveSupernet(net, weights)
    for module in naive.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # functorch refuses statistics that are written in place
            module.running_mean = module.running_var = module.num_batches_tracked = None

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = torch.nn.Parameter(logits.clone())

        def forward(self, images):
            return naive(images, self.logits.softmax(-1))

    model = Model()
    theirs = curvlinops.HessianLinearOperator(model, torch.nn.CrossEntropyLoss(), list(model.parameters()), batches)
    dense = theirs @ torch.eye(logits.numel(), dtype=torch.float64)
    ours = hessian(loss_of_logits(net, weights), logits, batches)
    np.testing.assert_allclose(ours, dense.detach().numpy(), rtol=0, atol=1e4 * EPS * np.abs(ours).max())


@pytest.mark.parametrize("size", [1, 2, 7, 60])
def test_lanczos_finds_the_largest_eigenvalue(size):
    """Sees a lost orthogonality, an early stop, or the largest in size taken for the largest."""
    rng = np.random.default_rng(size)
    a = rng.standard_normal((size, size))
    a = a + a.T - 3 * size * np.outer(*[np.eye(size)[0]] * 2)  # one large negative eigenvalue
    largest = np.linalg.eigvalsh(a)[-1]
    assert curvature.lanczos(lambda v: a @ v, size, 1e-10) == pytest.approx(largest, rel=1e-8)
    assert abs(curvature.lanczos(lambda v: a @ v, size, 0.1) - largest) <= 0.2 * abs(largest)


def test_lanczos_says_that_a_product_is_not_finite():
    """Sees a nan that is taken for an eigenvalue."""
    with pytest.raises(ValueError, match="nan or inf"):
        curvature.lanczos(lambda v: v * np.nan, 3)


def test_largest_eigenvalue_equals_the_dense_one():
    """Sees products with another Hessian than the dense one, over several batches."""
    net = Supernet(S3, 2, 3, 4, in_channels=1)
    g = torch.Generator().manual_seed(0)
    weights = net.initial_weights(g).double()
    batches = [(torch.randn(4, 1, 8, 8, generator=g).double(), torch.randint(0, 4, (4,), generator=g)) for _ in "ab"]
    logits = torch.randn(2, 14, 3, generator=g).double()
    loss_on = curvature.loss_of_logits(net, weights)
    dense = curvature.top_eigenpairs(curvature.hessian(loss_on, logits, batches), (2, 14, 3), 1)
    assert curvature.largest_eigenvalue(loss_on, logits, batches, tolerance=1e-7) == pytest.approx(
        dense.values[0], rel=1e-6
    )
