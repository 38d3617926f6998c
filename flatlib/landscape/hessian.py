"""The Hessian of the validation loss over all validation batches, its eigenpairs and their sampling error (Sec. E)."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from flatlib.landscape.found import Found, Source
from flatlib.landscape.workers import OnPart, for_batches
from flatlib.search.curvature import (
    EigenResult,
    gradient,
    hessian,
    hessian_of_logits,
    hessian_vector_product,
    lanczos,
    loss_of_alphas,
    loss_of_logits,
    top_eigenpairs,
)

KINDS = ("alpha", "logits")


@dataclass(frozen=True)
class Curvature:
    """Second derivatives at a found architecture; k eigenpairs, the algebraically largest first."""

    of: str  # 'alpha' or 'logits': what the loss is a function of
    pairs: EigenResult
    halves: np.ndarray  # (2, k) the same eigenvalues from either half of the batches alone: their sampling error
    images: int  # validation images
    batch_size: int


def curvatures(
    source: Source, solver: str = "exact", *, k: int = 2, pool: Executor | None = None, on_part: OnPart = lambda: None
) -> list[Curvature]:
    """The Hessian's top eigenpairs with respect to alpha and to the logits, over all batches and over either half.

    ValueError, one line, where the Hessian has a nan.
    """
    found = source.open()
    n, shape = len(found.batches), tuple(found.alphas.shape)
    options: dict[str, Any] = {"pool": pool, "on_part": on_part}
    pairs_over = (
        _exact(source, shape, k, range(n), **options) if solver == "exact" else _lanczos(source, shape, k, **options)
    )
    results = []
    for of in KINDS:
        whole = pairs_over(of, range(n))
        halves = (
            [pairs_over(of, half).values for half in (range(n // 2), range(n // 2, n))]
            if n > 1
            else np.full((2, k), np.nan)
        )
        size = len(found.batches[0][1])
        results.append(Curvature(of, whole, np.array(halves), n * size, size))
    return results


PairsOver = Callable[[str, Sequence[int]], EigenResult]  # 'alpha' or 'logits', batches -> top eigenpairs


def _exact(source: Source, shape: tuple[int, ...], k: int, batches: Sequence[int], **options: Any) -> PairsOver:
    """Each batch's Hessian once; those of the logits follow from them."""
    parts = for_batches(hessian_on, source, batches=batches, **options)  # (batches, P + 1, P)
    alphas = source.open().alphas.double().cpu().numpy()

    def pairs_over(of: str, chosen: Sequence[int]) -> EigenResult:
        mean = parts[list(chosen)].mean(0)
        full, slope = mean[:-1], mean[-1].reshape(shape)
        return top_eigenpairs(full if of == "alpha" else hessian_of_logits(full, slope, alphas), shape, k)

    return pairs_over


def hessian_on(found: Found, at: int) -> np.ndarray:  # (P + 1, P) float64
    """Of alpha on one batch; the last row is the gradient."""
    loss_on, batches = loss_of_alphas(found.net, found.weights, found.edge_weights), [found.batches[at]]
    return np.concatenate(
        [hessian(loss_on, found.alphas, batches), gradient(loss_on, found.alphas, batches).reshape(1, -1)]
    )


def _lanczos(source: Source, shape: tuple[int, ...], k: int, **options: Any) -> PairsOver:
    """Some 30 products instead of P."""

    def pairs_over(of: str, chosen: Sequence[int]) -> EigenResult:
        def product(v: np.ndarray) -> np.ndarray:
            return for_batches(product_on, source, of, v, batches=chosen, **options).mean(0)

        return lanczos(product, shape, k)

    return pairs_over


def product_on(found: Found, at: int, of: str, v: np.ndarray) -> np.ndarray:  # (P,) -> (P,) float64
    """H v on one batch."""
    loss_of, point = (loss_of_alphas, found.alphas) if of == "alpha" else (loss_of_logits, found.logits)
    vectors = torch.from_numpy(v).to(point).view(1, *point.shape)
    loss_on = loss_of(found.net, found.weights, found.edge_weights)
    return hessian_vector_product(loss_on, point, vectors, [found.batches[at]]).view(-1).cpu().numpy()
