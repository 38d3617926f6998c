"""One job of a sweep: its notebook run in a folder of its own or read back, and what it measured."""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
from papermill.exceptions import PapermillExecutionError

from flatlib.evaluation.runs import EvaluationRun
from flatlib.run.checkpoint import write_beside
from flatlib.run.config import seeds
from flatlib.run.folder import check_identity, open_run, reading
from flatlib.run.notebook import execute_notebook
from flatlib.search.runs import Run
from flatlib.sweep.plan import MODELS, NOTEBOOKS, Job, cells_to_train, search_folders

BUSY = "is at work on this run"  # of another process, in a run folder that two jobs share
GPUS = "FLATLIB_GPUS"  # how many a local cluster's workers share
WAIT = 2.0  # seconds between two looks at a busy run


class JobError(RuntimeError):
    """A notebook that ended with an error; one line."""


@dataclass(frozen=True)
class Done:
    """A finished job."""

    key: str
    seconds: float  # of the attempt that finished it
    host: str


def finished(folder: Path, job: Job) -> Done | None:
    """What the job's folder says, if it is finished; RunError, one line, for a damaged folder or another job's."""
    place = folder / job.key
    if not (place / "result.json").exists():
        return None
    check_identity(place, _identity(job))
    with reading(place / "result.json") as path:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Done(job.key, float(values["seconds"]), str(values["host"]))


def run_job(job: Job, folder: Path, *_after: Any) -> Done:
    """Run a job's notebook to its end; JobError or RunError, one line. A killed one, run again, goes on.

    `folder/runs` holds the searches and trainings of all jobs, so that an evaluation finds its searches;
    `folder/<key>` the notebook, its tables and `result.json`.
    """
    if done := finished(folder, job):
        return done
    place = folder / job.key
    _own_gpu()
    with open_run(place, _identity(job)) as held:
        held.write_config(device="cpu")
        begin = time.monotonic()
        try:
            _execute(job, folder, place / "notebook.part.ipynb")
        except JobError as error:
            why = str(error)  # for the page
            write_beside(place / "error.txt", lambda file: file.write(why.encode()))
            raise
        (place / "error.txt").unlink(missing_ok=True)
        os.replace(place / "notebook.part.ipynb", place / "notebook.ipynb")
        done = Done(job.key, round(time.monotonic() - begin, 1), socket.gethostname())
        measured = numbers(job, folder).to_dict("records")
        held.write_result({"seconds": done.seconds, "host": done.host, "numbers": measured})
    return done


def _identity(job: Job) -> dict[str, Any]:
    searches = [search.key for search in job.searches]
    return {
        "parameters": job.parameters,
        "job": {"stage": job.stage, "notebook": job.notebook, "searches": searches},
        "grid": job.grid,
    }


def _execute(job: Job, folder: Path, output: Path) -> None:
    """The notebook's run; JobError, one line, where a cell fails."""
    places = {"reports_dir": str(folder / job.key), "runs_dir": str(folder / "runs")}
    known = {f.name for f in fields(MODELS[job.notebook])}
    given = job.parameters | {name: place for name, place in places.items() if name in known}
    given |= {"train": cells_to_train(job, folder)} if job.searches else {}
    while True:
        try:
            execute_notebook(NOTEBOOKS / f"{job.notebook}.ipynb", output, given)
            return
        except PapermillExecutionError as error:
            why = " ".join(str(error.evalue).split())[:300]
            if BUSY not in why:
                raise JobError(f"{job.key}: {error.ename}: {why}; see {output}") from None
        time.sleep(WAIT)  # another job has the same search or training at work, or a killed one is about to let go


def _own_gpu() -> None:
    """Of several GPUs a local worker uses one, by its number; the kernel inherits that."""
    gpus = int(os.environ.get(GPUS, "0"))
    if gpus > 1:
        from distributed import get_worker

        os.environ["CUDA_VISIBLE_DEVICES"] = str(int(get_worker().name) % gpus)


# --- what it measured -----------------------------------------------------------------------------

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
        run = Run.read(path)
        for name, label in MEASURES.items():
            yield run.config.method, label, run.result.final[name]


def _trainings(job: Job, folder: Path) -> Iterator[Number]:
    settings = job.settings(train=cells_to_train(job, folder))
    for config in settings.configs({}).values():
        for one in seeds(config, settings.runs):
            if run := EvaluationRun.finished(folder / "runs", one):
                yield "found cells", f"test error, {one.dataset} (%)", run.test_error


def _tables(place: Path) -> Iterator[Number]:
    """Lines with a number of ours; a count is the same in every job, so it is left out."""
    for path in sorted(place.glob("tables/*/*.csv")):
        frame = pd.read_csv(path, dtype={"row": str}).reindex(columns=["row", "column", "unit", "ours", "n"])
        for line in frame.dropna(subset=["ours", "n"]).itertuples():
            yield line.row, f"{path.stem.replace('_', ' ')}: {line.column} ({line.unit})", line.ours
