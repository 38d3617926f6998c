"""The tables' CSV files and views: sees a published number among ours, and a file that is half written."""

import csv
import math

import numpy as np
import pandas as pd
import pytest

from flatlib import published
from flatlib.display import reproduction
from flatlib.display.reproduction import COLUMNS, csv_path, kept, turned_view, write_csv
from flatlib.published import Measured
from flatlib.run.checkpoint import RunStoppedError
from flatlib.tabular import analysis
from flatlib.tabular.analysis import Budget
from flatlib.tabular.gains import Gain
from flatlib.tabular.rivals import winners
from flatlib.tabular.when import CLAIMS

REAL = "nas-bench-201"
TABULAR = ("1a", "1b", "2", "A", "B", "C", "D", "E")


def measured(row, column, ours=-7.0, note=""):
    """A cell with a number that no paper prints."""
    return Measured(row, column, ours, None if ours is None else 0.125, None if ours is None else 50, "a setting", note)


@pytest.fixture
def no_checkout(tmp_path, monkeypatch):
    """A reports folder in a checkout that keeps no run on the real columns."""
    monkeypatch.setattr(reproduction, "CHECKOUT", tmp_path / "nowhere")
    return tmp_path / "reports"


# --- Joining --------------------------------------------------------------------------------------


@pytest.mark.parametrize("table_id", TABULAR)
def test_paper_stands_beside_ours(table_id):
    """Sees a label of ours that misses the paper's, or a number joined to another cell."""
    cells = [measured(cell.row, cell.column) for cell in published.table(table_id)]
    frame = reproduction.reproduction(table_id, cells, source=REAL)
    assert list(frame.columns) == COLUMNS
    for (_, line), cell in zip(frame.iterrows(), published.table(table_id), strict=True):
        assert (line.row, line.column, line.paper, line.unit) == (cell.row, cell.column, cell.value, cell.unit)
        assert line.paper_std == cell.std or (cell.std is None and math.isnan(line.paper_std))
        assert (line.ours, line.ours_std, line.n, line.setting) == (-7, 0.125, 50, "a setting")
        assert line.note == cell.note


@pytest.mark.parametrize("table_id", TABULAR)
def test_what_was_not_measured_is_kept_empty(table_id):
    """Sees a published number copied into `ours`, or a published cell that is lost."""
    frame = reproduction.reproduction(table_id, [], source=REAL)
    assert frame[["ours", "ours_std", "n"]].isna().all(axis=None)
    assert frame.paper.tolist() == [cell.value for cell in published.table(table_id)]
    assert frame.note.str.endswith("not measured here").all()


def test_one_measured_among_all():
    """Sees `ours` filled beside the one measured cell, or that cell twice."""
    frame = reproduction.reproduction("1a", [measured("Sharp minima", "CIFAR-100")], source=REAL)
    assert len(frame) == 6
    assert frame.ours.dropna().tolist() == [-7] and frame.paper[frame.ours.notna()].tolist() == [30.0]


def test_empty_measurement_stays_empty():
    """Sees None turned into 0, or into the paper's number."""
    cell = measured("(a) Flat minima", "CIFAR-10", None, "no epoch near 15%")
    line = reproduction.reproduction("A", [cell], source=REAL).iloc[0]
    assert math.isnan(line.ours) and line.n is pd.NA and line.paper == 6.33 and line.note == "no epoch near 15%"


@pytest.mark.parametrize("source", ["digits201", "synthetic", "CIFAR-10"])
def test_stand_in_has_no_paper_column(source):
    """Sees a published number beside a number measured on other data, even under the same label."""
    stands_for = {"digits": "CIFAR-10"}
    cells = [measured("Flat minima", "digits", note="seen"), measured("Flat minima", "CIFAR-10")]
    frame = reproduction.reproduction("1a", cells, source=source, stands_for=stands_for)
    assert frame.paper.isna().all() and frame.paper_std.isna().all() and len(frame) == 2
    assert frame.note.tolist() == ["seen; stands for CIFAR-10", ""]


def test_units():
    """Sees percent written for a rank correlation or for a variance."""
    columns = {"1b": "digits", "B": "digits", "C": "Neighbor-Var", "1a": "digits", "D": "Neighbor-Std"}
    units = {t: reproduction.reproduction(t, [measured("x", c)], source="x").unit[0] for t, c in columns.items()}
    assert units == {"1b": "tau", "B": "tau", "C": "%^2", "1a": "%", "D": "%"}


# --- Files ----------------------------------------------------------------------------------------


