"""The Hessian of the validation loss over all validation batches, its eigenpairs and their sampling error (Sec. E)."""

from dataclasses import dataclass

import numpy as np

from flatlib.search.curvature import EigenResult


@dataclass(frozen=True)
class Curvature:
    """Second derivatives at a found architecture; k eigenpairs, the algebraically largest first."""

    of: str  # 'alpha' or 'logits': what the loss is a function of
    pairs: EigenResult
    halves: np.ndarray  # (2, k) the same eigenvalues from either half of the batches alone: their sampling error
    images: int  # validation images
    batch_size: int
