"""Sees a number under another row or column than its own, a spread or noise that is wrong, a published one as ours."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_search import finished_search as search

from flatlib import published
from flatlib.display import evaluations
from flatlib.evaluation.catalogue import catalogue, cell_key
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.cost import cost
from flatlib.evaluation.plan import IMAGES, network_plan
from flatlib.evaluation.runs import Epoch, EvaluationRun, EvaluationTrace
from flatlib.evaluation.tables import (
    COUNTED,
    LABELS,
    TABLES,
    counted,
    error_column,
    found_how,
    group_names,
    measured,
    rows_of_search,
    seed_noise,
    setting,
    trained,
)
from flatlib.search.config import SearchConfig

DIGITS = EvaluationConfig(channels=2, cells=3, epochs=2, device="cpu")
CIFAR = EvaluationConfig(dataset="cifar10", channels=4, cells=4, epochs=2, device="cpu")
FOUND = replace(catalogue()["DARTS_V2"].cell, normal=catalogue()["DARTS_V2"].cell.reduce)


def run(config: EvaluationConfig, error: float, cell: str = "DARTS_V2", seed: int = 0) -> EvaluationRun:
    config = replace(config, cell=cell, seed=seed)
    line = Epoch(1, 1.0, 50.0, 1.0, 100 - error, 99.0, 0.05, 1.0)
    result = {"test_error": error, "test_error_top5": error / 4, "test_loss": 1.0, "epochs": 2, "seconds": 2.0}
    return EvaluationRun(
        Path(f"{config.name}-{config.seed}-{error}"), config, EvaluationTrace((line, line)), result, {"device": "cpu"}
    )


# --- groups and noise -----------------------------------------------------------------------------


def test_groups_are_cells_under_one_setting():
    """Sees settings mixed in a mean, seeds apart, or searches of other parameters together."""
    other = replace(FOUND, normal=catalogue()["GDAS_V1"].cell.normal)
    searches = [search(FOUND, 3), search(other, 4)]
    runs = [
        run(DIGITS, 2.0),
        run(DIGITS, 4.0, seed=1),
        run(replace(DIGITS, epochs=3), 1.0),
        run(DIGITS, 5.0, cell=cell_key(FOUND)),
        run(DIGITS, 7.0, cell=cell_key(other), seed=1),
    ]
    groups = {(group.name, len(group.runs)): group for group in trained(runs, searches)}
    assert set(groups) == {("DARTS_V2", 2), ("DARTS_V2", 1), ("na-darts, found on digits", 2)}
    assert groups["DARTS_V2", 2].errors.tolist() == [2.0, 4.0]
    assert groups["na-darts, found on digits", 2].errors.tolist() == [5.0, 7.0]
    assert groups["DARTS_V2", 2].origin == "published cells"
    assert groups["na-darts, found on digits", 2].origin == "cells found on digits"


def test_a_cell_that_several_found_counts_for_each():
    """Sees a published cell, or one kind of search, that loses its number to another that found the same cell."""
    cell = catalogue()["P-DARTS"].cell
    searches = [search(cell, method="darts"), search(cell), search(cell, 1)]
    groups = trained([run(DIGITS, 3.0, "P-DARTS"), run(DIGITS, 5.0, "P-DARTS", 1)], searches)
    assert [(group.name, len(group.runs)) for group in groups] == [
        ("P-DARTS", 2), ("darts, found on digits", 2), ("na-darts, found on digits", 2)
    ]  # fmt: skip
    assert ("4", "P-DARTS") in groups[0].rows
    frame = evaluations.summary(groups).data
    assert frame["its noise"].dropna().tolist() == [pytest.approx(math.sqrt(2))] * 2  # each training once


def test_every_parameter_is_in_the_setting():
    """Sees two settings under one name: all but cell, seed, device and classes must show."""
    changes = {
        "dataset": "cifar100", "n_train": 100, "channels": 6, "cells": 5, "epochs": 9, "batch_size": 8,
        "optimizer": "nesterov", "learning_rate": 0.01, "schedule": "exponential", "weight_decay": 0.0,
        "gradient_clip": 0.0, "label_smoothing": 0.1, "cutout": 2, "drop_path": 0.1, "precision": "float64",
    }  # fmt: skip
    own = setting(run(DIGITS, 1.0))
    for name, value in changes.items():
        assert setting(run(replace(DIGITS, **{name: value}), 1.0)) != own, name
    assert setting(run(replace(CIFAR, auxiliary=0.4), 1.0)) != setting(run(CIFAR, 1.0))
    imagenet = EvaluationConfig(dataset="imagenet", cells=14)
    assert setting(run(replace(imagenet, n_classes=10), 1.0)) != setting(run(imagenet, 1.0))
    told = {*changes, "auxiliary", "cell", "seed", "device", "n_classes"}
    assert told == set(EvaluationConfig.__dataclass_fields__)
    assert setting(run(DIGITS, 1.0, cell="GDAS_V1", seed=5)) == own


def test_seed_noise_is_the_pooled_deviation():
    """Sees a spread between cells in the seed noise, or the wrong degrees of freedom: a closed form."""
    runs = [run(DIGITS, error, seed=at) for at, error in enumerate((1.0, 3.0))]
    runs += [run(DIGITS, error, "GDAS_V1", at) for at, error in enumerate((10.0, 10.0, 16.0))]
    runs.append(run(DIGITS, 50.0, "P-DARTS"))
    noise = seed_noise(runs)
    assert noise == (pytest.approx(math.sqrt((2 + 24) / 3)), 2, 5)
    assert math.isnan(seed_noise(runs[-1:]).std)


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (SearchConfig(method="darts"), {("3", "DARTS 1st"), ("4", "DARTS 1st")}),
        (SearchConfig(method="darts", order=2), {("3", "DARTS 2nd"), ("4", "DARTS 2nd"), ("5", "DARTS")}),
        (SearchConfig(), {*((t, "NA-DARTS (Ours)") for t in "345"), ("Fa", "mean"), ("Fb", "d = 6")}),
        (SearchConfig(d=2), {("Fb", "d = 2")}),
        (SearchConfig(aggregator="max"), {("Fa", "max")}),
        (SearchConfig(aggregator="variance"), set()),
        (SearchConfig(d=8), set()),
        (SearchConfig(space="s3", method="na-pc-darts", channels=8), {("6", "NA-PC-DARTS (Ours)")}),
        (SearchConfig(space="s3", method="snas"), set()),
        (SearchConfig(space="nas-bench-201", cells=3, d=2), set()),
    ],
)
def test_a_searchs_rows(config, rows):
    """Sees a found cell in the row of another method, order, aggregator or radius."""
    assert set(rows_of_search(config)) == rows
    for table, row in rows:
        assert row in {cell.row for cell in published.table(table)}


def test_names_tell_searches_apart():
    """Sees cells of different searches under one name, or told by what only other methods' differ in."""
    changes = {
        "space": "s3", "n_train": 100, "method": "darts", "aggregator": "max", "representation": "multiplicative",
        "d": 2, "n_nbr": 3, "eps": 0.2, "lam": 2.0, "channels": 8, "cells": 3, "epochs": 9, "batch_size": 16,
        "arch_learning_rate": 0.1, "hessian_batches": 2, "precision": "float64", "dataset": "cifar10",
    }  # fmt: skip
    assert {*changes, "order", "seed", "device"} == set(SearchConfig.__dataclass_fields__)
    for name, value in changes.items():
        both = [SearchConfig(), SearchConfig(seed=4, **{name: value})]
        assert len({*group_names(both).values()}) == 2 and len({found_how(one) for one in both}) == 1 + (
            name != "method"
        )
    assert [*group_names([SearchConfig(d=2, seed=9, epochs=9)]).values()] == ["na-darts, d 2, found on digits"]
    darts = [SearchConfig(method="darts", d=2), SearchConfig(method="darts", order=2)]
    assert [*group_names(darts).values()] == ["darts, found on digits", "darts, order 2, found on digits"]
    apart = [SearchConfig(epochs=9), SearchConfig(method="darts", channels=8), SearchConfig(space="s3", cells=3)]
    short = ["na-darts, found on digits", "darts, found on digits", "na-darts, space s3, found on digits"]
    assert [*group_names(apart).values()] == short
    same = [SearchConfig(epochs=9), SearchConfig(epochs=9, seed=1), SearchConfig()]
    assert [*group_names(same).values()] == ["na-darts, epochs 9, found on digits"] * 2 + ["na-darts, found on digits"]


