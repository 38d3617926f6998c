"""The checked notebook parameters: one class a notebook, a subclass of `Settings`.

A parameter is a field with a default, limits and a description; `check` reads them from the kernel.
"""

import dataclasses
import html
import os
from collections.abc import Mapping
from math import comb
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell
from flatlib.evaluation.config import EvaluationConfig
from flatlib.parameter_check import ParameterError, check
from flatlib.search.config import ALL_METHODS, METHODS, SearchConfig

__all__ = [
    "MIME",
    "Assumption",
    "Cells",
    "Evaluation",
    "NaDarts",
    "ParameterError",
    "RandomSearch",
    "Settings",
    "TableSettings",
    "Variants",
    "check",
]

MIME = "application/vnd.flatlib.settings+json"  # {name: value}, read by the report's index page


class Settings(BaseModel):
    """What every notebook takes. Checked values, frozen; in a notebook they show as a table."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: int = Field(0, ge=0, description="seed of every random draw")
    reports_dir: str = Field("auto", description="a folder to write to; 'auto': the checkout's reports/")

    @field_validator("reports_dir")
    @classmethod
    def _is_folder_or_new(cls, value: str) -> str:
        path = resolve_reports_dir(value)
        if os.path.exists(path) and not os.path.isdir(path):
            raise ValueError(f"{path} is a file, not a folder")
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{path} cannot be written ({error.strerror})") from None
        return value

    def output_dir(self) -> Path:
        """Where the run writes: `reports_dir`; 'auto' keeps runs with other parameters below custom/.

        So the results at the defaults, and those kept on the real columns, stay what they are.
        """
        folder = resolve_reports_dir(self.reports_dir)
        changed = [
            f"{name}={value}".replace("/", "-")
            for name, value in self.model_dump().items()
            if name not in ("table", "reports_dir") and value != type(self).model_fields[name].default
        ]
        return folder / "custom" / ",".join(changed) if changed and self.reports_dir == "auto" else folder

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """A table with what differs from the defaults in bold; plain lines; {name: value}."""
        lines, rows = [], ""
        fields = type(self).model_fields
        for name in sorted(fields, key=lambda name: name in Settings.model_fields):  # the notebook's own first
            value, default, text = getattr(self, name), fields[name].default, fields[name].description
            note = "" if value == default else f" (default {default!r})"
            lines.append(f"{name} = {value!r}  # {text}{note}")
            cell = html.escape(f"{value!r}{note}")
            cell = f"<b>{cell}</b>" if note else cell
            rows += f"<tr><td><code>{name}</code></td><td>{cell}</td><td>{html.escape(str(text))}</td></tr>"
        head = "<tr><th>parameter</th><th>value</th><th>meaning</th></tr>"
        table = f'<table class="flatlib-settings">{head}{rows}</table>'
        return {"text/plain": "\n".join(lines), "text/html": table, MIME: self.model_dump()}


class TableSettings(Settings):
    """What notebooks 01 and 02 share: a tabular benchmark and a neighborhood."""

    table: str = Field("digits201", description="'digits201' or the path of a .npz table")
    search_quantity: str = Field(
        "auto", description="what f is read from: 'auto' or a key such as 'cifar10-valid/200/x-valid'"
    )
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

    n_top: int = Field(
        100, ge=4, le=15624, multiple_of=2, description="local minima, half flat and half sharp, Sec. 3.3.1"
    )
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
        size = sum(comb(6, k) * 4**k for k in range(self.d + 1))  # Eq. 3 on NAS-Bench-201
        if self.n_nbr > size:
            raise ValueError(f"n_nbr = {self.n_nbr}: only {size} cells within d = {self.d}; allowed: 2 to {size}")
        return self


# --- searches: fields and limits are SearchConfig's -------------------------------------------------


class _Runs(Settings):
    """What notebooks share that write or read run folders."""

    runs_dir: str = Field("auto", description="a folder for run folders; 'auto': the checkout's runs/")

    @field_validator("runs_dir")
    @classmethod
    def _is_no_file(cls, value: str) -> str:
        if os.path.isfile(os.path.expanduser(value)):
            raise ValueError("a file, not a folder")
        return value

    @property
    def runs_folder(self) -> Path:
        """Where run folders go: `runs_dir`; 'auto' is runs/ beside a folder named reports, else below it."""
        if self.runs_dir != "auto":
            return Path(os.path.expanduser(self.runs_dir))
        folder = resolve_reports_dir(self.reports_dir).absolute()
        return (folder.parent if folder.name == "reports" else folder) / "runs"


class _Searches(_Runs):
    """What notebooks 03 and 05 share: how often a search is run, what its cells are compared with."""

    runs: int = Field(1, ge=1, description="searches from different seeds: seed, seed + 1, ...")
    random_cells: int = Field(2, ge=0, description="random cells trained beside the found ones")
    train_epochs: int = Field(3, ge=0, description="epochs of that training; 0 trains none")

    @model_validator(mode="after")
    def _is_a_search(self) -> "_Searches":
        self.configs()
        return self

    def configs(self) -> dict[str, SearchConfig]:
        """Method -> its search from the first seed; all share every other parameter."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(SearchConfig) if hasattr(self, f.name)}
        return {method: SearchConfig(**own | {"method": method}) for method in self.methods_to_run}

    @property
    def methods_to_run(self) -> list[str]:
        raise TypeError("a notebook's own class says which methods it runs")


