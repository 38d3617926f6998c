"""The paper's tabular experiments against plain transcriptions: sees a number that is not the paper's."""

from dataclasses import replace

import numpy as np
import pytest

from flatlib.spaces import arch_to_string, isomorphism_classes
from flatlib.tabular import analysis
from flatlib.tabular.analysis import Budget

N_TOP = 60


@pytest.fixture(scope="module")
def strings(synthetic_experiment):
    """The benchmark's string of each row."""
    return [arch_to_string(arch) for arch in synthetic_experiment.table.archs]


def transcribe(plain_paper, strings, experiment):
    """The experiment as dictionaries of cells."""
    tests = {label: dict(zip(strings, errors.tolist(), strict=True)) for label, errors in experiment.targets.items()}
    return plain_paper(dict(zip(strings, experiment.f.tolist(), strict=True)), tests)


@pytest.fixture(scope="module")
def plain(plain_paper, strings, synthetic_experiment):
    """The paper's setting, transcribed."""
    return transcribe(plain_paper, strings, synthetic_experiment)


def numbers(cells):
    """{(row, column): (ours, std)}."""
    assert len({(cell.row, cell.column) for cell in cells}) == len(cells)
    return {(cell.row, cell.column): (cell.ours, cell.std) for cell in cells}


def assert_equal(ours, plain):
    """The same cells with the same numbers, to rounding."""
    assert set(ours) == set(plain)
    for cell, values in plain.items():
        assert ours[cell] == pytest.approx(values, abs=1e-9), cell


# --- Tables 1a, A, B, C ---------------------------------------------------------------------------


