"""Tables 3, 4, 5, 6, Fa and Fb from run folders: trainings grouped by cell and setting, counts of published cells."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from flatlib import published
from flatlib.evaluation.catalogue import catalogue, cell_key
from flatlib.evaluation.cost import costs
from flatlib.evaluation.plan import IMAGES
from flatlib.evaluation.runs import EvaluationRun
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run

TABLES = ("3", "4", "5", "6", "Fa", "Fb")
LABELS = {"cifar10": ("CIFAR-10",), "cifar100": ("CIFAR-100",), "imagenet": ("ImageNet", "Top-1")}
ROWS = {(table, cell.row) for table in TABLES for cell in published.table(table)}
COUNTS = {  # table -> the paper's column -> data set, and what is counted
    "3": {"Params / CIFAR": ("cifar10", "params"), "Params / ImageNet": ("imagenet", "params")},
    "4": {"Params": ("cifar10", "params")},
    "5": {"Params": ("imagenet", "params"), "+x": ("imagenet", "multi_adds")},
}
COUNTED = "from shapes, without the auxiliary classifier"  # the setting of counts
NEIGHBORHOOD = ("aggregator", "representation", "d", "n_nbr", "eps", "lam")  # parameters of it


class Noise(NamedTuple):
    """How far one training's error lies from its cell's mean, from repeated trainings of the same cells."""

    std: float  # percent; nan where no cell was trained twice
    cells: int  # that were trained more than once
    runs: int  # of them

    def __str__(self) -> str:
        if math.isnan(self.std):
            return "seed noise unknown, since no cell was trained twice"
        return f"seed noise of one training {self.std:.2f} points ({self.runs} trainings of {self.cells} cells)"


def seed_noise(runs: Iterable[EvaluationRun]) -> Noise:
    """Pooled over cells: s^2 = sum (x - mean of its cell)^2 / sum (n - 1). All runs are of one setting."""
    cells: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        cells[cell_key(run.config.genotype)].append(run.test_error)
    several = [np.array(errors) for errors in cells.values() if len(errors) > 1]
    n, squares = sum(map(len, several)), sum(len(errors) * float(errors.var()) for errors in several)
    return Noise(math.sqrt(squares / (n - len(several))) if several else math.nan, len(several), n)


class Trained(NamedTuple):
    """Trainings under one setting: of a published cell, or of all the cells that one kind of search found."""

    name: str
    origin: str  # 'published cells', or how and where the cells were found
    searched_on: str  # the search's data set, '' for published cells
    rows: tuple[tuple[str, str], ...]  # (table, the paper's row)
    setting: str  # of the trainings
    runs: tuple[EvaluationRun, ...]
    noise: Noise  # of all trainings under this setting

    @property
    def errors(self) -> np.ndarray:  # (n,) percent
        return np.array([run.test_error for run in self.runs])

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


def trained(runs: Iterable[EvaluationRun], searches: Iterable[Run]) -> list[Trained]:
    """Trainings by cell and setting; the cells of searches that differ in their seed only are one group.

    A cell that several kinds of search found, or that is published too, counts for each of them.
    """
    finders = [(cell_key(search.result.cell), search.config) for search in searches]
    names = group_names([config for _, config in finders])
    groups: dict[tuple, list[EvaluationRun]] = defaultdict(list)
    alike: dict[str, list[EvaluationRun]] = defaultdict(list)
    for run in runs:
        text = setting(run)
        alike[text].append(run)
        found = [config for key, config in finders if key == cell_key(run.config.genotype)]
        kinds = {(names[one], f"cells {found_how(one)}", one.dataset, rows_of_search(one)) for one in found}
        if known := catalogue().get(run.config.name):
            kinds.add((known.name, "published cells", "", tuple(known.rows.items())))
        for kind in kinds or {(run.config.name, "cells given", "", ())}:
            groups[(*kind, text)].append(run)
    return [Trained._make((*key, tuple(of_one), seed_noise(alike[key[-1]]))) for key, of_one in sorted(groups.items())]


def setting(run: EvaluationRun) -> str:
    """All that makes trainings comparable, in words: everything but cell, seed and device."""
    c = run.config
    words = [f"{c.dataset}{f', {c.n_train:,} images' * bool(c.n_train)}", f"C = {c.channels}, {c.cells} cells"]
    words += [f"{c.epochs} epochs of batch {c.batch_size}", f"{c.optimizer} {c.learning_rate:g}, {c.schedule}"]
    rest = ("n_classes", "weight_decay", "gradient_clip", "label_smoothing", "cutout", "drop_path", "auxiliary")
    return "; ".join([*words, *_changed(c, (*rest, "precision"))])


def found_how(search: SearchConfig) -> str:
    """All that makes searches of one method comparable, in words: every parameter that is not the default.

    A method without neighborhood has none of its parameters.
    """
    left_out = ("method", "dataset", "seed", "device", *(() if search.neighborhood_aware else NEIGHBORHOOD))
    told = _changed(search, [name for name in SearchConfig.__dataclass_fields__ if name not in left_out])
    return ", ".join([*told, f"found on {search.dataset}"])


def group_names(searches: Sequence[SearchConfig]) -> dict[SearchConfig, str]:
    """'na-darts, d 2, found on digits': method, neighborhood, and what else differs among the searches named so."""
    always = ("space", "order", *NEIGHBORHOOD, "found")
    told = {one: found_how(one).split(", ") for one in searches}
    short = {one: (one.method, *(word for word in told[one] if word.split()[0] in always)) for one in searches}
    names = {}
    for one in searches:
        alike = [told[other] for other in searches if short[other] == short[one]]
        own = [word for word in told[one] if word in short[one] or not all(word in words for words in alike)]
        names[one] = ", ".join([one.method, *own])
    return names


def _changed(config: Any, names: Iterable[str]) -> list[str]:
    """'cutout 16' for each parameter that is not its default."""
    fields = type(config).__dataclass_fields__
    return [f"{name} {getattr(config, name)}" for name in names if getattr(config, name) != fields[name].default]


def rows_of_search(search: SearchConfig) -> tuple[tuple[str, str], ...]:
    """(table, row) of the paper that a search's cells belong to, whatever the size of the search."""
    rows: list[tuple[str, str]] = []
    if search.space == "s3":
        rows = [("6", search.method.upper() + " (Ours)" * search.neighborhood_aware)]
    elif (search.space, search.method) == ("darts", "darts"):
        row = "DARTS 1st" if search.order == 1 else "DARTS 2nd"
        rows = [("3", row), ("4", row)] + [("5", "DARTS")] * (search.order == 2)
    elif (search.space, search.method) == ("darts", "na-darts"):
        mean, papers_d = search.aggregator == "mean", search.d == 6
        rows = [("Fa", search.aggregator)] * papers_d + [("Fb", f"d = {search.d}")] * mean
        rows += [(table, "NA-DARTS (Ours)") for table in "345" if mean and papers_d]
    return tuple(row for row in rows if row in ROWS)


