"""Tables 3, 4, 5, 6, Fa and Fb from run folders: trainings grouped by cell and setting, counts of published cells."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from flatlib import published
from flatlib.evaluation.catalogue import catalogue, cell_key
from flatlib.evaluation.cost import cost
from flatlib.evaluation.costs import SIZES
from flatlib.evaluation.plan import IMAGES, network_plan
from flatlib.evaluation.runs import EvaluationRun
from flatlib.search.config import SearchConfig

ERRORS = {  # table -> data set -> the paper's column
    "3": {name: f"Top-1 Test Error / {label}" for name, label in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100"))}
    | {"imagenet": "Top-1 Test Error / ImageNet"},
    "4": {"cifar10": "Test Error / CIFAR-10", "cifar100": "Test Error / CIFAR-100"},
    "5": {"imagenet": "Test Error / Top-1"},
    "6": {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"},
    "Fa": {"cifar10": "Test Error / CIFAR-10", "cifar100": "Test Error / CIFAR-100"},
    "Fb": {"cifar10": "Test Error / CIFAR-10", "cifar100": "Test Error / CIFAR-100"},
}
COUNTS: dict[str, dict[str, tuple[str, ...]]] = {  # table -> data set -> the columns of parameters and multiply-adds
    "3": {"cifar10": ("Params / CIFAR",), "imagenet": ("Params / ImageNet",)},
    "4": {"cifar10": ("Params",)},
    "5": {"imagenet": ("Params", "+x")},
}
COUNTED = "from shapes, without the auxiliary classifier"  # the setting of counts
PAPER_ORIGINS = ("published cells", "cells found on cifar10")  # the paper searches on CIFAR-10
VARIANTS = {
    "darts": "DARTS",
    "na-darts": "NA-DARTS (Ours)",
    "darts-es": "DARTS-ES",
    "na-darts-es": "NA-DARTS-ES (Ours)",
    "pc-darts": "PC-DARTS",
    "na-pc-darts": "NA-PC-DARTS (Ours)",
}
Searches = Mapping[str, SearchConfig]  # cell key -> the search that found it


class Trained(NamedTuple):
    """Trainings under one setting: of a published cell, or of all the cells that one kind of search found."""

    name: str
    setting: str
    runs: tuple[EvaluationRun, ...]
    rows: tuple[tuple[str, str], ...]  # (table, the paper's row)

    @property
    def errors(self) -> np.ndarray:  # (n,) percent
        return np.array([run.test_error for run in self.runs])

    @property
    def top5_errors(self) -> np.ndarray:  # (n,) percent
        return np.array([run.result["test_error_top5"] for run in self.runs if run.result])

    @property
    def source(self) -> str:
        """Whose table this is: the paper's own data sets share one, a stand-in has its name."""
        dataset = self.runs[0].config.dataset
        return dataset if dataset == "digits" else published.IMAGES

    @property
    def origin(self) -> str:
        """'published cell', or where the cells were found."""
        return f"cells {self.name.split(', ')[-1]}" if ", found on " in self.name else "published cells"


# --- groups ---------------------------------------------------------------------------------------


def trained(runs: Iterable[EvaluationRun], searches: Searches) -> list[Trained]:
    """Trainings by cell and setting; cells of searches that differ in their seed only are one group."""
    groups: dict[tuple[str, str], list[EvaluationRun]] = defaultdict(list)
    rows: dict[str, tuple[tuple[str, str], ...]] = {}
    for run in runs:
        key = cell_key(run.config.genotype)
        if search := searches.get(key):
            name, rows[name] = found_name(search), rows_of_search(search)
        else:
            name = run.config.name
            rows[name] = tuple(catalogue()[name].rows.items()) if name in catalogue() else ()
        groups[name, setting(run)].append(run)
    return [Trained(name, text, tuple(found), rows[name]) for (name, text), found in sorted(groups.items())]


def setting(run: EvaluationRun) -> str:
    """All that makes trainings comparable, in words: everything but cell, seed and device."""
    c = run.config
    words = [f"{c.dataset}{f', {c.n_train:,} images' * bool(c.n_train)}", f"C = {c.channels}, {c.cells} cells"]
    words += [f"{c.epochs} epochs of batch {c.batch_size}", f"{c.optimizer} {c.learning_rate:g}, {c.schedule}"]
    rest = ("weight_decay", "gradient_clip", "label_smoothing", "cutout", "drop_path", "auxiliary", "precision")
    fields = type(c).__dataclass_fields__
    words += [f"{name} {getattr(c, name)}" for name in rest if getattr(c, name) != fields[name].default]
    return "; ".join(words)