def test_table_1a(synthetic_experiment, plain):
    """Sees other cells taken for the best ones, halves exchanged, or variance over the wrong neighbors."""
    cells = analysis.table_1a(synthetic_experiment, N_TOP)
    assert_equal(numbers(cells), plain.table_1a(N_TOP))
    assert {(cell.n, cell.setting, cell.note) for cell in cells} == {(N_TOP // 2, synthetic_experiment.setting, "")}


def test_best_keeps_the_order_of_equals(synthetic_experiment):
    """Sees an unstable sort: eighths of a percent tie often."""
    f = synthetic_experiment.f
    best = synthetic_experiment.best(f, 500)
    assert best.tolist() == sorted(range(len(f)), key=lambda row: f[row])[:500]
    assert len(set(f[best])) < 250  # there are ties to break


def test_table_a(synthetic_experiment, plain_paper, strings):
    """Sees an epoch's row filled from another epoch, or the validation column read from a test."""
    expected = {}
    for letter, epoch in {"(a)": 3, "(b)": 6, "(c)": 9, "(d)": 12}.items():
        then = synthetic_experiment.reading(synthetic_experiment.key, epoch, "first")
        plain = transcribe(plain_paper, strings, then)
        plain.tests = {"toy-valid": plain.f, **plain.tests}
        expected |= {(f"{letter} {row}", column): values for (row, column), values in plain.table_1a(N_TOP).items()}
    cells = analysis.table_a(synthetic_experiment, N_TOP)
    assert_equal(numbers(cells), expected)
    assert [cell.setting for cell in cells[::6]] == [
        f"synthetic, toy-valid/20/x-valid, epoch {epoch} of 20, one seed" for epoch in (3, 6, 9, 12)
    ]


def test_table_a_leaves_missing_epochs_empty(synthetic_experiment):
    """Sees a far epoch put in the place of one that the table lacks, or a run that ends there."""
    key = "toy-valid/40/x-valid"  # epochs 6 and 40: 15 % and the end
    table = synthetic_experiment.table
    cells = analysis.table_a(replace(synthetic_experiment, key=key, epoch=6, f=table.errors(key, 6)), N_TOP)
    assert len(cells) == 4 * 2 * 3
    assert all(cell.ours is not None and cell.n == N_TOP // 2 for cell in cells if cell.row.startswith("(a)"))
    for cell in cells[6:]:
        assert cell[2:5] == (None, None, None) and "has no epoch near" in cell.note
    assert "near 45%" in next(cell.note for cell in cells if cell.row == "(c) Flat minima")


def test_validation_label(synthetic_experiment):
    """Sees a stand-in's validation error under the paper's label, or the reverse."""
    assert analysis.validation_label(synthetic_experiment) == "toy-valid"
    table = replace(synthetic_experiment.table, name="nas-bench-201")
    assert analysis.validation_label(replace(synthetic_experiment, table=table)) == "CIFAR-10-Validation"


def test_table_b(synthetic_experiment, plain, strings):
    """Sees tau without its correction for ties, of other cells for each row, or std with another ddof."""
    rng = np.random.default_rng(5)
    samples = [[strings[row] for row in rng.choice(15625, 40, replace=False)] for _ in range(4)]
    cells = analysis.table_b(synthetic_experiment, Budget(n_sample=40, repeats=4, seed=5))
    assert_equal(numbers(cells), plain.table_b(samples))
    assert {cell.n for cell in cells} == {4}


def test_table_1b(synthetic_experiment):
    """Sees another row than the mean's under the paper's 'Ours'."""
    b = analysis.table_b(synthetic_experiment, Budget(n_sample=20, repeats=2))
    assert [cell.row for cell in analysis.table_1b(b)] == ["Baseline"] * 2 + ["Ours"] * 2
    assert [cell[1:] for cell in analysis.table_1b(b)] == [cell[1:] for cell in b[:4]]
    assert {cell.row for cell in b[2:4]} == {"Ours - mean"}


def test_table_c(synthetic_experiment, plain):
    """Sees a standard deviation for a variance, or a criterion that selects by another one."""
    assert_equal(numbers(analysis.table_c(synthetic_experiment, N_TOP)), plain.table_c(N_TOP))


def test_lambda_reaches_the_variance_criterion(synthetic_experiment):
    """Sees lam ignored: at 0 the criterion is f itself."""
    without = replace(synthetic_experiment, lam=0.0)
    assert without.score("Ours - Variance").tolist() == synthetic_experiment.f.tolist()
    double = replace(synthetic_experiment, lam=2.0).score("Ours - Variance")
    np.testing.assert_allclose(double, synthetic_experiment.f + 2 * synthetic_experiment.spread)


def test_shared_measurements(synthetic_experiment):
    """Sees an f that differs between isomorphic cells, or that is not the class's first cell's."""
    experiment = synthetic_experiment
    shared = experiment.with_shared_measurements()
    classes = isomorphism_classes(experiment.table.archs)
    assert len(np.unique(classes)) == 5260
    first = {}
    for row, label in enumerate(classes.tolist()):
        assert shared.f[row] == first.setdefault(label, experiment.f[row])
    sizes = [len({classes[cell] for cell in hood}) for hood in experiment.neighbors.tolist()]
    assert experiment.distinct_classes() == pytest.approx(sum(sizes) / 15625)
    assert shared.targets is experiment.targets


# --- Tables 2, D, E -------------------------------------------------------------------------------

BUDGET = Budget(steps=20, n_nbr=10, runs=30, seed=3)


def test_found_errors(synthetic_experiment):
    """Sees f reported in the place of the test error, another incumbent than the last, or ddof 1."""
    searches = [BUDGET.random_search(synthetic_experiment)]
    cells = analysis.found_errors(synthetic_experiment, searches)
    found = searches[0].trace.incumbent[:, -1]
    assert [cell.column for cell in cells] == ["toy", "toy-two"]
    for cell in cells:
        errors = [synthetic_experiment.targets[cell.column][row] for row in found]
        assert (cell.ours, cell.std, cell.n) == (pytest.approx(np.mean(errors)), pytest.approx(np.std(errors)), 30)
        assert cell.row == "Random Search (RS)" and cell.note.startswith("200 evaluations, ")


def test_table_d(synthetic_experiment, plain, strings):
    """Sees a row searched by another aggregator, or aggregators that saw different draws."""
    draws = BUDGET.na_random_search(synthetic_experiment, "mean").trace.evaluated.tolist()
    names = {"mean": "Ours - mean", "median": "Ours - median", "max": "Ours - max", "Variance": "Ours - Variance"}
    expected = {}
    for label, criterion in names.items():
        found = [plain.na_rs(criterion, [[strings[cell] for cell in step] for step in run]) for run in draws]
        for column, test in plain.tests.items():
            expected[f"NA-RS - {label}", column] = plain.mean_and_std([test[cell] for cell in found])
    searches = analysis.searches(synthetic_experiment, BUDGET, "D")
    assert_equal(numbers(analysis.found_errors(synthetic_experiment, searches)), expected)


def test_table_2_spends_equal_budgets(synthetic_experiment):
    """Sees RS and NA-RS with different evaluations, a row of Table 2 missing, or the chosen one twice."""
    for chosen, more in {"mean": [], "median": [], "max": ["NA-RS, max"]}.items():
        searches = analysis.searches(synthetic_experiment, BUDGET, "2", chosen)
        assert [s.row for s in searches] == ["Random Search (RS)", "NA-RS, mean", "NA-RS, median", *more]
        assert {int(s.trace.evaluations[-1]) for s in searches} == {200}
    table_d = {s.row: s.trace.found.tolist() for s in analysis.searches(synthetic_experiment, BUDGET, "D")}
    assert searches[1].trace.found.tolist() == table_d["NA-RS - mean"]
    assert searches[2].trace.found.tolist() == table_d["NA-RS - median"]


def test_table_e(synthetic_experiment):
    """Sees T shortened for 25 neighbors (reading 7), or a label without its n_nbr."""
    searches = analysis.searches(synthetic_experiment, BUDGET, "E")
    assert {s.row: int(s.trace.evaluations[-1]) for s in searches} == {
        f"NA-RS - {name}, n_nbr = {n_nbr}": 20 * n_nbr for name in ("mean", "median") for n_nbr in (10, 25)
    }
    everyone = analysis.searches(synthetic_experiment, replace(BUDGET, n_nbr=25), "E")
    assert [s.row for s in everyone] == ["NA-RS - mean, n_nbr = 25", "NA-RS - median, n_nbr = 25"]


def test_regret(synthetic_experiment):
    """Sees regret of f instead of the test error, or against another cell than the best."""
    trace = BUDGET.na_random_search(synthetic_experiment, "mean", "").trace
    values, errors = analysis.regret(synthetic_experiment, trace, "toy"), synthetic_experiment.targets["toy"].tolist()
    assert values[4].tolist() == [errors[cell] - min(errors) for cell in trace.incumbent[4]]
