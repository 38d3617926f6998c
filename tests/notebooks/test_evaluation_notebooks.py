"""Notebooks 04 and 07 as a user runs them: on an empty folder, after a search, again."""

from pathlib import Path

import pandas as pd
import pytest
from executed import numbers, run_notebook

from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.runs import EvaluationRun
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.search.search import search

pytestmark = pytest.mark.notebooks
EVALUATION, CELLS = "04_evaluation", "07_cells"
NA = "na-darts, n_nbr 2, found on digits"
TINY = {"n_train": 64, "batch_size": 16, "channels": 2, "cells": 3, "epochs": 2}
SEARCHES = [
    SearchConfig(n_train=64, batch_size=16, channels=2, cells=3, epochs=1, n_nbr=2, device="cpu", **own)
    for own in ({"seed": 0}, {"seed": 1}, {"method": "darts"}, {"space": "nas-bench-201", "d": 1})
]


def searched(folder: Path) -> list[Run]:
    return [search(config, folder / "runs") for config in SEARCHES]


def written(folder: Path, source: str, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / source / f"table_{table}.csv")


def test_evaluation_after_searches_and_again(tmp_path):
    """Sees found cells left out, trainings repeated, a table of other numbers, a stand-in beside a published number."""
    searched(tmp_path)
    first = run_notebook(EVALUATION, tmp_path, **TINY)
    runs = EvaluationRun.read_all(tmp_path / "runs")
    assert len(runs) == 2 * (2 + 3)  # NAS-Bench-201's cell needs another network
    assert {run.config.epochs for run in runs} == {2} and {run.config.seed for run in runs} == {0, 1}
    summary = first.table("evaluations.summary")
    trained = {"DARTS_V1": "2", "DARTS_V2": "2", "darts, found on digits": "2", f"{NA}": "4"}
    assert {name: n for name, n in summary["n"].items() if n} == trained
    (errors,) = first.figures("plot_errors")
    drawn = [x for group in errors["data"] for x in numbers(group["x"])]
    assert sorted(drawn) == pytest.approx(sorted(run.test_error for run in runs))
    digits = written(tmp_path, "digits", "3")
    assert set(digits.row) == {"DARTS 1st", "DARTS 2nd", "NA-DARTS (Ours)"} and digits.paper.isna().all()
    assert digits[digits.row == "NA-DARTS (Ours)"].n.tolist() == [4]
    assert set(written(tmp_path, "digits", "Fa").row) == {"mean"}
    for table in ("3", "4", "5", "6", "Fa", "Fb"):
        own = written(tmp_path, "cifar-imagenet", table)
        assert own.paper.notna().sum() >= 6 and not own.column.str.contains("digits").any()
        assert own[own.ours.notna()].unit.eq("M").all()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    again = run_notebook(EVALUATION, tmp_path, **TINY)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    assert again.table("evaluations.summary") == summary
    assert set(again.table("evaluations.estimates")["to run"].values()) == {"0 of 2"}


def test_evaluation_that_only_counts(tmp_path):
    """Sees a notebook that cannot do without any training."""
    notebook = run_notebook(EVALUATION, tmp_path, train="")
    assert not (tmp_path / "runs").exists() and not (tmp_path / "tables" / "digits").exists()
    sizes = written(tmp_path, "cifar-imagenet", "4")
    assert sizes[sizes.row == "DARTS 2nd"].dropna(subset=["ours"]).ours.tolist() == [3.34934]
    assert len(notebook.shown("save_and_show")) == 6


def test_cells_without_searches(tmp_path):
    """Sees a published cell left out of a picture, a table or the map; found cells that are taken for granted."""
    alone = run_notebook(CELLS, tmp_path)
    pictures = alone.captions("draw_cells(one.cell, one.name), Markdown")
    assert pictures == [f"{name}, normal cell" for name in catalogue()]
    notes = [data["text/markdown"] for data in alone.shown("draw_cells(one.cell, one.name), Markdown")[1::2]]
    assert notes == [f"From {known.source}. {known.doubt}".strip() for known in catalogue().values()]
    for kind in ("normal", "reduction"):
        assert len(alone.table(f'depth_table(shown, "{kind}"')["depth"]) == len(catalogue())
    (figure,) = alone.figures("cell_table.plot_map")
    assert len(figure["data"][0]["x"]) == 11  # of the DARTS space
    assert list(alone.table("section_f")["depth, normal cell"]) == [
        "Section F says",
        "DARTS, published (n = 2)",
        "random cells (n = 200)",
    ]
    assert not (tmp_path / "tables").exists() and not (tmp_path / "runs").exists()


def test_cells_with_searches(tmp_path):
    """Sees a found cell left out of a picture, a table or the map, or a parameter that does nothing."""
    runs = searched(tmp_path)
    notebook = run_notebook(CELLS, tmp_path, cells="DARTS_V1; PC-DARTS")
    drawn = notebook.captions("draw_cells(one.cell, one.name))")
    found = ["darts, found on digits, seed 0", *(f"{NA}, seed {run.config.seed}" for run in runs[:2])]
    assert drawn == [f"{name}, normal cell" for name in found]
    kinds = ["darts, found on digits (n = 1)", f"{NA} (n = 2)"]
    for kind in ("normal", "reduction"):
        table = notebook.table(f'depth_table(shown, "{kind}"')
        assert list(table["depth"]) == ["DARTS_V1", "PC-DARTS", *kinds]
    assert list(notebook.table("section_f")["depth, normal cell"]) == [
        "Section F says", "DARTS, published (n = 1)", *kinds, "random cells (n = 200)"
    ]  # fmt: skip
    (figure,) = notebook.figures("cell_table.plot_map")
    assert figure["data"][0]["x"] == ["DARTS_V1", "PC-DARTS", *found]
