"""The Hessian of the validation loss over all validation batches, its eigenpairs and their sampling error (Sec. E)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from flatlib.landscape.found import Found, Source
from flatlib.landscape.workers import for_batches
from flatlib.search.curvature import (
    EigenResult,
    gradient,
    hessian,
    hessian_of_logits,
    loss_of_alphas,
    top_eigenpairs,
)


@dataclass(frozen=True)
class Curvature:
    """Second derivatives at a found architecture; k eigenpairs, the algebraically largest first."""

    of: str  # 'alpha' or 'logits': what the loss is a function of
    pairs: EigenResult
    halves: np.ndarray  # (2, k) the same eigenvalues from either half of the batches alone: their sampling error
    images: int  # validation images
    batch_size: int


def curvatures(source: Source, *, k: int = 2, **how: Any) -> list[Curvature]:  # how: as `for_batches`
    """The Hessian's top eigenpairs with respect to alpha and to the logits, over all batches and over either half.

    Each batch's Hessian is computed once; that of the logits follows. ValueError, one line, where it has a nan.
    """
    found = source.open()
    n, size, shape = len(found.batches), len(found.batches[0][1]), tuple(found.alphas.shape)
    parts = for_batches(hessian_on, source, batches=range(n), **how)  # (batches, P + 1, P)
    alphas = found.alphas.double().cpu().numpy()

    def pairs_over(of: str, batches: slice) -> EigenResult:
        mean = parts[batches].mean(0)
        full, slope = mean[:-1], mean[-1].reshape(shape)
        return top_eigenpairs(full if of == "alpha" else hessian_of_logits(full, slope, alphas), shape, k)

    results = []
    for of in ("alpha", "logits"):
        halves = np.full((2, k), np.nan)
        if n > 1:
            halves = np.stack([pairs_over(of, half).values for half in (slice(n // 2), slice(n // 2, n))])
        results.append(Curvature(of, pairs_over(of, slice(n)), halves, n * size, size))
    return results


def hessian_on(found: Found, at: int) -> np.ndarray:  # (P + 1, P) float64
    """Of alpha on one batch; the last row is the gradient."""
    loss_on, batches = loss_of_alphas(found.net, found.weights, found.edge_weights), [found.batches[at]]
    return np.concatenate(
        [hessian(loss_on, found.alphas, batches), gradient(loss_on, found.alphas, batches).reshape(1, -1)]
    )
