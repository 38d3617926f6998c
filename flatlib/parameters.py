"""The checked notebook parameters: one class a notebook, a subclass of `Settings`.

A parameter is a field with a default, limits and a description; `check` reads them from the kernel.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model, field_validator, model_validator

from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell
from flatlib.evaluation.config import EvaluationConfig
from flatlib.landscape.config import LandscapeConfig
from flatlib.neighborhoods import neighborhood_size
from flatlib.parameter_check import check
from flatlib.run.config import choices
from flatlib.search.config import ALL_METHODS, METHODS, SearchConfig
from flatlib.settings import RunSettings, Settings, SweepPage

__all__ = [
    "Assumption",
    "Cells",
    "Evaluation",
    "LossLandscape",
    "NaDarts",
    "RandomSearch",
    "SweepPage",
    "Variants",
    "check",
]


class TableSettings(Settings):
    """What notebooks 01 and 02 share: a tabular benchmark and a neighborhood."""

    table: str = Field("digits201", description="'digits201' or the path of a .npz table")
    search_quantity: str = Field("auto", description="of f: 'auto' or a key such as 'cifar10-valid/200/x-valid'")
    trial: Literal["first", "mean"] = Field("first", description="f from each cell's first seed, or their mean")
    epoch: int = Field(-1, ge=-1, description="epoch of f; -1: nearest to 45 % of the schedule, 0: the last")
    d: int = Field(1, ge=1, le=6, description="distance threshold of Eq. 3")
    lam: float = Field(1.0, ge=0, allow_inf_nan=False, description="lambda of the variance aggregator, Sec. A.1")

    @field_validator("table")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value == "digits201":
            return value
        path = os.path.expanduser(value)
        if not path.endswith(".npz"):
            raise ValueError("not a .npz file")
        if not os.path.isfile(path):
            raise ValueError(f"no such file (the folder is {os.path.dirname(os.path.abspath(path))})")
        return path


class Assumption(TableSettings):
    """Notebook 01, Sec. 3.3 and B."""

    n_top: int = Field(100, ge=4, le=15624, multiple_of=2, description="local minima, half of them flat, Sec. 3.3.1")
    n_sample: int = Field(100, ge=3, le=15625, description="cells ranked by each criterion, Sec. B.3")
    repeats: int = Field(10, ge=2, description="rankings averaged, Sec. B.3")


class RandomSearch(TableSettings):
    """Notebook 02, Sec. 4.1 and C."""

    steps: int = Field(100, ge=1, description="search steps T of NA-RS; RS runs T * n_nbr, Sec. C")
    n_nbr: int = Field(10, ge=2, description="neighbors looked at, the cell itself included, Sec. C")
    aggregator: Literal["mean", "median", "max", "variance"] = Field("mean", description="g of Eq. 1")
    runs: int = Field(500, ge=2, description="searches from different seeds")
    bo_runs: int = Field(5, ge=0, description="of Bayesian optimization, seconds each; 0 leaves it out")

    @model_validator(mode="after")
    def _neighborhood_holds_n_nbr(self) -> "RandomSearch":
        size = neighborhood_size(6, 5, self.d)  # on NAS-Bench-201
        if self.n_nbr > size:
            raise ValueError(f"n_nbr = {self.n_nbr}: only {size} cells within d = {self.d}; allowed: 2 to {size}")
        return self


# --- searches: fields and limits are SearchConfig's -------------------------------------------------


class _Searched(RunSettings):
    """What notebooks 03, 05 and 06 share: searches, and how often each is run."""

    runs: int = Field(1, ge=1, description="searches from different seeds: seed, seed + 1, ...")

    @model_validator(mode="after")
    def _is_a_search(self) -> "_Searched":
        self.configs()
        return self

    def configs(self) -> dict[str, SearchConfig]:
        """Method -> its search from the first seed; all share every other parameter."""
        return {method: self.config(SearchConfig, method=method) for method in self.methods_to_run}

    @property
    def methods_to_run(self) -> list[str]:
        raise TypeError("a notebook's own class says which methods it runs")


class _Searches(_Searched):
    """What notebooks 03 and 05 share: what the found cells are compared with."""

    random_cells: int = Field(2, ge=0, description="random cells trained beside the found ones")
    train_epochs: int = Field(3, ge=0, description="epochs of that training; 0 trains none")


def _fields_of(config: Any, base: Any, left_out: tuple[str, ...] = (), defaults: Mapping[str, Any] = {}) -> Any:
    """A base class with the fields of a config, some with other defaults."""
    fields: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        limits = dict(f.metadata)
        kind = Literal[choices(f)] if limits.pop("choices", None) else type(f.default)
        if f.name not in left_out:
            default = defaults.get(f.name, f.default)
            fields[f.name] = (kind, Field(default, description=limits.pop("help"), **limits))
    return create_model(f"_{config.__name__}Fields", __base__=base, **fields)


_NaDarts: Any = _fields_of(SearchConfig, _Searches, defaults={"epochs": 24})
# PC-DARTS needs a multiple of 8 channels, DARTS-ES more than 10 epochs
_S3 = {"space": "s3", "n_train": 600, "channels": 8, "cells": 3, "epochs": 12}
_Variants: Any = _fields_of(SearchConfig, _Searches, ("method", "order"), defaults=_S3)
_Landscape: Any = _fields_of(LandscapeConfig, _fields_of(SearchConfig, _Searched, ("method",)))
_Evaluation: Any = _fields_of(EvaluationConfig, RunSettings, ("cell",))


def _each_of(allowed: tuple[str, ...]) -> AfterValidator:
    """Names between spaces, all of them allowed."""

    def checked(value: str) -> str:
        unknown = [name for name in value.split() if name not in allowed]
        if unknown or not value.split():
            raise ValueError(f"{', '.join(unknown)}: no such method" if unknown else "no method")
        return value

    return AfterValidator(checked)


class NaDarts(_NaDarts):
    """Notebook 03, Sec. 4.2, 5.2 and D."""

    beside: Literal[("none", *ALL_METHODS)] = Field(  # type: ignore[valid-type]
        "darts", description="a second method from the same seeds; 'none': none"
    )

    @property
    def methods_to_run(self) -> list[str]:
        return [self.method, *([self.beside] if self.beside not in ("none", self.method) else [])]


class Variants(_Variants):
    """Notebook 05, Sec. 5.2, Table 6."""

    methods: Annotated[str, _each_of(METHODS)] = Field(
        "darts darts-es pc-darts", description=f"each run as it is and with na-; of {' '.join(METHODS)}"
    )

    @property
    def methods_to_run(self) -> list[str]:
        return [prefix + method for method in self.methods.split() for prefix in ("", "na-")]


class LossLandscape(_Landscape):
    """Notebook 06, Sec. E."""

    methods: Annotated[str, _each_of(ALL_METHODS)] = Field(
        "darts na-darts", description=f"whose searches are looked at; of {' '.join(ALL_METHODS)}"
    )
    runs: int = Field(2, ge=1, description="searches of each method from different seeds: seed, seed + 1, ...")
    folders: str = Field("", description="run folders of finished searches, separated by ';', instead of these")

    @field_validator("folders")
    @classmethod
    def _are_runs(cls, value: str) -> str:
        for word in _words(value):
            if not os.path.isfile(os.path.join(os.path.expanduser(word), "result.json")):
                raise ValueError(f"{word}: no folder of a finished search (no result.json)")
        return value

    @model_validator(mode="after")
    def _is_a_landscape(self) -> "LossLandscape":
        if 0 < self.n_valid < self.batch_size and not self.folders:
            raise ValueError(
                f"n_valid = {self.n_valid}: less than a batch; allowed: {self.batch_size} or more, or 0: all"
            )
        self.landscape()
        return self

    @property
    def methods_to_run(self) -> list[str]:
        return self.methods.split()

    @property
    def run_folders(self) -> list[str]:
        return [os.path.expanduser(word) for word in _words(self.folders)]

    def landscape(self) -> LandscapeConfig:
        return self.config(LandscapeConfig)


class Evaluation(_Evaluation):
    """Notebook 04, Tables 3, 4, 5, 6 and F."""

    train: str = Field(
        "DARTS_V1; DARTS_V2; found", description="cells to train, separated by ';': names, found, all; '': none"
    )
    runs: int = Field(2, ge=1, description="trainings of each cell from different seeds: seed, seed + 1, ...")

    @field_validator("train")
    @classmethod
    def _are_cells(cls, value: str) -> str:
        for word in _words(value):
            if word not in ("found", "all"):
                find_cell(word)
        return value

    @model_validator(mode="after")
    def _is_a_training(self) -> "Evaluation":
        if not self.configs({}):
            self.config(EvaluationConfig, cell="DARTS_V2")  # as found cells will be
        return self

    def configs(self, found: Mapping[str, Any]) -> dict[str, EvaluationConfig]:
        """Label -> its training from the first seed, of the cells that `train` names; `found`: label -> cell."""
        cells: dict[str, str] = {}
        for word in _words(self.train):
            if word == "found":
                cells |= {label: cell_key(cell) for label, cell in found.items()}
            else:
                cells |= {name: name for name in (catalogue() if word == "all" else [word])}
        return {label: self.config(EvaluationConfig, cell=cell) for label, cell in cells.items()}


class Cells(RunSettings):
    """Notebook 07, Sec. F."""

    cells: str = Field("all", description="published cells, separated by ';', or 'all'; found ones come from runs_dir")

    @field_validator("cells")
    @classmethod
    def _are_published(cls, value: str) -> str:
        if not _words(value):
            raise ValueError("no cell")
        for word in _words(value):
            if word != "all" and find_cell(word).name not in catalogue():
                raise ValueError(f"{word}: not a published cell; there are {', '.join(catalogue())}")
        return value

    @property
    def names(self) -> list[str]:
        words = _words(self.cells)
        return [*catalogue()] if "all" in words else [find_cell(word).name for word in words]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(";") if word.strip()]
