"""Finished trainings that nobody trained, with the errors that a test asks for."""

from dataclasses import replace
from pathlib import Path

from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.runs import Epoch, EvaluationRun
from flatlib.run.folder import Result, Trace

DIGITS = EvaluationConfig(channels=2, cells=3, epochs=2, device="cpu")
CIFAR = EvaluationConfig(dataset="cifar10", channels=4, cells=4, epochs=2, device="cpu")
FOUND = replace(catalogue()["DARTS_V2"].cell, normal=catalogue()["DARTS_V2"].cell.reduce)


def run(config: EvaluationConfig, error: float, cell: str = "DARTS_V2", seed: int = 0) -> EvaluationRun:
    config = replace(config, cell=cell, seed=seed)
    line = Epoch(1, 1.0, 50.0, 1.0, 100 - error, 100 - error / 4, 0.05, 1.0)
    result = Result(config.genotype, 2, line._asdict())
    return EvaluationRun(
        Path(f"{config.name}-{config.seed}-{error}"), config, Trace((line, line)), result, {"device": "cpu"}
    )