# --- the paper's tables ---------------------------------------------------------------------------


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


def test_noise_is_of_one_setting():
    """Sees noise pooled over settings of which one begins like the other."""
    runs = [run(DIGITS, error, seed=seed) for seed, error in enumerate((30.0, 30.1))]
    runs += [run(replace(DIGITS, cutout=2), error, seed=seed) for seed, error in enumerate((20.0, 20.1))]
    groups = trained(runs, [])
    assert groups[1].setting.startswith(groups[0].setting)
    for group in groups:
        assert "0.07 points (2 trainings of 1 cells)" in str(group.noise)


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


# --- figures --------------------------------------------------------------------------------------


def test_the_summary_has_the_noise_of_each_difference():
    """Sees a distance from another cell, or between settings, or its noise left out."""
    runs = [run(DIGITS, e, c, s) for c, s, e in (("DARTS_V2", 0, 2.0), ("DARTS_V2", 1, 4.0), ("GDAS_V1", 0, 8.0))]
    groups = trained([*runs, run(CIFAR, 30.0, "P-DARTS")], [])
    frame = evaluations.summary(groups).data.set_index("cell")
    assert frame.loc["GDAS_V1", "less DARTS_V2"] == 5.0
    assert frame.loc["GDAS_V1", "its noise"] == pytest.approx(math.sqrt(2) * math.sqrt(1.5))
    assert np.isnan(frame.loc["DARTS_V2", "less DARTS_V2"]) and np.isnan(frame.loc["P-DARTS", "less DARTS_V2"])
    assert evaluations.summary([]).data.empty and not evaluations.summary(groups).data.empty


