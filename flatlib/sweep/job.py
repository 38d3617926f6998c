"""One job of a sweep: its notebook run in a folder of its own, or read back where it is finished."""

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatlib.run.checkpoint import write_beside
from flatlib.run.folder import check_identity, open_run, reading
from flatlib.run.notebook import execute_notebook
from flatlib.sweep.numbers import numbers
from flatlib.sweep.plan import MODELS, NOTEBOOKS, Job, cells_to_train

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
    from papermill.exceptions import PapermillExecutionError

    places = {"reports_dir": str(folder / job.key), "runs_dir": str(folder / "runs")}
    known = MODELS[job.notebook].model_fields
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
