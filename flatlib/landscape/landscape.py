"""All that is seen around one found architecture, kept in the search's run folder."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.found import Source
from flatlib.landscape.hessian import Curvature, curvatures
from flatlib.landscape.plane import Plane, losses, plane, random_directions
from flatlib.neighborhoods import perturbed_edges
from flatlib.run.checkpoint import write_beside
from flatlib.run.folder import digest, open_run, reading
from flatlib.search.config import identity
from flatlib.search.derive import derive, one_hot_alphas
from flatlib.search.runs import Run
from flatlib.spaces import SPACES, Space

FORMAT = 2
PARTS = 4  # of the work on a batch: Hessian, two planes, discrete neighbors


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
    coarse = config.grid // 4 * 2 + 1  # enough for a comparison
    random = plane(source, random_directions(shape, own.seed), coarse, config.reach, **how)
    edge_weights = None if found.edge_weights is None else found.edge_weights.double().cpu().numpy()
    cells = discrete_neighbors(SPACES[own.space], along.alphas, edge_weights, config, own.seed)
    values = losses(source, cells.reshape(-1, *shape), **how)[0].reshape(cells.shape[:2])
    result = Landscape(own.method, own.seed, own.space, of_alpha, of_logits, along, random, values, edge_weights)
    arrays: dict[str, Any] = _arrays(asdict(result))
    with open_run(run.folder, identity(run.config)):  # no other process writes the same file
        write_beside(_path(run, config), lambda file: np.savez(file, **arrays))
    return result


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


# --- kept in the run folder -------------------------------------------------------------------------


def _path(run: Run, config: LandscapeConfig) -> Path:
    return run.folder / f"landscape-{digest({'format': FORMAT, 'search': identity(run.config), **asdict(config)})}.npz"


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