def test_csv_is_the_documented_format(synthetic_experiment, tmp_path, monkeypatch):
    """Sees a column lost or moved, 50.0 for 50, NaN spelled out, or a comma that breaks a line."""
    cells = [*analysis.table_1a(synthetic_experiment, 20), measured("(d) Flat minima", "toy", None, "a, note")]
    monkeypatch.setitem(reproduction.STANDS_FOR, "toy", "CIFAR-10")
    reproduction.save_and_show("A", cells, source="synthetic", reports_dir=tmp_path)
    text = (tmp_path / "tables" / "synthetic" / "table_A.csv").read_text()
    lines = list(csv.reader(text.splitlines()))
    assert ",".join(lines[0]) == "row,column,ours,ours_std,n,paper,paper_std,unit,setting,note"
    assert len(lines) == 6 and {len(line) for line in lines} == {10}
    assert lines[-1] == ["(d) Flat minima", "toy", *[""] * 5, "%", "a setting", "a, note; stands for CIFAR-10"]
    for line, cell in zip(lines[1:], cells[:-1], strict=False):
        assert line[:2] == [cell.row, cell.column] and line[4:7] == ["10", "", ""]
        assert float(line[2]) == pytest.approx(cell.ours, rel=1e-5)
        assert float(line[3]) == pytest.approx(cell.std, rel=1e-5)


@pytest.mark.parametrize("earlier", [None, "the table that was there"])
def test_failing_write_leaves_the_old_file(tmp_path, monkeypatch, earlier):
    """Sees half a CSV, a forgotten temporary file, or an earlier table that was lost."""

    def full_disk(_):
        raise OSError(28, "No space left on device")

    target = tmp_path / "table_1a.csv"
    if earlier:
        target.write_text(earlier)
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(RunStoppedError, match="No space left"):
        write_csv(pd.DataFrame({"row": [1]}), target)
    assert [path.read_text() for path in tmp_path.iterdir()] == [earlier] * bool(earlier)


# --- Views ----------------------------------------------------------------------------------------


def test_the_view_shows_three_blocks(no_checkout):
    """Sees the kept real run left out, under the wrong heading, or mixed with this run's numbers."""
    kept = reproduction.reproduction("1a", [measured("Flat minima", "CIFAR-10", -1.0)], source=REAL)
    write_csv(kept, csv_path(no_checkout, REAL, "1a"))
    ours = reproduction.reproduction("1a", [measured("Flat minima", "toy", -2.0)], source="toys")
    view = turned_view("1a", ours, "toys", no_checkout)
    assert list(view.index) == [
        *(("published", column) for column in ("CIFAR-10", "CIFAR-100", "ImageNet-16-120")),
        ("nas-bench-201, ours", "CIFAR-10"),
        ("toys, ours", "toy"),
    ]
    assert view["Flat minima"].tolist() == ["6.23", "28.90", "55.17", "-1.00 ± 0.12", "-2.00 ± 0.12"]
    assert view["Sharp minima"].tolist() == ["6.66", "30.00", "56.41", "", ""]


def test_the_view_without_a_kept_run(no_checkout):
    """Sees an error, or an empty block, in a checkout that keeps no real run; and text where nothing was measured."""
    ours = reproduction.reproduction("1a", [measured("Flat minima", "CIFAR-10", -2.0)], source=REAL)
    write_csv(ours, csv_path(no_checkout, REAL, "1a"))
    view = turned_view("1a", ours, REAL, no_checkout)
    assert view.index.get_level_values(0).unique().tolist() == ["published", "nas-bench-201, ours"]
    nothing = [measured("(a) Flat minima", "toy", None)]
    empty = turned_view("A", reproduction.reproduction("A", nothing, source="toys"), "toys", no_checkout)
    assert empty.index.get_level_values(0).unique().tolist() == ["published"]


# --- Claims ---------------------------------------------------------------------------------------

POINTS = pd.DataFrame(
    [
        (name, "toy/9/x-valid", epoch, 1, column, *gain, Gain(*gain).verdict)
        for epoch, low, high in ((3, -0.5, -0.5), (9, 0.125, 0.5))
        for column in ("toy", "toy-two")
        for name, gain in zip(CLAIMS, ((0.125 * epoch, 0.1, 0.5), (-0.25, low, 0.5), (-1.0, -2.0, high)), strict=True)
    ],
    columns=["claim", "f", "epoch", "seeds", "column", "value", "low", "high", "verdict"],
)


