"""Notebooks 04 and 07 as a user runs them: on an empty folder, after a search, again, and with mistakes."""

from pathlib import Path

import pandas as pd
import pytest
from executed import numbers, papermill, run_notebook

from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.runs import read_runs
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.search.search import search

pytestmark = [pytest.mark.notebooks, pytest.mark.usefixtures("one_thread")]
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
    runs = read_runs(tmp_path / "runs")
    assert len(runs) == 2 * (2 + 3)  # NAS-Bench-201's cell needs another network
    assert {run.config.epochs for run in runs} == {2} and {run.config.seed for run in runs} == {0, 1}
    summary = first.table("evaluations.summary")
    trained = {"DARTS_V1": "2", "DARTS_V2": "2", "darts, found on digits": "2", f"{NA}": "4"}
    assert {name: n for name, n in summary["n"].items() if n} == trained
    (errors,) = first.figures("plot_errors")
    drawn = [
        x for group in errors["data"] if group["marker"].get("symbol") != "line-ns-open" for x in numbers(group["x"])
    ]
    assert sorted(drawn) == pytest.approx(sorted(run.test_error for run in runs))
    (curves,) = first.figures("plot_curves")
    assert len(curves["data"]) == len(runs)
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
    pictures = alone.words("draw_cells(one.cell, one.name, note=one.note")
    assert [words.split(", normal")[0] for words in pictures] == [*catalogue()]
    for words, known in zip(pictures, catalogue().values(), strict=True):
        assert known.source in words and words.endswith(known.doubt)
    for kind in ("normal", "reduction"):
        assert len(alone.table(f'depth_table(shown, "{kind}"')["depth"]) == len(catalogue())
    (points,) = alone.figures("cell_table.plot_map")
    assert sum(len(group["text"]) for group in points["data"]) == 11  # of the DARTS space
    assert list(alone.table("section_f")) == ["Section F says", "DARTS, published (n = 2)", "random cells (n = 200)"]
    assert not (tmp_path / "tables").exists() and not (tmp_path / "runs").exists()


def test_cells_with_searches(tmp_path):
    """Sees a found cell left out of a picture, a table or the map, or a parameter that does nothing."""
    runs = searched(tmp_path)
    notebook = run_notebook(CELLS, tmp_path, cells="DARTS_V1; PC-DARTS")
    drawn = notebook.words("draw_cells(one.cell, one.name)")
    found = ["darts, found on digits, seed 0", *(f"{NA}, seed {run.config.seed}" for run in runs[:2])]
    assert [words.split(", normal")[0] for words in drawn] == found
    kinds = ["darts, found on digits (n = 1)", f"{NA} (n = 2)"]
    for kind in ("normal", "reduction"):
        table = notebook.table(f'depth_table(shown, "{kind}"')
        assert list(table["depth"]) == ["DARTS_V1", "PC-DARTS", *kinds]
    assert list(notebook.table("section_f")) == [
        "Section F says", "DARTS, published (n = 1)", *kinds, "random cells (n = 200)"
    ]  # fmt: skip
    assert list(notebook.table("cell_table.nearest")["nearest found"]) == [
        *found, "DARTS_V1", "PC-DARTS", "a random cell"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stem", "arguments", "says"),
    [
        (
            EVALUATION,
            ("train", "DARTS_V3"),
            "train = 'DARTS_V3': 'DARTS_V3': no such published cell, JSON file or run folder",
        ),
        (EVALUATION, ("auxiliary", "0.4"), "auxiliary = 0.4: digits, whose images are too small for it"),
        (EVALUATION, ("dataset", "cifar10"), "dataset = 'cifar10': no cifar-10-batches-bin and no"),
        (EVALUATION, ("epoch", "3"), "epoch = 3: no such parameter; did you mean 'epochs'?"),
        (CELLS, ("cells", "DARTS_V3"), "did you mean DARTS_V"),
        (CELLS, ("cells", " ;"), "cells = ' ;': no cell; allowed: published cells, separated by ';', or 'all'"),
    ],
)
def test_mistakes_end_before_any_work(stem, arguments, says, tmp_path, monkeypatch):
    """Sees a mistake that is found after a training, or told as a traceback."""
    monkeypatch.setenv("FLATLIB_DATA", str(tmp_path))
    done = papermill(stem, tmp_path, "-p", *arguments)
    assert done.returncode != 0
    told = done.stderr.strip().splitlines()
    assert says in told[-1] and told[-2].startswith("Exception encountered") and not (tmp_path / "runs").exists()
