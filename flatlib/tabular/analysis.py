"""The paper's NAS-Bench-201 experiments: Tables 1a, A (flat and sharp minima), 1b, B (ranking), C, 2, D, E (NA-RS).

Each `table_*` gives `Measured` cells, labeled as in the paper; all errors are percent.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from flatlib.aggregators import aggregator
from flatlib.published import BENCHMARK, Measured
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.gains import Gain, grouped_gain
from flatlib.tabular.samplers import SearchTrace, na_random_search, random_search

PAPER_EPOCHS = {"(a)": 0.15, "(b)": 0.30, "(c)": 0.45, "(d)": 0.60}  # 30, 60, 90, 120 of 200 (reading 10)
EPOCH_TOLERANCE = 0.05  # of the schedule; a table without an epoch that near leaves the row empty


class Searches(NamedTuple):
    """A sampler's runs, with the label of its row."""

    row: str
    trace: SearchTrace


@dataclass(frozen=True)
class Budget:
    """How large the experiments are; the defaults are the paper's (Sec. 5.1, 3.3.1, B.3)."""

    steps: int = 100  # T
    n_nbr: int = 10
    runs: int = 500
    seed: int = 0
    n_top: int = 100  # local minima, half flat and half sharp
    n_sample: int = 100  # cells ranked by each criterion
    repeats: int = 10  # rankings

    def random_search(self, experiment: Experiment) -> Searches:
        """RS with the same number of evaluations, T * n_nbr steps."""
        rng = np.random.default_rng([self.seed, 0])
        trace = random_search(experiment.f, steps=self.steps * self.n_nbr, runs=self.runs, rng=rng)
        return Searches("Random Search (RS)", trace)

    def na_random_search(self, experiment: Experiment, name: str, row: str = "") -> Searches:
        """NA-RS with an aggregator; every aggregator sees the same draws."""
        rng, aggregate = np.random.default_rng([self.seed, 1]), aggregator(name, experiment.lam)
        sizes = {"steps": self.steps, "n_nbr": self.n_nbr, "runs": self.runs}
        trace = na_random_search(experiment.f, experiment.neighbors, aggregate=aggregate, **sizes, rng=rng)
        return Searches(row or f"NA-RS, {name}", trace)


# --- Tables 1a and A: flat and sharp minima (Sec. 3.3.1, B.2) -------------------------------------


@dataclass(frozen=True)
class FlatSharp:
    """The best cells by f, halved by their neighborhood variance."""

    flat: np.ndarray  # (n_top / 2,) rows
    sharp: np.ndarray  # (n_top / 2,) rows
    classes: np.ndarray  # (A,) isomorphism class of every cell

    def gain(self, errors: np.ndarray) -> Gain:  # errors (A,)
        """How much lower the error of flat minima is, percentage points; cells of one network are one draw."""
        return grouped_gain(errors, self.flat, self.sharp, self.classes)

    @property
    def networks(self) -> tuple[int, int]:
        """Different networks among the flat and among the sharp minima."""
        return len(np.unique(self.classes[self.flat])), len(np.unique(self.classes[self.sharp]))


