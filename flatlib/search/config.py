"""What a search is: its parameters, their limits, and each method's recipe. Needs no torch."""

from dataclasses import dataclass, replace

from flatlib.aggregators import differentiable
from flatlib.run.config import Parameters, parameter
from flatlib.spaces import SPACES


@dataclass(frozen=True)
class Recipe:
    """How a method trains; the defaults are DARTS's, which Sec. D.1 takes over."""

    learning_rate: float = 0.025  # SGD, cosine from here
    learning_rate_end: float = 0.001  # to here
    momentum: float = 0.9
    weight_decay: float = 3e-4
    gradient_clip: float = 5.0  # norm
    arch_learning_rate: float = 3e-4  # Adam
    arch_betas: tuple[float, float] = (0.5, 0.999)
    arch_weight_decay: float = 1e-3
    warm_up: float = 0.0  # share of the epochs without architecture steps
    partial: int = 1  # PC-DARTS's K
    noise: tuple[float, float] = (0.0, 0.0)  # SDARTS-RS: of alpha in the weight step, from first to last epoch
    temperature: tuple[float, float] | None = None  # SNAS's Gumbel-Softmax, from first to last epoch
    watches_curvature: bool = False  # DARTS-ES: takes the largest eigenvalue after each epoch
    tolerance: float = 0.75  # DARTS-ES stops where old / new mean eigenvalue falls below
    window: int = 5  # DARTS-ES: epochs of each mean


RECIPES = {
    "darts": Recipe(),
    "darts-es": Recipe(watches_curvature=True),
    # its authors': 15 of 50 epochs, batch 256
    "pc-darts": Recipe(0.1, 0.0, arch_learning_rate=6e-4, warm_up=15 / 50, partial=4),
    "snas": Recipe(temperature=(1.0, 0.03)),
    "sdarts-rs": Recipe(noise=(0.03, 0.3)),
}


def methods() -> tuple[str, ...]:
    """Names of RECIPES, each with its neighborhood (na-) and without."""
    return tuple(prefix + name for name in RECIPES for prefix in ("na-", ""))


METHODS, ALL_METHODS = tuple(RECIPES), methods()  # that ship


@dataclass(frozen=True)
class SearchConfig(Parameters):
    """One search from one seed. The defaults are a small search on a laptop; the paper's are in params/."""

    space: str = parameter("darts", "search space", choices=lambda: tuple(SPACES))
    dataset: str = parameter("digits", "images searched on", choices=("digits", "cifar10", "cifar100"))
    n_train: int = parameter(0, "training images used, both halves together; 0: all", ge=0)
    method: str = parameter("na-darts", "search method", choices=methods)
    order: int = parameter(1, "1: first order, 2: unrolled (without neighborhood)", ge=1, le=2)
    aggregator: str = parameter("mean", "g of Eq. 5", choices=differentiable)
    representation: str = parameter(
        "auto",
        "of neighbors; 'auto': multiplicative for max, else additive",
        choices=("auto", "additive", "multiplicative"),
    )
    d: int = parameter(6, "edges perturbed in each cell type, Sec. D.1", ge=0, le=14)
    n_nbr: int = parameter(10, "neighbors a step, alpha itself included, Sec. D.1", ge=1)
    eps: float = parameter(0.1, "noise threshold, Sec. D.1", gt=0, lt=1)
    lam: float = parameter(1.0, "lambda of the variance aggregator, Sec. A.1", ge=0)
    channels: int = parameter(4, "C of the first cells; 16 in the paper", ge=2, multiple_of=2)
    cells: int = parameter(4, "cells of the supernet; 8 in the paper", ge=3)
    epochs: int = parameter(8, "epochs of search; 50 in the paper", ge=1)
    batch_size: int = parameter(32, "images a step from each half; 64 in the paper", ge=2)
    arch_learning_rate: float = parameter(
        0.03, "Adam's, for the logits; 0: the method's own, 3e-4 (PC-DARTS 6e-4) for 19,550 steps", ge=0
    )
    hessian_batches: int = parameter(1, "validation batches whose Hessian DARTS-ES takes after each epoch", ge=1)
    precision: str = parameter("float32", "of the supernet", choices=("float32", "tf32", "bf16", "float64"))
    device: str = parameter("auto", "'auto': a GPU if there is one", choices=("auto", "cpu", "cuda"))
    seed: int = parameter(0, "seed of every random draw", ge=0)

    def __post_init__(self) -> None:
        """ValueError, one line, for parameters out of range or that contradict each other."""
        super().__post_init__()
        if self.order == 2 and self.method not in ("darts", "darts-es"):  # NA-DARTS is first order (Algorithm 1)
            raise ValueError(f"order = 2 with method = {self.method}: only darts and darts-es unroll; use order = 1")
        if self.order == 2 and self.precision in ("tf32", "bf16"):  # they round its small difference of weights away
            raise ValueError(f"precision = {self.precision} with order = 2: too coarse; allowed: float32, float64")
        edges = len(SPACES[self.space].edges)
        if self.d > edges:
            raise ValueError(f"d = {self.d}: a cell of {self.space} has {edges} edges; allowed: 0 to {edges}")
        if self.space == "nas-bench-201" and self.cells % 3:
            raise ValueError(f"cells = {self.cells}: {self.space} has three stages; allowed: 3, 6, 9, ...")
        partial = recipe(self).partial
        if self.channels % (2 * partial) and partial > 1:
            allowed = f"allowed: multiples of {2 * partial}, of which 1 / {partial} passes the operations"
            raise ValueError(f"channels = {self.channels} with method = {self.method}: {allowed}")

    @property
    def neighborhood_aware(self) -> bool:
        return self.method.startswith("na-")

    @property
    def base_method(self) -> str:
        """The method without its neighborhood."""
        return self.method.removeprefix("na-")

    @property
    def neighbors(self) -> int:
        """Architectures an architecture step looks at."""
        return self.n_nbr if self.neighborhood_aware else 1

    @property
    def multiplicative(self) -> bool:
        """Eq. A instead of Eq. 6; Sec. A.2.1 says that max works better with it."""
        return self.representation == "multiplicative" or (self.representation == "auto" and self.aggregator == "max")


def recipe(config: SearchConfig) -> Recipe:
    """The method's recipe, with the config's rate for the logits.

    A small search has about a hundredth of the paper's 19,550 steps: with the paper's rate alpha would hardly
    move. The default, 100 times larger, lets it travel as far; that is our choice.
    """
    own = RECIPES[config.base_method]
    return replace(own, arch_learning_rate=config.arch_learning_rate or own.arch_learning_rate)
