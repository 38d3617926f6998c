"""The search on a GPU: the same steps as on a CPU, bf16. Skips without a CUDA device."""

import numpy as np
import pytest
import torch

from flatlib.search.bilevel import Learner
from flatlib.search.config import METHODS, SearchConfig
from flatlib.search.search import search

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SMALL = {"channels": 8, "cells": 3, "batch_size": 8, "n_nbr": 3, "epochs": 2}


def batches():
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(2, 8, 3, 8, 8, generator=generator), torch.randint(0, 10, (2, 8), generator=generator)
    return list(zip(images, labels, strict=True))


@pytest.mark.parametrize("space", ["darts", "s3", "nas-bench-201"])
@pytest.mark.parametrize("method", [f"na-{name}" for name in METHODS])
def test_steps_equal_those_of_a_cpu(space, method):
    """Sees a tensor left on another device, or an operation that differs there, in float64."""
    config = SearchConfig(space=space, method=method, precision="float64", **SMALL)
    found = []
    for device in ("cpu", "cuda"):
        learner = Learner(config, n_classes=10, in_channels=3, device=device)
        learner.begin_epoch(1)
        losses = [learner.arch_step(*batches()).losses, learner.weight_step(batches()[0]).loss]
        found.append((*losses, learner.alphas(), learner.weights.detach().cpu().numpy()))
    for on_cpu, on_gpu in zip(*found, strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_whole_search_runs(precision, tmp_path):
    """Sees a search that fails on a GPU in one of the precisions."""
    run = search(SearchConfig(device="cuda", precision=precision, n_train=64, **SMALL), tmp_path)
    assert np.isfinite(run.trace.column("train_loss")).all()