def found_name(search: SearchConfig) -> str:
    """'na-darts, found on digits', with what is not the default of its space."""
    fields, own = SearchConfig.__dataclass_fields__, asdict(search)
    neighborhood = ("aggregator", "representation", "d", "n_nbr", "eps", "lam") if search.neighborhood_aware else ()
    told = ("space", "order", *neighborhood)
    changed = [f"{name} = {own[name]}" for name in told if own[name] != fields[name].default]
    return ", ".join([search.method, *changed, f"found on {search.dataset}"])


def rows_of_search(search: SearchConfig) -> tuple[tuple[str, str], ...]:
    """The rows of the paper that a search's cells belong to, whatever the size of the search."""
    if search.space == "s3":
        return (("6", VARIANTS[search.method]),) if search.method in VARIANTS else ()
    if search.space != "darts" or search.method not in ("darts", "na-darts"):
        return ()
    if search.method == "darts":
        row = "DARTS 1st" if search.order == 1 else "DARTS 2nd"
        return (("3", row), ("4", row), *([("5", "DARTS")] * (search.order == 2)))
    rows = [("Fa", search.aggregator)] if search.d == 6 and search.aggregator in ("mean", "max") else []
    if search.aggregator == "mean":
        rows += [("Fb", f"d = {search.d}")] if search.d in (2, 4, 6) else []
        rows += [(table, "NA-DARTS (Ours)") for table in "345"] if search.d == 6 else []
    return tuple(rows)


# --- numbers --------------------------------------------------------------------------------------


class Noise(NamedTuple):
    """How far one training's error lies from its cell's mean, from repeated trainings of the same cells."""

    std: float  # percent; nan where no cell was trained twice
    cells: int  # that were trained more than once
    runs: int  # of them

    def of_difference(self, n: int, m: int) -> float:
        """Standard error of the difference of two means of n and m trainings, percent."""
        return self.std * math.sqrt(1 / n + 1 / m)


def seed_noise(runs: Sequence[EvaluationRun]) -> Noise:
    """Pooled over cells: s^2 = sum (x - mean of its cell)^2 / sum (n - 1). All runs are of one setting."""
    cells: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        cells[cell_key(run.config.genotype)].append(run.test_error)
    several = [np.array(errors) for errors in cells.values() if len(errors) > 1]
    freedom = sum(len(errors) - 1 for errors in several)
    squares = sum(float(((errors - errors.mean()) ** 2).sum()) for errors in several)
    n = sum(len(errors) for errors in several)
    return Noise(math.sqrt(squares / freedom) if freedom else math.nan, len(several), n)


def measured(table: str, groups: Iterable[Trained], source: str) -> list[published.Measured]:
    """What was trained for a table: on the paper's data under the paper's columns, else under the data set's name.

    A cell found on a stand-in is not the paper's, whatever it is trained on.
    """
    lines = []
    for group in groups:
        dataset, own = group.runs[0].config.dataset, source == published.IMAGES
        column = ERRORS[table].get(dataset, "") if own else f"Test Error / {dataset}"
        if group.source != source or not column or (own and group.origin not in PAPER_ORIGINS):
            continue
        for row in (row for of, row in group.rows if of == table):
            lines.append(_line(row, column, group.errors, group))
            if column == "Test Error / Top-1":
                lines.append(_line(row, "Test Error / Top-5", group.top5_errors, group))
    return lines


def _line(row: str, column: str, values: np.ndarray, group: Trained) -> published.Measured:
    where = ", ".join(sorted({str(run.hardware.get("device")) for run in group.runs}))
    text = f"{group.origin}; {group.setting}; trained on {where}"
    return published.Measured(row, column, float(values.mean()), float(values.std()), len(values), text, group.name)


def counted(table: str) -> list[published.Measured]:
    """Parameters and multiply-adds of the published cells' networks, in millions, without the auxiliary head."""
    lines = []
    for cell in catalogue().values():
        for dataset, columns in COUNTS.get(table, {}).items() if table in cell.rows else ():
            channels, cells = SIZES[dataset]
            numbers = cost(network_plan(cell.cell, IMAGES[dataset], channels=channels, cells=cells))
            note = f"{cell.name}, C = {channels}, {cells} cells" + f"; {cell.doubt}" * bool(cell.doubt)
            lines += [
                published.Measured(cell.rows[table], column, number / 1e6, None, 1, COUNTED, note)
                for column, number in zip(columns, numbers, strict=False)
            ]
    return lines