def _fields_of(
    config: Any, base: Any, left_out: tuple[str, ...] = (), *, defaults: dict[str, Any] | None = None, **more: Any
) -> Any:
    """A base class with the fields of a config, some with other defaults, and more fields."""
    fields: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        limits = dict(f.metadata)
        kind = Literal[limits.pop("choices")] if "choices" in limits else type(f.default)
        if f.name not in left_out:
            default = (defaults or {}).get(f.name, f.default)
            fields[f.name] = (kind, Field(default, description=limits.pop("help"), **limits))
    return create_model(f"_{config.__name__}Fields", __base__=base, **fields, **more)


_beside = Field("darts", description="a second method from the same seeds; 'none': none")
_NaDarts: Any = _fields_of(SearchConfig, _Searches, beside=(Literal[("none", *ALL_METHODS)], _beside))
# PC-DARTS needs a multiple of 8 channels, DARTS-ES more than 10 epochs
_S3 = {"space": "s3", "n_train": 600, "channels": 8, "cells": 3, "epochs": 12}
_Variants: Any = _fields_of(SearchConfig, _Searches, ("method", "order"), defaults=_S3)
_Evaluation: Any = _fields_of(EvaluationConfig, _Runs, ("cell",))


class NaDarts(_NaDarts):
    """Notebook 03, Sec. 4.2, 5.2 and D."""

    @property
    def methods_to_run(self) -> list[str]:
        return [self.method, *([self.beside] if self.beside not in ("none", self.method) else [])]


class Variants(_Variants):
    """Notebook 05, Sec. 5.2, Table 6."""

    methods: str = Field(
        "darts darts-es pc-darts", description=f"each run as it is and with na-; of {' '.join(METHODS)}"
    )

    @field_validator("methods")
    @classmethod
    def _are_methods(cls, value: str) -> str:
        unknown = [name for name in value.split() if name not in METHODS]
        if unknown or not value.split():
            raise ValueError(f"{', '.join(unknown)}: no such method" if unknown else "no method")
        return value

    @property
    def methods_to_run(self) -> list[str]:
        return [prefix + method for method in self.methods.split() for prefix in ("", "na-")]


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
            self._config("DARTS_V2")  # as found cells will be
        return self

    def configs(self, found: Mapping[str, Any]) -> dict[str, EvaluationConfig]:
        """Label -> its training from the first seed, of the cells that `train` names; `found`: label -> cell."""
        cells: dict[str, str] = {}
        for word in _words(self.train):
            if word == "found":
                cells |= {label: cell_key(cell) for label, cell in found.items()}
            else:
                cells |= {name: name for name in (catalogue() if word == "all" else [word])}
        return {label: self._config(cell) for label, cell in cells.items()}

    def _config(self, cell: str) -> EvaluationConfig:
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(EvaluationConfig) if f.name != "cell"}
        return EvaluationConfig(**own | {"cell": cell})


class Cells(_Runs):
    """Notebook 07, Sec. F."""

    cells: str = Field("all", description="published cells, separated by ';', or 'all'; found ones come from runs_dir")

    @field_validator("cells")
    @classmethod
    def _are_published(cls, value: str) -> str:
        for word in _words(value):
            if word != "all" and find_cell(word).name not in catalogue():
                raise ValueError(f"{word}: not a published cell; there are {', '.join(catalogue())}")
        return value

    @property
    def names(self) -> list[str]:
        """Of the published cells."""
        words = _words(self.cells)
        return [*catalogue()] if "all" in words else [find_cell(word).name for word in words]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(";") if word.strip()]


def resolve_reports_dir(value: str) -> Path:
    """The folder that `reports_dir` names.

    'auto' is $FLATLIB_REPORTS if set, else reports/ of the checkout around the working folder
    (it has a pyproject.toml and a notebooks/), else ./reports.
    """
    if value != "auto":
        return Path(os.path.expanduser(value))
    if folder := os.environ.get("FLATLIB_REPORTS"):
        return Path(folder)
    for parent in (Path.cwd(), *Path.cwd().parents):
        if (parent / "pyproject.toml").is_file() and (parent / "notebooks").is_dir():
            return parent / "reports"
    return Path.cwd() / "reports"