def test_claims_round_trip(no_checkout):
    """Sees a gain, an interval's end, a verdict or an unknown interval changed between a run and what is kept of it."""
    assert kept(no_checkout, "claims_by_epoch.csv").empty
    points = POINTS.assign(low=POINTS.low.where(POINTS.index != 4))
    write_csv(points, no_checkout / "tables" / REAL / "claims_by_epoch.csv")
    pd.testing.assert_frame_equal(kept(no_checkout, "claims_by_epoch.csv"), points)
    assert points.verdict.tolist()[:3] == ["holds", "undecided", "does not hold"]
    assert points.verdict.tolist()[-3:] == ["holds", "holds", "undecided"]


def test_verdicts_at_each_epoch():
    """Sees an epoch under the wrong verdict, another claim's line, or two f's in one."""
    table = reproduction.verdicts(POINTS)
    assert sorted(table.index) == sorted(
        (text, "toy/9/x-valid", c) for text in CLAIMS.values() for c in ("toy", "toy-two")
    )
    for text, symbols in zip(CLAIMS.values(), ("✓✓", "?✓", "✗?"), strict=True):
        assert table.loc[text, [3, 9]].to_numpy().tolist() == [[*symbols]] * 2
    assert set(reproduction.verdicts(POINTS, ["search"]).index.get_level_values("claim")) == {CLAIMS["search"]}
    late = POINTS.assign(f="toy/90/x-valid", epoch=90)
    assert reproduction.verdicts(pd.concat([POINTS, late])).loc[CLAIMS["flat"], 90].tolist() == ["", ""] + ["✓"] * 2


def test_compare():
    """Sees the two ways of measuring exchanged."""
    one, other = ({("flat", "toy"): Gain(at, 0.1, 0.5), ("ranking", "toy"): Gain(1, 2, 3)} for at in (0.38, 1.12))
    table = reproduction.compare({"one": one, "other": other})
    assert table.loc[("flat", "toy")].tolist() == [
        "+0.38 [+0.10, +0.50] holds",
        "+1.12 [+0.10, +0.50] holds",
    ]
    assert len(table) == 2


def test_describe(synthetic_experiment):
    """Sees a stand-in described by another table's facts."""
    facts = reproduction.describe(synthetic_experiment)[""]
    f = synthetic_experiment.f
    assert facts["f"].startswith("synthetic, toy-valid/20/x-valid, epoch 9 of 20, one seed, 15,625 cells")
    assert f"{np.min(f):.2f} to {np.max(f):.2f} % error" in facts["f"]
    assert "25 cells, itself included" in facts["neighborhood"] and "f after epoch 9: " in facts["noise"]


# --- The rival samplers ---------------------------------------------------------------------------


def test_rivals_are_shown(synthetic_experiment):
    """Sees another mean, spread or cost in rivals.csv than was measured, or a line of the view moved."""
    searches = [Budget(8, 3, 6).random_search(synthetic_experiment)]
    searches.append(Budget(8, 3, 2).na_random_search(synthetic_experiment, "mean"))
    frame = reproduction.rivals_frame(synthetic_experiment, searches)
    shown = reproduction.rivals_view(frame)
    assert [*shown.columns] == [*synthetic_experiment.targets, "n", "evaluations", "distinct"]
    assert shown.index.tolist() == ["Random Search (RS)", "NA-RS, mean"] and shown.n.tolist() == [6, 2]
    for row, trace in searches:
        for column, errors in synthetic_experiment.targets.items():
            (line,) = frame[(frame.row == row) & (frame.column == column)].itertuples()
            assert (line.ours, line.ours_std) == pytest.approx((errors[trace.found].mean(), errors[trace.found].std()))
            assert (line.n, line.evaluations) == (len(trace.found), 24)
            assert line.distinct == pytest.approx(trace.distinct.mean())
            assert shown.loc[row, column] == f"{line.ours:.2f} ± {line.ours_std:.2f}"


def test_winners_are_shown():
    """Sees a winner's lead, epoch or column exchanged in rivals_by_epoch.csv."""
    points = [
        ("k", epoch, column, row, np.array([at - 0.5, at + 0.5]))
        for epoch in (3, 9)
        for column, shift in (("z", 0), ("a", 40))
        for row, at in (("first", 20 - epoch + shift), ("second", 10.0 + shift))
    ]
    frame = winners(pd.DataFrame(points, columns=["key", "epoch", "column", "row", "errors"]))
    shown = reproduction.winners_view(frame)
    frame = frame.set_index(["epoch", "column"])
    assert frame.loc[(3, "a"), ["winner", "error", "runner_up", "lead"]].tolist() == ["second", 50, "first", 7]
    assert frame.loc[(9, "z"), ["winner", "error", "runner_up", "lead"]].tolist() == ["second", 10, "first", 1]
    assert list(shown.columns) == ["z", "a"] and shown.loc[("k", 3), "a"].startswith("second 50.00 (by +7.00 [")
