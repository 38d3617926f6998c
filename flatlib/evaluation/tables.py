"""Tables 3, 4, 5, 6, Fa and Fb from run folders: trainings grouped by cell and setting, counts of published cells."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flatlib import published
from flatlib.evaluation.catalogue import catalogue, cell_key
from flatlib.evaluation.costs import SIZES, usual_cost
from flatlib.evaluation.plan import IMAGES
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
VARIANTS = {
    "darts": "DARTS",
    "na-darts": "NA-DARTS (Ours)",
    "darts-es": "DARTS-ES",
    "na-darts-es": "NA-DARTS-ES (Ours)",
    "pc-darts": "PC-DARTS",
    "na-pc-darts": "NA-PC-DARTS (Ours)",
}
NEIGHBORHOOD = ("aggregator", "representation", "d", "n_nbr", "eps", "lam")  # parameters of it
Searches = Mapping[str, Sequence[SearchConfig]]  # cell key -> the searches that found it


class Trained(NamedTuple):
    """Trainings under one setting: of a published cell, or of all the cells that one kind of search found."""

    name: str
    origin: str  # 'published cells', or how and where the cells were found
    searched_on: str  # the search's data set, '' for published cells
    setting: str  # of the trainings
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
        """Whose table this is: the paper's own data sets share one, a stand-in or a part of one has its name."""
        config = self.runs[0].config
        if config.images.n_classes != IMAGES[config.dataset].n_classes:
            return f"{config.dataset}-{config.images.n_classes}-classes"
        return config.dataset if config.dataset == "digits" else published.IMAGES

    @property
    def told(self) -> str:
        """The setting as the tables have it, with the machine."""
        where = ", ".join(sorted({str(run.hardware.get("device")) for run in self.runs}))
        return f"{self.origin}; {self.setting}; trained on {where}"


# --- groups ---------------------------------------------------------------------------------------


def trained(runs: Iterable[EvaluationRun], searches: Searches) -> list[Trained]:
    """Trainings by cell and setting; the cells of searches that differ in their seed only are one group.

    A cell that several kinds of search found, or that is published too, counts for each of them.
    """
    configs = [search for found in searches.values() for search in found]
    names = dict(zip(configs, group_names(configs), strict=True))
    groups: dict[tuple, list[EvaluationRun]] = defaultdict(list)
    for run in runs:
        found = searches.get(cell_key(run.config.genotype), ())
        kinds = {(names[one], f"cells {found_how(one)}", one.dataset, rows_of_search(one)) for one in found}
        if known := catalogue().get(run.config.name):
            kinds.add((known.name, "published cells", "", tuple(known.rows.items())))
        for kind in kinds or {(run.config.name, "cells given", "", ())}:
            groups[(*kind, setting(run))].append(run)
    return [
        Trained(name, origin, searched_on, text, tuple(alike), rows)
        for (name, origin, searched_on, rows, text), alike in sorted(groups.items())
    ]


def setting(run: EvaluationRun) -> str:
    """All that makes trainings comparable, in words: everything but cell, seed and device."""
    c = run.config
    words = [f"{c.dataset}{f', {c.n_train:,} images' * bool(c.n_train)}", f"C = {c.channels}, {c.cells} cells"]
    words += [f"{c.epochs} epochs of batch {c.batch_size}", f"{c.optimizer} {c.learning_rate:g}, {c.schedule}"]
    rest = ("n_classes", "weight_decay", "gradient_clip", "label_smoothing", "cutout", "drop_path", "auxiliary")
    return "; ".join([*words, *_changed(c, (*rest, "precision"))])


def group_names(searches: Sequence[SearchConfig]) -> list[str]:
    """'na-darts, d 2, found on digits': method, neighborhood, and what else differs from searches of that name."""
    own = ("space", "order", *NEIGHBORHOOD)
    names = [", ".join([one.method, *_told(one, own)]) for one in searches]
    words = [found_how(one).split(", ") for one in searches]
    result = []
    for name, told in zip(names, words, strict=True):
        alike = [other for other, its in zip(words, names, strict=True) if its == name]
        differing = [word for word in told[:-1] if not all(word in other for other in alike)]
        result.append(", ".join([name, *differing, told[-1]]))
    return result


def found_how(search: SearchConfig) -> str:
    """All that makes searches of one method comparable, in words: every parameter that is not the default."""
    left_out = ("method", "dataset", "seed", "device")
    told = [name for name in SearchConfig.__dataclass_fields__ if name not in left_out]
    return ", ".join([*_told(search, told), f"found on {search.dataset}"])


def _told(search: SearchConfig, names: Iterable[str]) -> list[str]:
    """A method without neighborhood has none of its parameters."""
    return _changed(search, [name for name in names if search.neighborhood_aware or name not in NEIGHBORHOOD])


def _changed(config: Any, names: Iterable[str]) -> list[str]:
    """'cutout 16' for each parameter that is not its default."""
    fields = type(config).__dataclass_fields__
    return [f"{name} {getattr(config, name)}" for name in names if getattr(config, name) != fields[name].default]


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


def seed_noise(runs: Iterable[EvaluationRun]) -> Noise:
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

    A cell found on a stand-in is not the paper's, whatever it is trained on: the paper searches on CIFAR-10.
    """
    lines = []
    for group in groups:
        dataset, own = group.runs[0].config.dataset, source == published.IMAGES
        column = ERRORS[table].get(dataset, "") if own else f"Test Error / {source}"
        if group.source != source or not column or (own and group.searched_on not in ("", "cifar10")):
            continue
        cells = len({cell_key(run.config.genotype) for run in group.runs})
        note = f"{group.name}, {cells} different cell{'s' * (cells > 1)}"
        for row in (row for of, row in group.rows if of == table):
            lines.append(published.Measured.over(row, column, group.errors, group.told, note))
            if column == "Test Error / Top-1":
                lines.append(published.Measured.over(row, "Test Error / Top-5", group.top5_errors, group.told, note))
    return lines


def counted(table: str) -> list[published.Measured]:
    """Parameters and multiply-adds of the published cells' networks, in millions, without the auxiliary head."""
    lines = []
    for cell in catalogue().values():
        for dataset, columns in COUNTS.get(table, {}).items() if table in cell.rows else ():
            channels, cells = SIZES[dataset]
            numbers = usual_cost(cell.cell, dataset)
            note = f"{cell.name}, C = {channels}, {cells} cells" + f"; {cell.doubt}" * bool(cell.doubt)
            lines += [
                published.Measured(cell.rows[table], column, number / 1e6, None, 1, COUNTED, note)
                for column, number in zip(columns, numbers, strict=False)
            ]
    return lines
