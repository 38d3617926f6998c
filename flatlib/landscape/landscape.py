"""All that is seen around one found architecture (Sec. E), kept in the search's run folder."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch

from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.found import Found, Source, for_batches
from flatlib.landscape.plane import Plane, losses, losses_on, plane, random_directions
from flatlib.neighborhoods import perturbed_edges
from flatlib.run.checkpoint import write_beside
from flatlib.run.folder import digest, open_run, reading
from flatlib.run.hardware import peak_bytes
from flatlib.run.progress import duration
from flatlib.run.workers import n_workers
from flatlib.search import curvature
from flatlib.search.curvature import EigenResult, hessian_of_logits, loss_of_alphas, top_eigenpairs
from flatlib.search.derive import derive, one_hot_alphas
from flatlib.search.runs import Run
from flatlib.spaces import SPACES, Space

FORMAT = 2


@dataclass(frozen=True)
class Curvature:
    """Second derivatives at a found architecture; k eigenpairs, the algebraically largest first."""

    of: str  # 'alpha' or 'logits': what the loss is a function of
    pairs: EigenResult
    halves: np.ndarray  # (2, k) the same eigenvalues from either half of the batches alone: their sampling error
    images: int  # validation images
    batch_size: int


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
    discrete: np.ndarray  # (d + 1, n) nats, of one-hot cells; row k at distance k (Eq. 2) of the derived one
    edge_weights: np.ndarray | None  # (T, E) PC-DARTS's, which rank the edges of the derived cell

    @property
    def name(self) -> str:
        return f"{self.method}, seed {self.seed}"


def look_around(
    run: Run,
    config: LandscapeConfig,
    *,
    data_dir: str | None = None,
    **how: Any,  # as `for_batches`
) -> Landscape:
    """Hessian, planes and discrete neighbors of a finished search; read where they are known already.

    RunError or ValueError, one line, for a run without its own weights or with a Hessian that has a nan.
    """
    if known := known_landscape(run, config):
        return known
    source = Source(str(run.folder), config.n_valid, data_dir)
    found, own = source.open(), run.config
    of_alpha, of_logits = curvatures(source, **how)
    shape = tuple(found.alphas.shape)
    along = plane(source, of_alpha.pairs.vectors, config.grid, config.reach, **how)
    random = plane(source, random_directions(shape, own.seed), config.coarse, config.reach, **how)
    edge_weights = None if found.edge_weights is None else found.edge_weights.double().cpu().numpy()
    cells = discrete_neighbors(SPACES[own.space], along.alphas, edge_weights, config, own.seed)
    values = losses(source, cells.reshape(-1, *shape), **how)[0].reshape(cells.shape[:2])
    result = Landscape(own.method, own.seed, own.space, of_alpha, of_logits, along, random, values, edge_weights)
    arrays: dict[str, Any] = _arrays(asdict(result))
    with open_run(run.folder, Run.identity(run.config)):  # no other process writes the same file
        write_beside(_path(run, config), lambda file: np.savez(file, **arrays))
    return result


def curvatures(source: Source, *, k: int = 2, **how: Any) -> list[Curvature]:  # how: as `for_batches`
    """The Hessian's top eigenpairs with respect to alpha and to the logits, over all batches and over either half.

    Each batch's Hessian is computed once; that of the logits follows. ValueError, one line, where it has a nan.
    """
    found = source.open()
    n, size, shape = len(found.batches), len(found.batches[0][1]), tuple(found.alphas.shape)
    parts = for_batches(hessian_on, source, **how)  # (batches, P + 1, P)
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
    slope, operations = curvature.gradient(loss_on, found.alphas, batches).reshape(1, -1), found.net.space.operations
    seen = [entry for entry in range(slope.size) if operations[entry % len(operations)] != "none"]
    return np.concatenate([curvature.hessian(loss_on, found.alphas, batches, seen=seen), slope])


def discrete_neighbors(
    space: Space,
    alphas: np.ndarray,  # (T, E, O)
    edge_weights: np.ndarray | None,  # (T, E)
    config: LandscapeConfig,
    seed: int,
) -> np.ndarray:  # (d + 1, n, T, E, O) one-hot
    """Cells at distance 0, 1, ... d of the derived one (Eq. 2): k edges of each type carry another operation."""
    rng, m = np.random.default_rng([seed, 6]), len(space.operations)
    start = one_hot_alphas(space, derive(space, alphas, edge_weights)).argmax(-1)  # (T, E)
    rows = []
    for k in range(min(config.distance, len(space.edges)) + 1):
        moved = perturbed_edges((config.n_discrete, *start.shape), k, rng)
        rows.append((start + moved * rng.integers(1, m, moved.shape)) % m)
    return np.eye(m)[np.stack(rows)]


def estimate(run: Run, config: LandscapeConfig) -> str:
    """What a landscape will take, in one line, from the time of seven Hessian rows and some points on one batch."""
    found = Source(str(run.folder), config.n_valid).open()
    n, size, device = len(found.batches), found.alphas.numel(), found.weights.device.type
    some = torch.eye(size).to(found.alphas)[:7].view(-1, *found.alphas.shape)
    loss_on = loss_of_alphas(found.net, found.weights, found.edge_weights)
    chunk = found.alphas.double().cpu()[None].expand(found.chunk, -1, -1, -1).numpy()

    def seconds(work: Callable[[], object]) -> float:
        work()  # the first also warms up
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    product = seconds(lambda: curvature.hessian_vector_product(loss_on, found.alphas, some, found.batches[:1])) / 7
    point = seconds(lambda: losses_on(found, 0, chunk)) / found.chunk
    points = config.grid**2 + config.coarse**2 + (config.distance + 1) * config.n_discrete
    processes = n_workers(n)
    memory = peak_bytes(device) * processes
    return (
        f"about {duration(n * (size * product + points * point) / processes)}, {memory / 1e9:.1f} GB: a Hessian of "
        f"{size} x {size} and {points:,} points on {n} batches of {run.config.batch_size}; {processes} "
        f"process{'es' * (processes > 1)}"
    )


# --- kept in the run folder -------------------------------------------------------------------------


def _path(run: Run, config: LandscapeConfig) -> Path:
    return (
        run.folder / f"landscape-{digest({'format': FORMAT, 'search': Run.identity(run.config), **asdict(config)})}.npz"
    )


def known_landscape(run: Run, config: LandscapeConfig) -> Landscape | None:
    """What was computed before with the same parameters; RunError, one line, for a damaged file."""
    if not _path(run, config).exists():
        return None
    with reading(_path(run, config)) as path, open(path, "rb") as file:
        return _made(Landscape, dict(np.load(file, allow_pickle=False)))


def _arrays(value: Any, name: str = "") -> dict[str, np.ndarray]:
    """Name -> numbers of a nested dict, such as `plane.losses`; None is left out."""
    if not isinstance(value, dict):
        return {} if value is None else {name: np.asarray(value)}
    parts = (_arrays(part, f"{name}.{field}".strip(".")) for field, part in value.items())
    return {key: array for part in parts for key, array in part.items()}


def _made(kind: Any, arrays: dict[str, np.ndarray], name: str = "") -> Any:
    """The dataclass again."""
    if hasattr(kind, "__dataclass_fields__"):
        fields = get_type_hints(kind).items()
        return kind(**{field: _made(of, arrays, f"{name}.{field}".strip(".")) for field, of in fields})
    value = arrays[name] if kind is np.ndarray else arrays.get(name)
    return value if value is None or value.ndim else value.item()
