"""Notebook 06 as a user runs it: tiny, again, on given folders, and with mistakes. `make` runs it at its defaults."""

import numpy as np
import pandas as pd
import pytest
from executed import numbers, papermill, run_notebook

from flatlib.search.runs import read_runs

pytestmark = [pytest.mark.notebooks, pytest.mark.usefixtures("one_thread")]
STEM = "06_loss_landscape"
TINY = {
    "space": "s3", "n_train": 128, "batch_size": 16, "channels": 2, "cells": 3, "epochs": 1, "n_nbr": 2, "runs": 1,
    "n_valid": 32, "grid": 9, "distance": 2, "n_discrete": 3, "seed": 3,
}  # fmt: skip


def test_tiny_then_again_then_from_folders(tmp_path):
    """Sees a parameter that does not reach the landscape, work done twice, folders that are not looked at."""
    first = run_notebook(STEM, tmp_path, **TINY)
    runs = {run.config.method: run for run in read_runs(tmp_path / "runs")}
    assert runs.keys() == {"darts", "na-darts"}
    assert all(len(list(run.folder.glob("landscape-*.npz"))) == 1 for run in runs.values())
    (planes,) = first.figures("plot_planes(landscapes)")
    maps = [trace for trace in planes["data"] if trace["type"] == "contour"]
    assert len(maps) == 2 and numbers(maps[0]["x"]) == [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1]
    assert list(first.table("flatness_table")) == ["darts, seed 3", "na-darts, seed 3"]
    frame = pd.read_csv(tmp_path / "tables" / "digits" / "figure_A.csv")
    assert set(frame.setting) == {"digits, 32 validation images, batch size 16"} and frame.paper.isna().all()
    assert np.isfinite(frame.ours).all() and set(frame.n) == {1}
    (widget,) = first.shown("LandscapeExplorer")
    assert "application/vnd.jupyter.widget-view+json" in widget

    again = run_notebook(STEM, tmp_path, **TINY)
    assert again.figures("plot_planes(landscapes)") == [planes]
    given = run_notebook(STEM, tmp_path, **TINY, folders=str(runs["na-darts"].folder))
    assert list(given.table("flatness_table")) == ["na-darts, seed 3"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("grid", "1"), "grid = 1"),
        (("grid", "10"), "grid = 10: allowed: 3, 5, 7, ..., so that (0, 0) is a point of the grid"),
        (("n_valid", "5"), "n_valid = 5: less than a batch; allowed: 32 or more, or 0: all"),
        (("methods", "dart"), "dart: no such method"),
        (("folders", "nowhere"), "nowhere"),
        (("gird", "21"), "did you mean 'grid'"),
    ],
)
def test_mistakes_end_before_any_work(tmp_path, change, line):
    """Sees a mistake found after the searches, or a message that does not say what is allowed."""
    done = papermill(STEM, tmp_path, "-p", *change)
    assert done.returncode == 1 and line in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "runs").exists()