def flat_and_sharp(experiment: Experiment, n_top: int = 100) -> FlatSharp:
    """Halve the n_top cells of lowest f by the variance of f in their neighborhoods."""
    top = experiment.best(experiment.f, n_top)
    ordered = top[np.argsort(experiment.spread[top], kind="stable")]
    return FlatSharp(ordered[: n_top // 2], ordered[n_top // 2 :], experiment.table.classes)


def validation_label(experiment: Experiment) -> str:
    """The paper's 'CIFAR-10-Validation', or the stand-in's own name."""
    return "CIFAR-10-Validation" if experiment.table.name == BENCHMARK else experiment.key.split("/")[0]


def table_1a(experiment: Experiment, n_top: int = 100) -> list[Measured]:
    """Table 1a: mean test error of flat and of sharp minima; std over the cells of a group."""
    groups = flat_and_sharp(experiment, n_top)
    return [
        Measured.over(name, column, errors[rows], experiment.setting)
        for name, rows in (("Flat minima", groups.flat), ("Sharp minima", groups.sharp))
        for column, errors in experiment.targets.items()
    ]


def table_a(experiment: Experiment, n_top: int = 100) -> list[Measured]:
    """Table A: Table 1a and f itself after 15, 30, 45 and 60 % of the schedule; empty where the table lacks them."""
    cells, label = [], validation_label(experiment)
    for letter, share in PAPER_EPOCHS.items():
        epoch = experiment.table.nearest_epoch(experiment.key, share, EPOCH_TOLERANCE)
        then = experiment.reading(experiment.key, experiment.epoch if epoch is None else epoch, experiment.trial)
        found = table_1a(replace(then, targets={label: then.f, **then.targets}), n_top)
        if epoch is None:
            note = f"{experiment.table.name} has no epoch near {share:.0%} of the schedule"
            found = [Measured(*one[:2], None, None, None, experiment.source, note) for one in found]
        cells += [one._replace(row=f"{letter} {one.row}") for one in found]
    return cells


# --- Tables 1b, B and C: ranking, and what the criteria select (Sec. 3.3.2, B.3, B.4) -----------------


def rank_correlation(scores: np.ndarray, errors: np.ndarray) -> float:  # (A,), (A,)
    """Kendall's tau between a criterion's ranking and the ranking by test error."""
    from scipy.stats import kendalltau  # half a second to import

    return float(kendalltau(scores, errors).statistic)


def sampled_taus(experiment: Experiment, budget: Budget) -> dict[tuple[str, str], np.ndarray]:
    """(row, column) -> (repeats,) tau on samples of cells; the samples are shared by all rows."""
    rng = np.random.default_rng(budget.seed)
    samples = [rng.choice(len(experiment.f), budget.n_sample, replace=False) for _ in range(budget.repeats)]
    return {
        (row, column): np.array([rank_correlation(scores[sample], errors[sample]) for sample in samples])
        for row in CRITERIA
        for scores in [experiment.score(row)]
        for column, errors in experiment.targets.items()
    }


def table_b(experiment: Experiment, budget: Budget = Budget()) -> list[Measured]:
    """Table B: tau of each criterion, mean and std over the samples."""
    taus = sampled_taus(experiment, budget)
    return [Measured.over(row, column, tau, experiment.setting) for (row, column), tau in taus.items()]


def table_1b(table_b_cells: list[Measured]) -> list[Measured]:
    """Table 1b: Table B's first two rows, the second one named 'Ours'."""
    rows = {"Baseline": "Baseline", "Ours - mean": "Ours"}
    return [cell._replace(row=rows[cell.row]) for cell in table_b_cells if cell.row in rows]


def table_c(experiment: Experiment, n_top: int = 100) -> list[Measured]:
    """Table C: neighborhood variance and test error of the n_top cells that each criterion likes best."""
    columns = {"Neighbor-Var": experiment.spread**2, "Neighbor-Std": experiment.spread, **experiment.targets}
    return [
        Measured.over(row, column, values[top], experiment.setting)
        for row in CRITERIA
        for top in [experiment.best(experiment.score(row), n_top)]
        for column, values in columns.items()
    ]


# --- Tables 2, D and E: NA-RS (Sec. 5.1, C) --------------------------------------------------------


def found_errors(experiment: Experiment, found: list[Searches]) -> list[Measured]:
    """Test error of the found cells, mean and std over runs."""
    return [
        Measured.over(row, column, errors[trace.found], experiment.setting, note)
        for row, trace in found
        for note in [f"{trace.evaluations[-1]} evaluations, {trace.distinct.mean():.0f} distinct cells a run"]
        for column, errors in experiment.targets.items()
    ]


def searches(experiment: Experiment, budget: Budget, table_id: str, chosen: str = "mean") -> list[Searches]:
    """The rows of Table 2, D or E, NA-RS with each aggregator or size; a `chosen` aggregator has a row in Table 2.

    The paper's NA-RS row in Table 2 is its Table D's median row (reading 9): both are run. In Table E T
    stays, so 25 neighbors cost 2.5 times the evaluations of 10.
    """
    if table_id == "2":
        names = dict.fromkeys(("mean", "median", chosen))
        return [budget.random_search(experiment), *(budget.na_random_search(experiment, name) for name in names)]
    if table_id == "D":
        rows = [(name, budget.n_nbr, row.replace("Ours", "NA-RS")) for row, name in CRITERIA.items() if name]
    else:
        sizes = sorted({budget.n_nbr, min(25, experiment.neighbors.shape[1])})
        rows = [(name, n, f"NA-RS - {name}, n_nbr = {n}") for name in ("mean", "median") for n in sizes]
    return [replace(budget, n_nbr=n).na_random_search(experiment, name, row) for name, n, row in rows]


def regret(experiment: Experiment, trace: SearchTrace, column: str) -> np.ndarray:  # (R, T) percentage points
    """Test error of the incumbent above the best cell's test error."""
    errors = experiment.targets[column]
    return errors[trace.incumbent] - errors.min()
