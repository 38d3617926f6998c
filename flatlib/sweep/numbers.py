"""What a finished job measured, as (series, measure, value): of its searches, its trainings and its tables."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flatlib.evaluation.runs import finished_run as finished_training
from flatlib.run.config import seeds
from flatlib.search.runs import read_run
from flatlib.sweep.plan import Job, cells_to_train, search_folders

MEASURES = {  # of a search's result.json
    "valid_accuracy": "validation accuracy of the mixture (%)",
    "valid_loss": "validation loss of the mixture (nats)",
    "spread": "spread over neighbors (nats)",
    "entropy": "entropy of alpha (nats)",
}


class Number(NamedTuple):
    """One measured value of a job."""

    series: str  # a method, a trained cell, or a table's row
    measure: str  # with its unit
    value: float


def numbers(job: Job, folder: Path) -> list[Number]:
    """All of them; of an evaluation that follows searches the trainings alone, else the tables' lines."""
    if job.notebook == "04_evaluation" and job.searches:
        return list(_trainings(job, folder))
    return [*_searches(job, folder), *_tables(folder / job.key)]


def _searches(job: Job, folder: Path) -> Iterator[Number]:
    for path in search_folders(job, folder / "runs"):
        run = read_run(path)
        for name, label in MEASURES.items():
            value = run.result.final.get(name, math.nan) if run.result else math.nan
            if math.isfinite(value):
                yield Number(run.config.method, label, value)


def _trainings(job: Job, folder: Path) -> Iterator[Number]:
    settings = job.settings(train=cells_to_train(job, folder))
    for config in settings.configs({}).values():
        for one in seeds(config, settings.runs):
            run = finished_training(folder / "runs", one)
            if run:
                yield Number("found cells", f"test error, {one.dataset} (%)", run.test_error)


def _tables(place: Path) -> Iterator[Number]:
    """Lines with a number of ours; a count is the same in every job, so it is left out."""
    for path in sorted(place.glob("tables/*/*.csv")):
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                if line.get("ours") and line.get("n"):
                    name = path.stem.replace("_", " ")
                    yield Number(line["row"], f"{name}: {line['column']} ({line['unit']})", float(line["ours"]))
