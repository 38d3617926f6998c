"""All that is seen around one found architecture."""

from dataclasses import dataclass

import numpy as np

from flatlib.landscape.hessian import Curvature
from flatlib.landscape.plane import Plane


@dataclass(frozen=True)
class Discrete:
    """Losses of one-hot cells around the derived one, with the search's weights."""

    losses: np.ndarray  # (d + 1, n) nats; row k at distance k (Eq. 2), row 0 the derived cell itself, n times


@dataclass(frozen=True)
class Landscape:
    """The neighborhood of what one search found. All numbers are over the same validation batches."""

    method: str
    seed: int
    space: str
    of_alpha: Curvature  # the paper's; its first two vectors span `plane`
    of_logits: Curvature
    plane: Plane
    random: Plane  # two random orthonormal directions, for comparison
    discrete: Discrete
    edge_weights: np.ndarray | None  # (T, E) PC-DARTS's, which rank the edges of the derived cell

    @property
    def name(self) -> str:
        return f"{self.method}, seed {self.seed}"
