"""Sees a number under another row or column than its own, a spread that is wrong, a published one as ours."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_search import finished_search as search
from synthetic_training import CIFAR, DIGITS, FOUND, run

from flatlib import published
from flatlib.display import evaluations
from flatlib.evaluation.catalogue import catalogue, cell_key
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.cost import cost
from flatlib.evaluation.plan import IMAGES, network_plan
from flatlib.evaluation.tables import (
    COUNTED,
    LABELS,
    TABLES,
    counted,
    error_column,
    measured,
    trained,
)


def test_columns_are_the_papers():
    """Sees an error under another data set's column."""
    found = {(table, dataset): error_column(table, dataset) for table in TABLES for dataset in LABELS}
    assert found["3", "imagenet"] == "Top-1 Test Error / ImageNet" and found["5", "imagenet"] == "Test Error / Top-1"
    assert found["6", "cifar10"] == "CIFAR-10" and found["Fb", "cifar100"] == "Test Error / CIFAR-100"
    assert error_column("4", "digits") == error_column("5", "cifar10") == error_column("4", "imagenet") == ""


def test_a_stand_in_never_stands_under_the_papers_columns():
    """Sees digits' errors, or cells found on digits, in a line with a published number."""
    searches = [search(FOUND, method="darts")]
    runs = [run(DIGITS, 2.0), run(DIGITS, 3.0, cell_key(FOUND)), run(CIFAR, 4.0, cell_key(FOUND))]
    groups = trained(runs, searches)
    frames = evaluations.table_frames("3", groups)
    own, digits = frames[published.IMAGES], frames["digits"]
    assert digits.paper.isna().all() and set(digits.column) == {"Test Error / digits"}
    assert set(digits.row) == {"DARTS 2nd", "DARTS 1st"} and digits.note.str.contains("stands for").all()
    assert digits.note.str.contains("1 different cell; seed noise unknown").all()
    assert set(own[own.ours.notna()].setting) == {COUNTED}


def test_what_was_trained_on_cifar_stands_beside_the_published_number():
    """Sees a measured error lost, its mean, spread or n wrong, or the published one copied into ours."""
    groups = trained([run(CIFAR, 4.0), run(CIFAR, 6.0, seed=1)], [])
    frame = evaluations.table_frames("4", groups)[published.IMAGES]
    (line,) = frame[(frame.row == "DARTS 2nd") & (frame.column == "Test Error / CIFAR-10")].itertuples()
    assert (line.ours, line.ours_std, line.n, line.paper, line.unit) == (5.0, 1.0, 2, 2.70, "%")
    assert line.setting == groups[0].told == f"published cells; {groups[0].setting}; trained on cpu"
    others = frame[(frame.column == "Test Error / CIFAR-100")]
    assert others.ours.isna().all() and others.paper.notna().all() and others.note.str.contains("not measured").all()
    assert measured("3", groups, published.IMAGES)[0].row == "DARTS 2nd" and not measured("6", groups, published.IMAGES)


def test_imagenet_has_two_errors():
    """Sees Table 5's top-5 error left out, or the same as top-1."""
    config = EvaluationConfig(dataset="imagenet", channels=4, cells=14, device="cpu")
    lines = measured("5", trained([run(config, 40.0)], []), published.IMAGES)
    assert [(line.column, line.ours) for line in lines] == [("Test Error / Top-1", 40.0), ("Test Error / Top-5", 10.0)]


def test_a_part_of_imagenet_is_not_imagenet():
    """Sees ten classes under the paper's column."""
    config = EvaluationConfig(dataset="imagenet", n_classes=10, channels=4, cells=14, device="cpu")
    groups = trained([run(config, 5.0)], [])
    assert groups[0].source == "imagenet-10-classes" and not measured("3", groups, published.IMAGES)
    frames = evaluations.table_frames("5", groups)
    assert frames["imagenet-10-classes"].paper.isna().all()
    assert set(frames["imagenet-10-classes"].column) == {"Test Error / imagenet-10-classes"}


