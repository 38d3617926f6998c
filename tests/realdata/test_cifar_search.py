"""Searches on the real CIFAR-10: sees color images, or the folder they lie in, that a search cannot use."""

import json
import math

import numpy as np
import pytest

from flatlib.run.checkpoint import load_checkpoint
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.search.search import search

pytestmark = pytest.mark.realdata
FILES = {".lock", "config.json", "trace.csv", "alphas.npy", "checkpoint.pt", "result.json"}
SIZES = {"n_train": 128, "batch_size": 16, "channels": 4, "cells": 3, "epochs": 2, "n_nbr": 2}  # 4 steps an epoch


@pytest.mark.parametrize("method", ["na-darts", "darts"])
def test_a_search_on_real_images(method, cifar10_folder, tmp_path):
    """Sees losses that are not finite or do not fall, alphas that stay, or a folder left incomplete."""
    config = SearchConfig(dataset="cifar10", method=method, device="cpu", **SIZES)
    run = search(config, tmp_path, data_dir=cifar10_folder)
    assert {path.name for path in run.folder.iterdir()} == FILES
    assert json.loads((run.folder / "config.json").read_text())["parameters"]["dataset"] == "cifar10"
    assert Run.finished(tmp_path, config).result.cell == run.result.cell
    for column in ("train_loss", "valid_loss", "objective"):
        assert np.isfinite(run.trace.column(column)).all()
    first, second = run.trace.column("train_loss")
    assert abs(first - math.log(10)) < 0.5  # of ten classes, not yet told apart; seeds give 2.26 to 2.39
    assert second < first - 0.03  # seeds give 0.1 to 0.2
    assert run.trace.alphas.shape == (3, 2, 14, 8)
    assert all(abs(step).max() > 1e-3 for step in np.diff(run.trace.alphas, axis=0))
    aware = method == "na-darts"
    assert np.array_equal(run.trace.column("objective"), run.trace.column("valid_loss")) == (not aware)
    assert ((run.trace.column("spread") > 0) == aware).all()
    assert len(load_checkpoint(run.folder / "checkpoint.pt", Run.identity(config))["trace"]) == 2
