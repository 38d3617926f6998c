"""What a finished job measured, as (series, measure, value): of its searches, its trainings and its tables."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from flatlib.evaluation.runs import finished_run as finished_training
from flatlib.run.config import seeds
from flatlib.search.runs import read_run
from flatlib.sweep.plan import Job, cells_to_train, search_folders

Number = tuple[str, str, float]  # a method, a trained cell or a table's row; what it is, with its unit; its value
MEASURES = {  # of a search's result.json
    "valid_accuracy": "validation accuracy of the mixture (%)",
    "valid_loss": "validation loss of the mixture (nats)",
    "spread": "spread over neighbors (nats)",
    "entropy": "entropy of alpha (nats)",
}


def numbers(job: Job, folder: Path) -> pd.DataFrame:
    """All of them; of an evaluation that follows searches the trainings alone, else the tables' lines."""
    trained = job.notebook == "04_evaluation" and job.searches
    found = [*_trainings(job, folder)] if trained else [*_searches(job, folder), *_tables(folder / job.key)]
    frame = pd.DataFrame(found, columns=["series", "measure", "value"])
    return frame[frame.value.abs() < float("inf")]


def _searches(job: Job, folder: Path) -> Iterator[Number]:
    for path in search_folders(job, folder / "runs"):
        run = read_run(path)
        if run.result:
            for name, label in MEASURES.items():
                yield run.config.method, label, run.result.final.get(name, float("nan"))


def _trainings(job: Job, folder: Path) -> Iterator[Number]:
    settings = job.settings(train=cells_to_train(job, folder))
    for config in settings.configs({}).values():
        for one in seeds(config, settings.runs):
            if run := finished_training(folder / "runs", one):
                yield "found cells", f"test error, {one.dataset} (%)", run.test_error


def _tables(place: Path) -> Iterator[Number]:
    """Lines with a number of ours; a count is the same in every job, so it is left out."""
    for path in sorted(place.glob("tables/*/*.csv")):
        frame = (
            pd.read_csv(path, dtype={"row": str})
            .reindex(columns=["row", "column", "unit", "ours", "n"])
            .dropna(subset=["ours", "n"])
        )
        for line in frame.itertuples():
            yield line.row, f"{path.stem.replace('_', ' ')}: {line.column} ({line.unit})", line.ours