def test_two_kinds_of_one_search_have_a_block_each():
    """Sees one number of the view written over another of the same row."""
    cells = [replace(FOUND, normal=catalogue()[name].cell.normal) for name in ("GDAS_V1", "P-DARTS")]
    runs = [run(DIGITS, 7.0, cell_key(cells[0])), run(DIGITS, 25.0, cell_key(cells[1]))]
    groups = trained(runs, [search(cells[0]), search(cells[1], n_nbr=4)])
    frame = evaluations.table_frames("Fa", groups)["digits"]
    view, settings = evaluations.blocks("Fa", frame)
    shown = [text for text in view.loc["mean"] if "(n = 1)" in text]
    assert sorted(text[:4] for text in shown) == ["25.0", "7.00"] and len(settings) == 2


def test_counts_in_the_tables():
    """Sees a count at another size, under another row, or rounded away."""
    lines = {(line.row, line.column): line for line in counted("5")}
    assert lines["DARTS", "+x"].ours == pytest.approx(529.911552)
    assert lines["SNAS", "Params"].ours == pytest.approx(
        cost(network_plan(catalogue()["SNAS-mild"].cell, IMAGES["imagenet"], channels=48, cells=14)).params / 1e6
    )
    assert "variants" in lines["ENAS", "Params"].note and not counted("6")
    assert {line.row for line in counted("4")} == {cell.row for cell in published.table("4")} - {"NA-DARTS (Ours)"}


def test_files_and_view(tmp_path):
    """Sees a table that is not written, a block without its setting, or a difference without its noise."""
    runs = [run(CIFAR, 4.0), run(CIFAR, 6.0, seed=1), run(DIGITS, 2.0)]
    groups = trained(runs, [])
    for table in TABLES:
        style = evaluations.save_and_show(table, groups, tmp_path)
        text = (tmp_path / "tables" / "cifar-imagenet" / f"table_{table}.csv").read_text()
        assert len(list(csv.reader(text.splitlines()))) > len({cell.row for cell in published.table(table)})
        assert list(style.data.index) == list(dict.fromkeys(cell.row for cell in published.table(table)))
        assert f"Table {table}. " in style.caption
        if table == "4":
            row = style.data.loc["DARTS 2nd"]
            assert row["published", "Test Error / CIFAR-10"] == "2.70 ± 0.08"
            assert row["ours, counted", "Params"] == "3.35; +0.45"
            assert row["ours, trained (1)", "Test Error / CIFAR-10"] == "5.00 ± 1.00 (n = 2); +2.30"
            assert row["ours, trained (2)", "Test Error / digits"] == "2.00 (n = 1)"
            assert "seed noise of one training 1.41 points (2 trainings of 1 cells)" in style.caption
            assert "seed noise unknown" in style.caption
    assert [path.name for path in sorted((tmp_path / "tables" / "digits").iterdir())] == [
        "table_3.csv", "table_4.csv", "table_5.csv"
    ]  # fmt: skip


def test_the_summary_has_the_noise_of_each_mean():
    """Sees another setting's noise, that of one training for that of a mean, or a mean without its noise."""
    runs = [run(DIGITS, e, c, s) for c, s, e in (("DARTS_V2", 0, 2.0), ("DARTS_V2", 1, 4.0), ("GDAS_V1", 0, 8.0))]
    groups = trained([*runs, run(CIFAR, 30.0, "P-DARTS")], [])
    frame = evaluations.summary(groups).data.set_index("cell")
    assert frame["test error %"].to_dict() == {"DARTS_V2": 3, "GDAS_V1": 8, "P-DARTS": 30}
    assert frame["noise of the mean"]["DARTS_V2"] == pytest.approx(1) and frame["std"]["DARTS_V2"] == 1
    assert frame["noise of the mean"]["GDAS_V1"] == pytest.approx(math.sqrt(2))
    assert np.isnan(frame["noise of the mean"]["P-DARTS"])
    assert evaluations.summary([]).data.empty


def test_the_figure_holds_every_training():
    """Sees a training that is not drawn, or one under another cell's name."""
    groups = trained([run(DIGITS, 2.0), run(DIGITS, 4.0, seed=1), run(DIGITS, 3.0, "GDAS_V1")], [])
    (box,) = evaluations.plot_errors(groups).data
    assert list(zip(box.y, box.x, strict=True)) == [
        ("DARTS_V2 (n = 2)", 2), ("DARTS_V2 (n = 2)", 4), ("GDAS_V1 (n = 1)", 3)
    ]  # fmt: skip
    assert not any(len(box.x) for box in evaluations.plot_errors([]).data)
