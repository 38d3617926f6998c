"""Trainings on a GPU: the same steps as on a CPU, each precision, resuming. Skips without a CUDA device."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flatlib.evaluation.batches import batches_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.training import Trainer, estimate, evaluate

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SMALL = EvaluationConfig(channels=4, cells=3, epochs=2, n_train=64, batch_size=16, drop_path=0.3)


@pytest.mark.parametrize("cell", ["DARTS_V2", "AmoebaNet-A", "SNAS-aggressive"])
def test_steps_equal_those_of_a_cpu(cell):
    """Sees a tensor left on another device, or a layer that differs there, in float64."""
    found = []
    for device in ("cpu", "cuda"):
        config = replace(SMALL, cell=cell, precision="float64", device=device)
        trainer = Trainer(config, batches_of(config), device)
        for _ in range(trainer.steps):
            trainer.step()
        trainer.end_epoch()
        found.append([*trainer.done[0][:-1], *[p.double().norm().item() for p in trainer.own.parameters()]])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_whole_training_runs(precision, tmp_path):
    """Sees a training that fails on a GPU in one of the precisions, or an estimate that does."""
    config = replace(SMALL, precision=precision, device="cuda")
    assert estimate(config).startswith("about ")
    run = evaluate(config, tmp_path)
    assert np.isfinite(run.trace.column("train_loss")).all() and run.hardware["device"] != "cpu"


def test_a_stopped_training_goes_on(tmp_path):
    """Sees a checkpoint whose tensors come back to the wrong device."""
    config = replace(SMALL, device="cuda")

    def stop(_, now):
        if now.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(config, tmp_path, on_step=stop)
    assert len(evaluate(config, tmp_path).trace.epochs) == 2
