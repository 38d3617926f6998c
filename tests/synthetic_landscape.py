"""A made-up landscape: a bowl with a bump, around the softmax of random logits."""

import numpy as np

from flatlib.landscape.landscape import Curvature, Landscape
from flatlib.landscape.plane import Plane, random_directions, step_on_plane
from flatlib.search.curvature import EigenResult
from flatlib.spaces import Space


def synthetic_landscape(space: Space, seed: int = 0, grid: int = 41, *, method: str = "darts") -> Landscape:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(1 if space.name == "nas-bench-201" else 2, len(space.edges), len(space.operations)))
    alphas = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    sharp = 1 + rng.random()
    edge_weights = rng.random(alphas.shape[:2]) if "pc-" in method else None
    of_alpha, of_logits = (
        _curvature(of, alphas.shape, sharp * size, rng) for of, size in (("alpha", 4), ("logits", 0.1))
    )
    discrete = 2 + np.linspace(0, 1, 7)[:, None] * (1 + rng.random((7, 20)))
    planes = (
        _plane(alphas, directions, n, sharp * size)
        for directions, n, size in (
            (of_alpha.pairs.vectors, grid, 1.0),
            (random_directions(alphas.shape, seed), grid // 4 * 2 + 1, 0.1),
        )
    )
    return Landscape(method, seed, space.name, of_alpha, of_logits, *planes, discrete, edge_weights)


def _curvature(of: str, shape: tuple[int, ...], largest: float, rng: np.random.Generator) -> Curvature:
    vectors = random_directions(shape, int(rng.integers(1000)))
    values = np.array([largest, largest / 2])
    pairs = EigenResult(values, vectors, np.full(2, 1e-15), 3 * largest)
    return Curvature(of, pairs, values * np.array([[0.9], [1.3]]), images=64, batch_size=32)


def _plane(alphas: np.ndarray, directions: np.ndarray, grid: int, sharp: float) -> Plane:
    lambdas = np.linspace(-1, 1, grid)
    lambdas[grid // 2] = 0
    l0, l1 = np.meshgrid(lambdas, lambdas)
    losses = 0.3 + sharp * (l0**2 + l1**2 / 2) + 0.2 * l0**3
    _, clipped, kept = step_on_plane(alphas, directions, np.stack([l0, l1], -1).reshape(-1, 2))
    maps = (losses, 90 - 10 * losses, clipped.reshape(grid, grid), kept.reshape(grid, grid))
    return Plane(lambdas, *maps, alphas, directions)
