"""The checked notebook parameters: one class a notebook, whose fields have a default, a help text and limits."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, make_dataclass
from typing import Any, ClassVar

from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell
from flatlib.evaluation.config import EvaluationConfig
from flatlib.landscape.config import LandscapeConfig
from flatlib.neighborhoods import neighborhood_size
from flatlib.run.config import parameter
from flatlib.search.config import ALL_METHODS, METHODS, SearchConfig
from flatlib.settings import RunSettings, Settings, SweepPage, check

__all__ = [
    "Assumption", "Cells", "Evaluation", "LossLandscape", "NaDarts", "RandomSearch", "SweepPage", "Variants", "check",
]  # fmt: skip
notebook = dataclass(frozen=True, kw_only=True)


def words(text: str) -> list[str]:
    """What a parameter holds that is separated by ';'."""
    return [word.strip() for word in text.split(";") if word.strip()]


@notebook
class TableSettings(Settings):
    """What notebooks 01 and 02 share: a tabular benchmark and a neighborhood."""

    table: str = parameter("digits201", "'digits201' or the path of a .npz table")
    search_quantity: str = parameter("auto", "of f: 'auto' or a key such as 'cifar10-valid/200/x-valid'")
    trial: str = parameter("first", "f from each cell's first seed, or their mean", choices=("first", "mean"))
    epoch: int = parameter(-1, "epoch of f; -1: nearest to 45 % of the schedule, 0: the last", ge=-1)
    d: int = parameter(1, "distance threshold of Eq. 3", ge=1, le=6)
    lam: float = parameter(1.0, "lambda of the variance aggregator, Sec. A.1", ge=0)


@notebook
class Assumption(TableSettings):
    """Notebook 01, Sec. 3.3 and B."""

    n_top: int = parameter(100, "local minima, half of them flat, Sec. 3.3.1", ge=4, le=15624, multiple_of=2)
    n_sample: int = parameter(100, "cells ranked by each criterion, Sec. B.3", ge=3, le=15625)
    repeats: int = parameter(10, "rankings averaged, Sec. B.3", ge=2)


@notebook
class RandomSearch(TableSettings):
    """Notebook 02, Sec. 4.1 and C."""

    steps: int = parameter(100, "search steps T of NA-RS; RS runs T * n_nbr, Sec. C", ge=1)
    n_nbr: int = parameter(10, "neighbors looked at, the cell itself included, Sec. C", ge=2)
    aggregator: str = parameter("mean", "g of Eq. 1", choices=("mean", "median", "max", "variance"))
    runs: int = parameter(500, "searches from different seeds", ge=2)
    bo_runs: int = parameter(2, "of Bayesian optimization, seconds each; 0 leaves it out", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        size = neighborhood_size(6, 5, self.d)  # on NAS-Bench-201
        if self.n_nbr > size:
            raise ValueError(f"n_nbr = {self.n_nbr}: only {size} cells within d = {self.d}; allowed: 2 to {size}")


# --- searches: fields and limits are SearchConfig's -------------------------------------------------


@notebook
class _Searched(RunSettings):
    """What notebooks 03, 05 and 06 share: searches, and how often each is run."""

    runs: int = parameter(1, "searches of each method from different seeds: seed, seed + 1, ...", ge=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.configs()

    def configs(self) -> dict[str, SearchConfig]:
        """Method -> its search from the first seed; all share every other parameter."""
        return {method: self.config(SearchConfig, method=method) for method in self.methods_to_run}

    methods_to_run: ClassVar[Any]  # names of methods, said by a notebook's own class


def _with_fields(config: Any, base: type, left_out: tuple[str, ...] = (), **defaults: Any) -> Any:
    """A base class with the fields of a config, some with other defaults."""
    own = [
        (f.name, f.type, parameter(defaults.get(f.name, f.default), **f.metadata))
        for f in fields(config)
        if f.name not in left_out
    ]
    return make_dataclass(f"_{config.__name__}Fields", own, bases=(base,), frozen=True, kw_only=True)


def _each_of(allowed: tuple[str, ...]) -> Callable[[str], None]:
    """Names between spaces, all of them allowed."""

    def check(value: str) -> None:
        unknown = [name for name in value.split() if name not in allowed]
        if unknown or not value.split():
            raise ValueError(f"{', '.join(unknown)}: no such method" if unknown else "no method")

    return check


@notebook
class NaDarts(_with_fields(SearchConfig, _Searched)):  # type: ignore[misc]
    """Notebook 03, Sec. 4.2, 5.2 and D."""

    beside: str = parameter(
        "darts", "a second method from the same seeds; 'none': none", choices=("none", *ALL_METHODS)
    )

    @property
    def methods_to_run(self) -> list[str]:
        return [self.method, *([self.beside] if self.beside not in ("none", self.method) else [])]


# PC-DARTS needs a multiple of 8 channels, DARTS-ES more than 10 epochs
_S3 = {"space": "s3", "n_train": 400, "channels": 8, "cells": 3, "epochs": 12}


@notebook
class Variants(_with_fields(SearchConfig, _Searched, ("method", "order"), **_S3)):  # type: ignore[misc]
    """Notebook 05, Sec. 5.2, Table 6."""

    methods: str = parameter(
        "darts darts-es pc-darts", f"each run as it is and with na-; of {' '.join(METHODS)}", check=_each_of(METHODS)
    )

    @property
    def methods_to_run(self) -> list[str]:
        return [prefix + method for method in self.methods.split() for prefix in ("", "na-")]


def _are_runs(value: str) -> None:
    for word in words(value):
        if not os.path.isfile(os.path.join(os.path.expanduser(word), "result.json")):
            raise ValueError(f"{word}: no folder of a finished search (no result.json)")


@notebook
class LossLandscape(_with_fields(LandscapeConfig, _with_fields(SearchConfig, _Searched, ("method",)))):  # type: ignore[misc]
    """Notebook 06, Sec. E."""

    methods: str = parameter(
        "darts na-darts", f"whose searches are looked at; of {' '.join(ALL_METHODS)}", check=_each_of(ALL_METHODS)
    )
    runs: int = parameter(2, "searches of each method from different seeds: seed, seed + 1, ...", ge=1)
    folders: str = parameter(
        "", "run folders of finished searches, separated by ';', instead of these", check=_are_runs
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.n_valid < self.batch_size and not self.folders:
            allowed = f"{self.batch_size} or more, or 0: all"
            raise ValueError(f"n_valid = {self.n_valid}: less than a batch; allowed: {allowed}")
        self.landscape()

    @property
    def methods_to_run(self) -> list[str]:
        return self.methods.split()

    @property
    def run_folders(self) -> list[str]:
        return [os.path.expanduser(word) for word in words(self.folders)]

    def landscape(self) -> LandscapeConfig:
        return self.config(LandscapeConfig)


# --- trainings and cells ----------------------------------------------------------------------------


def _are_cells(value: str) -> None:
    for word in words(value):
        if word not in ("found", "all"):
            find_cell(word)


@notebook
class Evaluation(_with_fields(EvaluationConfig, RunSettings, ("cell",))):  # type: ignore[misc]
    """Notebook 04, Tables 3, 4, 5, 6 and F."""

    train: str = parameter(
        "DARTS_V1; DARTS_V2; found", "cells to train, separated by ';': names, found, all; '': none", check=_are_cells
    )
    runs: int = parameter(2, "trainings of each cell from different seeds: seed, seed + 1, ...", ge=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.configs({}):
            self.config(EvaluationConfig, cell="DARTS_V2")  # as found cells will be

    def configs(self, found: Mapping[str, Any]) -> dict[str, EvaluationConfig]:
        """Label -> its training from the first seed, of the cells that `train` names; `found`: label -> cell."""
        cells: dict[str, str] = {}
        for word in words(self.train):
            if word == "found":
                cells |= {label: cell_key(cell) for label, cell in found.items()}
            else:
                cells |= {name: name for name in (catalogue() if word == "all" else [word])}
        return {label: self.config(EvaluationConfig, cell=cell) for label, cell in cells.items()}


def _are_published(value: str) -> None:
    if not words(value) or not {*words(value)} <= {"all", *catalogue()}:
        raise ValueError(f"not published cells; there are {', '.join(catalogue())}")


@notebook
class Cells(RunSettings):
    """Notebook 07, Sec. F."""

    cells: str = parameter(
        "all", "published cells, separated by ';', or 'all'; runs_dir has more", check=_are_published
    )

    @property
    def names(self) -> list[str]:
        return [*catalogue()] if "all" in words(self.cells) else words(self.cells)