def test_figures_hold_every_training():
    """Sees a training that is not drawn, or accuracy drawn for error."""
    groups = trained([run(DIGITS, 2.0), run(DIGITS, 4.0, seed=1), run(DIGITS, 3.0, "GDAS_V1")], [])
    curves, errors = evaluations.plot_curves(groups), evaluations.plot_errors(groups)
    assert sorted(line.y[-1] for line in curves.data) == pytest.approx([2.0, 3.0, 4.0])
    other = replace(FOUND, normal=catalogue()["GDAS_V1"].cell.normal)  # two cells of one kind of search, from one seed
    two = [run(DIGITS, 5.0, cell_key(FOUND)), run(DIGITS, 7.0, cell_key(other))]
    assert len(evaluations.plot_curves(trained(two, [search(FOUND), search(other, 1)])).data) == 2
    assert [list(line.x) for line in errors.data] == [[2.0, 4.0, 3.0], [3.0, 3.0]]
    assert evaluations.plot_curves([]).data == () and not any(len(line.x) for line in evaluations.plot_errors([]).data)


def test_counts_for_the_eye():
    """Sees a size under another cell's name, or channels solved for another budget."""
    style = evaluations.show_counts("cifar10")
    assert len(style.data) == 17 and style.caption == "cifar10, C = 36, 20 cells; in millions"
    assert style.data.loc["DARTS_V2"].tolist() == pytest.approx([3.349342, 528.35904, 34])
    assert evaluations.show_counts("imagenet").data.loc["DARTS_V2", "multi_adds"] == pytest.approx(529.911552)
