"""A sweep on Dask: on this machine, on a running scheduler, or as SLURM jobs."""

import glob
import json
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flatlib.run.checkpoint import write_beside
from flatlib.run.folder import open_run
from flatlib.run.progress import duration
from flatlib.sweep.job import GPUS, finished, run_job
from flatlib.sweep.plan import Job, Sweep

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 20
GPU_DEVICES = "/dev/nvidia[0-9]*"


def waiting(sweep: Sweep, folder: Path) -> list[Job]:
    """The jobs that are not finished."""
    return [job for job in sweep.jobs if finished(folder, job) is None]


@contextmanager
def connected(sweep: Sweep, *, scheduler: str = "", slurm: int = 0, workers: int = 0) -> Iterator["Client"]:
    """A client of the scheduler at an address, of SLURM jobs, or of worker processes here (0: one a GPU, else a core).

    Raises ValueError, one line, where Dask is missing or no scheduler answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ValueError("flatlib sweep needs Dask: pip install -c constraints.txt -e '.[cluster]'") from None
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")  # of workers; the sweep tells what matters
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if slurm and not shutil.which("sbatch"):
        raise ValueError(f"--slurm {slurm}: no sbatch here; run it on a machine that submits SLURM jobs")
    if scheduler:
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise ValueError(f"--scheduler {scheduler}: no answer ({error}); expected tcp://HOST:PORT") from None
        with client:
            yield client
        return
    with (
        _slurm_cluster(sweep, slurm) if slurm else LocalCluster(**_local(workers)) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _slurm_cluster(sweep: Sweep, jobs: int) -> Any:
    """As many SLURM jobs as there is work for, at most `jobs`; a job that ends at its time limit loses nothing."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    from dask_jobqueue import SLURMCluster

    for number, handler in before.items():  # its import takes over Ctrl-C
        signal.signal(number, handler)
    cluster = SLURMCluster(**slurm_options(sweep))
    cluster.adapt(minimum_jobs=0, maximum_jobs=jobs)
    return cluster


def slurm_options(sweep: Sweep) -> dict[str, Any]:
    """Of one SLURM job, one worker: the file's own, as dask_jobqueue names them."""
    return {"cores": 1, "memory": "16GB", "processes": 1} | sweep.slurm


def _local(workers: int) -> dict[str, Any]:
    """Single-threaded workers; torch's threads share the cores, and each worker has a GPU of its own."""
    gpus = len(glob.glob(GPU_DEVICES))
    workers = workers or gpus or os.cpu_count() or 1
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    return {
        "n_workers": workers,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
        "memory_limit": 0,
        "env": {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, GPUS: str(gpus)},
    }


def run_missing(sweep: Sweep, folder: Path, **where: Any) -> list[str]:
    """Run what is not finished, for one process at a time; the errors, one line a job; `where` as for `connected`.

    Jobs whose searches failed are left out with a line. A worker that dies gives its job back to the scheduler; the
    next one goes on from the checkpoint.
    """
    from distributed import as_completed
    from tqdm import tqdm

    todo, errors = {job.key for job in waiting(sweep, folder)}, []
    with connected(sweep, **where) if todo else nullcontext() as client, open_run(folder, {}):
        _tell_page(sweep, folder)
        if client is None:
            return []
        with tqdm(total=len(todo), desc=sweep.name, unit="job") as bar:
            futures = _submit(client, sweep, folder)
            try:
                for future in as_completed(futures):
                    if future.status != "finished":
                        errors.append(_line(future))
                    elif (done := future.result()).key in todo:
                        bar.write(f"{done.key}: {duration(done.seconds)} on {done.host}")
                        bar.update()
            except KeyboardInterrupt:
                client.cancel(futures, force=True)
                told = f"interrupted; {folder} keeps what is done, and the same command goes on"
                raise KeyboardInterrupt(told) from None
    return list(dict.fromkeys(errors))


def _tell_page(sweep: Sweep, folder: Path) -> None:
    about = {"name": sweep.name, "about": sweep.about, "jobs": [job.key for job in sweep.jobs]}
    write_beside(folder / "sweep.json", lambda file: file.write(json.dumps(about).encode()))


def _submit(client: "Client", sweep: Sweep, folder: Path) -> list["Future"]:
    """Every job, after those that it waits for; finished ones are only read."""
    (folder / "runs").mkdir(exist_ok=True)
    futures: dict[str, Future] = {}
    for job in sweep.jobs:
        after = [*futures.values()] if job.last else [futures[search.key] for search in job.searches]
        futures[job.key] = client.submit(run_job, job, folder, *after, key=f"{sweep.name}/{job.key}", pure=False)
    return [*futures.values()]


def _line(future: "Future") -> str:
    """Why a job failed; a dependent one has the error of what it waited for."""
    error = future.exception()
    return f"{type(error).__name__}: {error}" if type(error).__name__ != "JobError" else str(error)