# --- numbers --------------------------------------------------------------------------------------


def error_column(table: str, dataset: str) -> str:
    """The paper's column of the test error on a data set; '' where the table has none."""
    columns = [cell.column for cell in published.table(table) if cell.unit == "%"]
    return next((column for column in columns if column.endswith(LABELS.get(dataset, ()))), "")


def measured(table: str, groups: Iterable[Trained], source: str) -> list[published.Measured]:
    """What was trained for a table: on the paper's data under the paper's columns, else under the data set's name.

    A cell found on a stand-in is not the paper's, whatever it is trained on: the paper searches on CIFAR-10.
    """
    lines = []
    for group in groups:
        dataset, own = group.runs[0].config.dataset, source == published.IMAGES
        column = error_column(table, dataset) if own else f"Test Error / {source}"
        if group.source != source or not column or (own and group.searched_on not in ("", "cifar10")):
            continue
        cells = len({cell_key(run.config.genotype) for run in group.runs})
        note = f"{group.name}, {cells} different cell{'s' * (cells > 1)}; {group.noise}"
        for row in (row for of, row in group.rows if of == table):
            lines.append(published.Measured.over(row, column, group.errors, group.told, note))
            if column == "Test Error / Top-1":
                top5 = np.array([100 - run.result.final["test_top5"] for run in group.runs])
                lines.append(published.Measured.over(row, "Test Error / Top-5", top5, group.told, note))
    return lines


def counted(table: str) -> list[published.Measured]:
    """Parameters and multiply-adds of the published cells' networks, in millions, without the auxiliary head."""
    names, lines = [name for name, known in catalogue().items() if table in known.rows], []
    for column, (dataset, number) in COUNTS.get(table, {}).items():
        for line in costs(names, dataset):
            known = catalogue()[line["name"]]
            words = [f"{known.name}, C = {line['channels']}, {line['cells']} cells", known.doubt]
            at = known.rows[table], column
            lines.append(published.Measured(*at, line[number] / 1e6, None, 1, COUNTED, "; ".join(filter(None, words))))
    return lines
