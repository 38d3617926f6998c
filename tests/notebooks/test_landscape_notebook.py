"""Notebook 06 as a user runs it: tiny, again, on given folders. `make` runs it at its defaults."""

import numpy as np
import pandas as pd
import pytest
from executed import numbers, run_notebook

from flatlib.search.runs import Run

pytestmark = pytest.mark.notebooks
STEM = "06_loss_landscape"
TINY = {
    "space": "s3", "n_train": 128, "batch_size": 16, "channels": 2, "cells": 3, "epochs": 1, "n_nbr": 2, "runs": 1,
    "n_valid": 32, "grid": 9, "distance": 2, "n_discrete": 3, "seed": 3,
}  # fmt: skip


def test_tiny_then_again_then_from_folders(tmp_path):
    """Sees a parameter that does not reach the landscape, work done twice, folders that are not looked at."""
    first = run_notebook(STEM, tmp_path, **TINY)
    runs = {run.config.method: run for run in Run.read_all(tmp_path / "runs")}
    assert runs.keys() == {"darts", "na-darts"}
    assert all(len(list(run.folder.glob("landscape-*.npz"))) == 1 for run in runs.values())
    (estimate,) = first.shown("estimate_all")
    assert estimate["text/markdown"].startswith("2 of 2 landscapes to compute, each: about ")
    (planes,) = first.figures("plot_planes(around)")
    maps = [trace for trace in planes["data"] if trace["type"] == "contour"]
    assert len(maps) == 2 and numbers(maps[0]["x"]) == [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1]
    assert list(first.table("save_and_show")) == ["darts (n = 1)", "na-darts (n = 1)"]
    frame = pd.read_csv(tmp_path / "tables" / "digits" / "figure_A.csv")
    assert set(frame.setting) == {"digits, 32 validation images, batch size 16"} and frame.paper.isna().all()
    assert np.isfinite(frame.ours).all() and set(frame.n) == {1}
    (widget,) = first.shown("LandscapeExplorer")
    assert "application/vnd.jupyter.widget-view+json" in widget

    again = run_notebook(STEM, tmp_path, **TINY)
    assert again.figures("plot_planes(around)") == [planes]
    assert again.shown("estimate_all")[0]["text/markdown"] == "0 of 2 landscapes to compute"
    given = run_notebook(STEM, tmp_path, **TINY, folders=str(runs["na-darts"].folder))
    assert list(given.table("save_and_show")) == ["na-darts (n = 1)"]
