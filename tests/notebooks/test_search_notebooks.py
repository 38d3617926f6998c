"""Notebooks 03 and 05 as a user runs them: each space and method at a tiny size, again.

Notebook 05 at its defaults takes minutes: `make` runs it, no test does.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from executed import Executed, run_notebook

from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.spaces import SPACES

pytestmark = pytest.mark.notebooks
NA_DARTS, VARIANTS = "03_na_darts", "05_s3_and_variants"
TINY = {"n_train": 128, "batch_size": 16, "channels": 2, "cells": 3, "epochs": 2, "n_nbr": 3, "seed": 3}
FILES = {".lock", "config.json", "trace.csv", "alphas.npy", "checkpoint.pt", "result.json"}


def check_runs(folder: Path, config: SearchConfig, methods: list[str], seeds: tuple[int, ...] = (3,)) -> list[Run]:
    """The folders are those of these searches, complete, and say so themselves."""
    runs = {(run.config.method, run.config.seed): run for run in Run.read_all(folder / "runs")}
    assert runs.keys() == {(method, seed) for method in methods for seed in seeds}
    assert len(list((folder / "runs").iterdir())) == len(runs)
    for (method, seed), run in runs.items():
        expected, space = replace(config, method=method, seed=seed), SPACES[config.space]
        assert run.config == expected
        assert json.loads((run.folder / "config.json").read_text())["parameters"] == asdict(expected)
        weighted = {"edge_weights.npy"} if "pc-" in method else set()
        assert {path.name for path in run.folder.iterdir()} == FILES | weighted
        lines = (run.folder / "trace.csv").read_text().splitlines()
        assert len(lines) == 1 + config.epochs == 1 + len(run.trace.epochs) and lines[0].startswith("epoch,train_loss")
        kinds = 1 if config.space == "nas-bench-201" else 2
        shape = (config.epochs + 1, kinds, len(space.edges), len(space.operations))
        assert np.load(run.folder / "alphas.npy").shape == shape
        assert json.loads((run.folder / "result.json").read_text())["epoch"] == config.epochs
    return [runs[method, seed] for method in methods for seed in seeds]


def check_figures(notebook: Executed, runs: list[Run], methods: list[str]) -> None:
    """Nothing of the live panel; a slider over all epochs; each method in the table, the cells and the figures."""
    epochs, n = runs[0].config.epochs, len(runs) // len(methods)
    firsts = [f"{method}, seed {runs[0].config.seed}" for method in methods]
    assert notebook.shown("run_searches") == []
    sliders = notebook.figures("plot_alphas_over_time")
    assert [figure["layout"]["title"]["text"] for figure in sliders] == firsts
    for figure in sliders:
        (slider,) = figure["layout"]["sliders"]
        assert [step["label"] for step in slider["steps"]] == [str(epoch) for epoch in range(epochs + 1)]
        assert len(figure["frames"]) == epochs + 1
    (progress,) = notebook.figures("plot_progress")
    assert {line["legendgroup"] for line in progress["data"]} == set(firsts)
    assert list(notebook.table("searches.summary")) == [f"{method} (n = {n})" for method in methods]
    assert [title.split(",")[0] for title in notebook.captions("draw_cells")] == methods


def test_max_on_s3_and_the_same_again(tmp_path):
    """Sees a parameter that does not reach the searches, and a second run that searches anew or shows other numbers."""
    parameters = {**TINY, "space": "s3", "aggregator": "max", "d": 14, "runs": 2}
    config = SearchConfig(**TINY, space="s3", aggregator="max", d=14)
    methods = ["na-darts", "darts"]
    first = run_notebook(NA_DARTS, tmp_path, **parameters)
    check_figures(first, check_runs(tmp_path, config, methods, (3, 4)), methods)
    assert {name: lines["to run"] for name, lines in rows(first.table("estimates")).items()} == dict.fromkeys(
        methods, "2 of 2"
    )
    spread = {name: lines["spread over neighbors (nats)"] for name, lines in first.table("searches.summary").items()}
    assert spread["darts (n = 2)"] == "" and " ± " in spread["na-darts (n = 2)"]

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    again = run_notebook(NA_DARTS, tmp_path, **parameters)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    assert rows(again.table("estimates")) == {
        method: {"to run": "0 of 2", "each": "finished: read from its folder"} for method in methods
    }
    assert again.table("searches.summary") == first.table("searches.summary")
    assert again.shown("draw_cells") == first.shown("draw_cells")
    for call in ("plot_progress", "plot_alphas_over_time", "plot_operation_counts"):
        assert again.figures(call) == first.figures(call)


def rows(table: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Line -> column -> text."""
    return {line: {name: column[line] for name, column in table.items()} for line in next(iter(table.values()))}


@pytest.mark.parametrize(
    ("change", "methods"),
    [
        ({"space": "nas-bench-201"}, ["na-darts", "darts"]),
        ({"method": "darts", "order": 2}, ["darts"]),  # beside itself: run once
    ],
    ids=["nas-bench-201", "second order"],
)
def test_other_spaces_and_methods(tmp_path, change, methods):
    """Sees a figure or a table that takes the DARTS space or two methods for granted."""
    notebook = run_notebook(NA_DARTS, tmp_path, **TINY, **change)
    check_figures(notebook, check_runs(tmp_path, SearchConfig(**TINY, **change), methods), methods)


def test_defaults(tmp_path):
    """Sees defaults that fail, that warn, or that are not those of the small search; of its epochs the first."""
    notebook = run_notebook(NA_DARTS, tmp_path, epochs=1)
    methods = ["na-darts", "darts"]
    check_figures(notebook, check_runs(tmp_path, SearchConfig(epochs=1), methods, (0,)), methods)


@pytest.mark.parametrize(
    ("change", "methods"),
    [
        ({"channels": 8}, ["darts", "na-darts", "darts-es", "na-darts-es", "pc-darts", "na-pc-darts"]),
        ({"methods": "snas sdarts-rs", "epochs": 1}, ["snas", "na-snas", "sdarts-rs", "na-sdarts-rs"]),
    ],
    ids=["default methods", "snas and sdarts-rs"],
)
def test_variants(tmp_path, change, methods):
    """Sees a method left out of a search, the table, the cells or a figure; eigenvalues that only DARTS-ES takes."""
    notebook = run_notebook(VARIANTS, tmp_path, **{**TINY, **change})
    sizes = {name: value for name, value in (TINY | change).items() if name != "methods"}
    check_runs(tmp_path, SearchConfig(**sizes, space="s3"), methods)
    firsts = [f"{method}, seed 3" for method in methods]
    assert notebook.shown("run_searches") == []
    (progress,) = notebook.figures("plot_progress")
    assert {line["legendgroup"] for line in progress["data"]} == set(firsts)
    (counts,) = notebook.figures("plot_operation_counts")
    titles = " ".join(note["text"] for note in counts["layout"]["annotations"])
    assert all(f"{first}, {kind} cell" in titles for first in firsts for kind in ("normal", "reduction"))
    panels = [note["text"] for note in progress["layout"]["annotations"]]
    assert any("eigenvalue" in title for title in panels) == ("darts-es" in methods)
    assert list(notebook.table("searches.summary")) == [f"{method} (n = 1)" for method in methods]
    assert [title.split(",")[0] for title in notebook.captions("draw_cells")] == methods
