"""Trainings on the real CIFAR-10 and CIFAR-100: sees color images, or a hundred classes, that a training cannot use."""

import math
import subprocess
import sys

import numpy as np
import pytest
from conftest import DATA

from flatlib.evaluation.batches import batches_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.training import evaluate

pytestmark = pytest.mark.realdata
SIZES = {"n_train": 256, "batch_size": 32, "channels": 4, "cells": 4, "epochs": 2, "device": "cpu"}
PAPER = {"cutout": 16, "drop_path": 0.2, "auxiliary": 0.4}


@pytest.fixture(scope="module")
def cifar100_folder(tmp_path_factory):
    tool = DATA.parent / "tools" / "unpack_cifar.py"
    if not tool.exists() or not (DATA / "cifar100").is_dir():
        pytest.skip(f"no {tool} or no {DATA / 'cifar100'}: set FLATLIB_DATA to the folder that holds cifar100/")
    folder = tmp_path_factory.mktemp("cifar100")
    done = subprocess.run([sys.executable, tool, folder, "cifar100"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def train(folder, tmp_path, dataset, n_classes):
    """All of the paper's recipe at a small size; the first loss is that of classes not yet told apart."""
    config = EvaluationConfig(dataset=dataset, **SIZES, **PAPER)
    batches = batches_of(config, data_dir=folder)
    images, labels = batches.next()
    assert batches.n_test == 10_000 and images.shape == (32, 3, 32, 32) and 0 <= int(labels.max()) < n_classes
    hidden = (images == 0).all(1).double().mean()  # of the cut-out square; borders clip it
    assert 0.1 < hidden < 0.26
    run = evaluate(config, tmp_path, data_dir=folder)
    losses = run.trace.column("train_loss")
    assert np.isfinite(losses).all() and abs(losses[0] - math.log(n_classes)) < 0.6 and losses[1] < losses[0]
    assert run.result.final["test_loss"] < math.log(n_classes) + 1.5 and run.test_error < 100  # not far from chance yet


def test_cifar10(cifar10_folder, tmp_path):
    """Sees a recipe that does not reach the images, or a loss that does not fall."""
    train(cifar10_folder, tmp_path, "cifar10", 10)


def test_cifar100(cifar100_folder, tmp_path):
    """Sees the coarse labels taken for the fine ones, or ten outputs for a hundred classes."""
    train(cifar100_folder, tmp_path, "cifar100", 100)
