"""Second derivatives of the validation loss with respect to the architecture (Sec. E, DARTS-ES).

H = mean over batches of d^2 L(x) / dx dx, where x is alpha or the logits, every entry a free variable
(P = 224 in DARTS, 84 in S3). Exact, by double backward; the weights are constants. BatchNorm makes the
loss depend on how the data is split, so the batches are the caller's and stay fixed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from flatlib.search.objective import CrossEntropy, Loss
from flatlib.search.supernet import Supernet

Batch = tuple[Tensor, Tensor]  # images (B, in_channels, H, W), labels (B,)
LossOn = Callable[[Batch], Loss]  # batch -> f, which takes points (N, ...) to mean losses (N,)


@dataclass(frozen=True)
class EigenResult:
    """The k algebraically largest eigenvalues of a Hessian: a large negative one is not among them."""

    values: np.ndarray  # (k,) largest first
    vectors: np.ndarray  # (k, *point.shape) unit norm over all entries, the entry of largest size positive
    residuals: np.ndarray  # (k,) |H v - value v|
    trace: float  # sum of all P eigenvalues


# --- the loss as a function of the architecture ----------------------------------------------------


def loss_of_alphas(
    net: Supernet,
    weights: Tensor,  # (P,)
    edge_weights: Tensor | None = None,  # (T, E) PC-DARTS's edge normalization, constants
) -> LossOn:
    """Cross-entropy as a function of alpha (N, T, E, O), which need not be on the simplex."""
    net = replace(net, kernels="plain") if net.kernels == "compiled" else net  # once differentiable
    weights = weights.detach()
    gamma = None if edge_weights is None else edge_weights.detach()

    def on(batch: Batch) -> Loss:
        return partial(CrossEntropy(net, *batch, gamma, net.share(weights, batch[0])), weights)

    return on


def loss_of_logits(net: Supernet, weights: Tensor, edge_weights: Tensor | None = None) -> LossOn:
    """The same as a function of the logits: alpha = softmax(logits) for each edge."""
    of_alphas = loss_of_alphas(net, weights, edge_weights)

    def on(batch: Batch) -> Loss:
        loss = of_alphas(batch)
        return lambda logits: loss(logits.softmax(-1))

    return on


# --- the Hessian -----------------------------------------------------------------------------------


def hessian_vector_product(
    loss_on: LossOn,
    point: Tensor,
    vectors: Tensor,  # (K, *point.shape)
    batches: Sequence[Batch],
    *,
    rows: int = 14,  # vectors that pass the network together: more leave the cache
) -> Tensor:  # (K, *point.shape) float64
    """H v for each vector, H v = d/dx (dL/dx . v); the vectors pass as the neighbors of a search do.

    >>> cubic = lambda batch: lambda x: (x**3).sum(-1) / 6
    >>> hessian_vector_product(cubic, torch.tensor([1.0, 2.0]), torch.eye(2), [None])
    tensor([[1., 0.],
            [0., 2.]], dtype=torch.float64)
    """
    total = torch.zeros_like(vectors, dtype=torch.float64)
    for batch in batches:
        loss = loss_on(batch)
        total += torch.cat([_double_backward(loss, point, v) for v in vectors.to(point).split(rows)]).double()
    return total / len(batches)


def _double_backward(loss: Loss, point: Tensor, vectors: Tensor) -> Tensor:  # (k, *point.shape)
    """One copy of the point for each vector, so that one pass serves all."""
    x = point.detach().expand_as(vectors).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x).sum(), x, create_graph=True)
    if not gradient.requires_grad:  # linear in x
        return torch.zeros_like(vectors)
    return torch.autograd.grad(gradient, x, vectors)[0]


def hessian(
    loss_on: LossOn,
    point: Tensor,
    batches: Sequence[Batch],
    *,
    rows: int = 14,  # taken at once
    seen: Sequence[int] | slice = slice(None),  # entries that the loss depends on
) -> np.ndarray:  # (P, P) float64
    """The whole Hessian, P = point.numel() entries in the order of point.flatten(); its asymmetry is rounding."""
    n = point.numel()
    identity = torch.eye(n, dtype=point.dtype, device=point.device)[seen].view(-1, *point.shape)
    full = np.zeros((n, n))
    full[seen] = hessian_vector_product(loss_on, point, identity, batches, rows=rows).view(-1, n).cpu().numpy()
    return (full + full.T) / 2


def gradient(loss_on: LossOn, point: Tensor, batches: Sequence[Batch]) -> np.ndarray:  # point.shape, float64
    """dL / dx, the mean over batches."""
    total = torch.zeros_like(point, dtype=torch.float64)
    for batch in batches:
        x = point.detach()[None].requires_grad_()
        total += torch.autograd.grad(loss_on(batch)(x).sum(), x)[0][0]
    return (total / len(batches)).cpu().numpy()


def hessian_of_logits(
    hessian: np.ndarray,  # (P, P) of alpha
    gradient: np.ndarray,  # (..., O) with respect to alpha
    alphas: np.ndarray,  # (..., O), softmax of the logits
) -> np.ndarray:  # (P, P)
    """The chain rule: J H J + sum_k g_k d^2 alpha_k, with J = diag(a) - a a' for each edge.

    The second term is diag(s) - s a' - a s' with s = a (g - a . g), so the logits' Hessian costs no further pass.
    """
    m, full = alphas.shape[-1], np.zeros_like(hessian)
    jacobian = np.zeros_like(hessian)
    for at, (a, g) in enumerate(zip(alphas.reshape(-1, m), gradient.reshape(-1, m), strict=True)):
        edge, s = slice(at * m, at * m + m), a * (g - a @ g)
        jacobian[edge, edge] = np.diag(a) - np.outer(a, a)
        full[edge, edge] = np.diag(s) - np.outer(s, a) - np.outer(a, s)
    return full + jacobian @ hessian @ jacobian


# --- its eigenpairs --------------------------------------------------------------------------------


def top_eigenpairs(
    hessian: np.ndarray,  # (P, P) symmetric
    shape: tuple[int, ...],  # of the point
    k: int = 2,
) -> EigenResult:
    """The k largest eigenvalues, algebraically, and their vectors; ValueError for a Hessian with nan or inf.

    >>> top_eigenpairs(np.diag([1.0, -5.0, 3.0]), (3,)).values
    array([3., 1.])
    """
    bad = int((~np.isfinite(hessian)).sum())
    if bad:
        raise ValueError(f"the Hessian has {bad} of {hessian.size} entries nan or inf: did the search diverge?")
    ascending, columns = np.linalg.eigh(hessian)
    values, vectors = ascending[::-1][:k], columns.T[::-1][:k]
    vectors = vectors * np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(1, keepdims=True), axis=1))
    residuals = np.linalg.norm(vectors @ hessian - values[:, None] * vectors, axis=1)
    return EigenResult(values.copy(), vectors.reshape(k, *shape), residuals, float(np.trace(hessian)))


def largest_eigenvalue(loss_on: LossOn, point: Tensor, batches: Sequence[Batch], *, tolerance: float = 1e-3) -> float:
    """What DARTS-ES watches after each epoch, with the logits as the point: by Lanczos with exact products."""

    def product(v: np.ndarray) -> np.ndarray:  # (P,)
        vectors = torch.as_tensor(v, dtype=point.dtype, device=point.device).view(1, *point.shape)
        return hessian_vector_product(loss_on, point, vectors, batches).view(-1).cpu().numpy()

    return lanczos(product, point.numel(), tolerance)


def lanczos(
    product: Callable[[np.ndarray], np.ndarray],  # (P,) -> (P,), a symmetric matrix times a vector
    size: int,  # P
    tolerance: float = 1e-3,
) -> float:
    """The largest eigenvalue from some 20 products instead of P.

    Stops where the residual |H v - value v| is below `tolerance` times the value.

    >>> round(lanczos(lambda v: np.array([1.0, -5.0, 3.0]) * v, 3, 1e-9), 9)
    3.0
    """
    v = np.random.default_rng(0).standard_normal(size)
    basis, diagonal, beside = [v / np.linalg.norm(v)], list[float](), list[float]()
    while True:
        w = product(basis[-1])
        if not np.isfinite(w).all():
            raise ValueError("a product with the Hessian is nan or inf: did the search diverge?")
        diagonal.append(float(w @ basis[-1]))
        for _ in range(2):  # twice is enough to keep the basis orthogonal
            w = w - np.stack(basis).T @ (np.stack(basis) @ w)
        beside.append(float(np.linalg.norm(w)))
        values, inner = np.linalg.eigh(np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1))
        residual = beside[-1] * abs(inner[-1, -1])
        if len(basis) == size or residual <= tolerance * abs(values[-1]) + 1e-12:
            return float(values[-1])
        basis.append(w / beside[-1])
