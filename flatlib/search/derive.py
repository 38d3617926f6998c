"""Discrete cells: derived from alphas as each space's authors do it (Sec. D.1), as alphas, drawn at random."""

import numpy as np

from flatlib.spaces import NAS_BENCH_201, Genotype, Space, arch_to_string, string_to_arch


def derive(
    space: Space,
    alphas: np.ndarray,  # (T, E, O)
    edge_weights: np.ndarray | None = None,  # (T, E) PC-DARTS's
) -> Genotype | str:
    """The cell that alpha stands for: a genotype, or NAS-Bench-201's architecture string.

    DARTS: each node keeps the two incoming edges whose strongest operation, `none` left out, is strongest,
    with that operation; of equals the first. PC-DARTS ranks by alpha times edge weight. NAS-Bench-201: the
    strongest operation of each edge, `none` included.
    """
    if space is NAS_BENCH_201:
        return arch_to_string(alphas[0].argmax(-1))
    weights = np.ones(alphas.shape[:2]) if edge_weights is None else edge_weights
    cells = [_derive_cell(space, *pair) for pair in zip(alphas, weights, strict=True)]
    joined = tuple(sorted({node for _, node in space.edges}))
    return Genotype(cells[0], joined, cells[1], joined)


def _derive_cell(space: Space, alphas: np.ndarray, weights: np.ndarray) -> tuple[tuple[str, int], ...]:
    """(operation, source) pairs, two a node, the stronger edge first."""
    none = space.operations.index("none")
    strengths = np.delete(alphas, none, axis=-1)
    names = [name for name in space.operations if name != "none"]
    best, operation = strengths.max(-1) * weights, strengths.argmax(-1)
    pairs: list[tuple[str, int]] = []
    for node in sorted({node for _, node in space.edges}):
        incoming = [edge for edge, (_, target) in enumerate(space.edges) if target == node]
        for edge in sorted(incoming, key=lambda edge: -best[edge])[:2]:
            pairs.append((names[operation[edge]], space.edges[edge][0]))
    return tuple(pairs)


def one_hot_alphas(space: Space, cell: Genotype | str) -> np.ndarray:  # (T, E, O)
    """A discrete cell as alphas: 1 at each chosen operation, `none` on every other edge."""
    if isinstance(cell, str):
        return np.eye(len(space.operations))[string_to_arch(cell)][None]
    alphas = np.zeros((2, len(space.edges), len(space.operations)))
    alphas[..., space.operations.index("none")] = 1
    for kind, pairs in enumerate((cell.normal, cell.reduce)):
        for at, (name, source) in enumerate(pairs):
            edge = space.edges.index((source, 2 + at // 2))
            alphas[kind, edge] = 0
            alphas[kind, edge, space.operations.index(name)] = 1
    return alphas


def random_cell(space: Space, rng: np.random.Generator) -> Genotype | str:
    """A cell drawn uniformly: two different inputs a node and an operation each but `none` (NAS-Bench-201: all)."""
    if space is NAS_BENCH_201:
        return arch_to_string(rng.integers(0, len(space.operations), len(space.edges)))
    names = [name for name in space.operations if name != "none"]

    def pairs() -> tuple[tuple[str, int], ...]:
        sources = [int(source) for node in range(2, 6) for source in np.sort(rng.choice(node, 2, replace=False))]
        return tuple((str(rng.choice(names)), source) for source in sources)

    return Genotype(pairs(), (2, 3, 4, 5), pairs(), (2, 3, 4, 5))
