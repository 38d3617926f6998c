"""Shared tables, and the paper's tabular experiments in plain Python: the oracle of several tests."""

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flatlib.spaces import all_archs
from flatlib.tabular.experiment import Experiment, open_experiment
from flatlib.tabular.table import Quantity, Table
from flatlib.tabular.table_file import save_table

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: pytest-xdist runs one a core, and two threads each get in their way
if not Path("/dev/nvidia0").exists():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports triton

DATA = Path(os.environ.get("FLATLIB_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> None:
    """A shell starts its background jobs with Ctrl-C ignored; the tests that send it need Python's handler."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Of torch, in this process."""
    import torch

    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def compiled() -> None:
    """The compiled kernels, built if need be."""
    from flatlib.search.kernels import build

    if reason := build.missing():
        pytest.skip(reason)


@pytest.fixture
def own_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands set how warnings are printed, for good."""
    monkeypatch.setattr("warnings.formatwarning", None)


@pytest.fixture(scope="session")
def real_table_path() -> Path:
    """NAS-Bench-201's real columns."""
    path = DATA / "nb201" / "nb201_table.npz"
    if not path.exists():
        pytest.skip(f"no {path}: set FLATLIB_DATA to the folder that holds nb201/nb201_table.npz")
    return path


@pytest.fixture(scope="session")
def cifar10_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of cifar-10-batches-bin/: files that the tool lays out, their SHA-1 checked there."""
    pytest.importorskip("PIL", reason="no pillow: pip install pillow")
    tool = DATA.parent / "tools" / "unpack_cifar.py"
    if not tool.exists() or not (DATA / "cifar10").is_dir():
        pytest.skip(f"no {tool} or no {DATA / 'cifar10'}: set FLATLIB_DATA to the folder that holds cifar10/")
    folder = tmp_path_factory.mktemp("cifar")
    done = subprocess.run([sys.executable, tool, folder, "cifar10"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def curves(quality: np.ndarray, epochs: list[int], schedule: int, n_seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Accuracies (A, S, epochs) in eighths of a percent, so that sums are exact and ties frequent."""
    share = np.array(epochs) / schedule
    noise = rng.normal(0, 6, (len(quality), n_seeds, len(epochs))) * (1.2 - share)
    return np.clip(np.round((quality[:, None, None] * (0.5 + share / 2) + noise) * 8) / 8, 0, 100).astype(np.float32)


@pytest.fixture(scope="session")
def small_table() -> Table:
    """All cells in a shuffled order: five epochs, three seeds with gaps, two data sets that judge."""
    rng = np.random.default_rng(201)
    archs = rng.permutation(all_archs())
    gain = np.array([0.0, 5.0, 7.0, 10.0, 2.0])
    quality = 25 + gain[archs].sum(1) + 4 * (archs[:, 0] == archs[:, 5]) + rng.normal(0, 2, len(archs))
    search = curves(quality, [3, 6, 9, 12, 20], 20, 3, rng)
    gaps = rng.random(search.shape[:2]) < 0.3
    gaps[np.arange(len(archs)), rng.integers(0, 3, len(archs))] = False  # each cell was run once at least
    search[gaps] = np.nan
    judge = curves(quality - 10 * (archs[:, 3] == 4), [20], 20, 2, rng)
    judge[::3, 1] = np.nan
    return Table(
        "synthetic",
        archs,
        {
            "toy-valid/20/x-valid": Quantity(search, np.array([3, 6, 9, 12, 20]), np.array([7, 8, 9])),
            "toy-valid/40/x-valid": Quantity(curves(quality, [6, 40], 40, 1, rng), np.array([6, 40]), np.array([7])),
            "toy/20/ori-test": Quantity(curves(quality, [20], 20, 1, rng), np.array([20]), np.array([-1])),
            "toy-two/20/x-test": Quantity(judge, np.array([20]), np.array([4, 5])),
        },
        rng.uniform(0.1, 1.5, len(archs)).astype(np.float32),
    )


@pytest.fixture(scope="session")
def synthetic_experiment(small_table: Table, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The paper's setting on the small table, through a file as a notebook opens it."""
    path = tmp_path_factory.mktemp("table") / "synthetic.npz"
    save_table(small_table, path)
    return open_experiment(path)


class PlainPaper:
    """Sections 3.3, 4.1 and B on cells named by the benchmark's strings: dictionaries and loops only."""

    OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

    def __init__(self, f: dict[str, float], tests: dict[str, dict[str, float]]):
        self.f, self.tests = f, tests
        self.hoods = {cell: self.neighborhood(cell) for cell in f}

    def neighborhood(self, cell: str, d: int = 1) -> list[str]:
        """N(alpha): at most d edges carry another operation; the cell itself first (Eq. 3)."""
        found = {cell: None}
        for _ in range(d):
            for known in list(found):
                words = known.split("~")  # '|op', '0|+|op', '0|op', ...: an operation ends each word but the last
                for at, word in enumerate(words[:-1]):
                    head = word[: word.rindex("|") + 1]
                    for operation in self.OPERATIONS:
                        found["~".join([*words[:at], head + operation, *words[at + 1 :]])] = None
        return list(found)

    @staticmethod
    def variance(values: list[float]) -> float:
        """Population variance."""
        center = math.fsum(values) / len(values)
        return math.fsum((value - center) ** 2 for value in values) / len(values)

    def g(self, criterion: str, values: list[float]) -> float:
        """The criterion of a row of Table B; values[0] is f(alpha)."""
        ordered, n = sorted(values), len(values)
        return {
            "Baseline": lambda: values[0],
            "Ours - mean": lambda: math.fsum(values) / n,
            "Ours - median": lambda: (ordered[(n - 1) // 2] + ordered[n // 2]) / 2,
            "Ours - max": lambda: ordered[-1],
            "Ours - Variance": lambda: values[0] + 1.0 * math.sqrt(self.variance(values)),
        }[criterion]()

    def score(self, criterion: str, cell: str) -> float:
        """g(f(N(alpha))) (Eq. 1)."""
        return self.g(criterion, [self.f[neighbor] for neighbor in self.hoods[cell]])

    def neighbor_variance(self, cell: str) -> float:
        """Sec. 3.3.1's neighborhood variance."""
        return self.variance([self.f[neighbor] for neighbor in self.hoods[cell]])

    def best(self, criterion: str, n: int) -> list[str]:
        """The n cells of lowest score; of equals the first in the table."""
        return sorted(self.f, key=lambda cell: self.score(criterion, cell))[:n]

    def flat_and_sharp(self, n: int) -> tuple[list[str], list[str]]:
        """Sec. 3.3.1: the n best cells, halved by neighborhood variance."""
        ordered = sorted(self.best("Baseline", n), key=self.neighbor_variance)
        return ordered[: n // 2], ordered[n // 2 :]

    @staticmethod
    def mean_and_std(values: list[float]) -> tuple[float, float]:
        return math.fsum(values) / len(values), math.sqrt(PlainPaper.variance(values))

    @staticmethod
    def kendall(x: list[float], y: list[float]) -> float:
        """Kendall's tau-b, pair by pair."""
        balance = sum(
            ((x[i] > x[j]) - (x[i] < x[j])) * ((y[i] > y[j]) - (y[i] < y[j])) for i in range(len(x)) for j in range(i)
        )
        tied = [sum(n * (n - 1) // 2 for n in Counter(values).values()) for values in (x, y)]
        pairs = len(x) * (len(x) - 1) // 2
        return balance / math.sqrt((pairs - tied[0]) * (pairs - tied[1]))

    def table_1a(self, n: int) -> dict[tuple[str, str], tuple[float, float]]:
        """(row, column) -> mean and std."""
        return {
            (row, column): self.mean_and_std([test[cell] for cell in cells])
            for row, cells in zip(("Flat minima", "Sharp minima"), self.flat_and_sharp(n), strict=True)
            for column, test in self.tests.items()
        }

    def table_b(self, samples: list[list[str]]) -> dict[tuple[str, str], tuple[float, float]]:
        """(row, column) -> mean and std of tau over samples of cells."""
        rows = ("Baseline", "Ours - mean", "Ours - median", "Ours - max", "Ours - Variance")
        return {
            (row, column): self.mean_and_std(
                [
                    self.kendall([self.score(row, cell) for cell in cells], [test[cell] for cell in cells])
                    for cells in samples
                ]
            )
            for row in rows
            for column, test in self.tests.items()
        }

    def table_c(self, n: int) -> dict[tuple[str, str], tuple[float, float]]:
        """(row, column) -> mean and std over the n best cells of each criterion."""
        table = {}
        for row in ("Baseline", "Ours - mean", "Ours - median", "Ours - max", "Ours - Variance"):
            cells = self.best(row, n)
            spread = [self.neighbor_variance(cell) for cell in cells]
            table[row, "Neighbor-Var"] = self.mean_and_std(spread)
            table[row, "Neighbor-Std"] = self.mean_and_std([math.sqrt(value) for value in spread])
            for column, test in self.tests.items():
                table[row, column] = self.mean_and_std([test[cell] for cell in cells])
        return table

    def na_rs(self, criterion: str, steps: list[list[str]]) -> str:
        """Algorithm 2 on given draws, the reference cell of each step first."""
        best, lowest = "", math.inf
        for cells in steps:
            score = self.g(criterion, [self.f[cell] for cell in cells])
            if score < lowest:
                best, lowest = cells[0], score
        return best


@pytest.fixture(scope="session")
def plain_paper() -> type[PlainPaper]:
    """The class itself: `plain_paper(f, tests)`."""
    return PlainPaper
