"""Sweeps at work: sees jobs run twice, mixed up or lost, with a real scheduler and two workers, one of them killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from sweep_files import TINY, flatlib, written

from flatlib.display.sweeps import read_comparison, save_page, show_jobs, show_summary
from flatlib.run.checkpoint import RunError
from flatlib.run.folder import open_run
from flatlib.search.runs import Run
from flatlib.search.search import search
from flatlib.sweep import cluster
from flatlib.sweep.job import JobError, finished, run_job
from flatlib.sweep.plan import Job, read_sweep, search_configs, search_folders

# --- jobs -----------------------------------------------------------------------------------------


def test_a_job_of_another_sweep_or_a_damaged_one_is_refused(tmp_path):
    """Sees a result that is taken for that of other parameters, and a traceback for a damaged file."""
    job = Job("s", "02_na_rs", {"d": 1}, {"d": 1})
    assert finished(tmp_path, job) is None
    place = tmp_path / job.key
    place.mkdir()
    (place / "result.json").write_text('{"seconds": 3.5, "host": "here", "numbers": []}')
    (place / "config.json").write_text('{"parameters": {"d": 2}, "job": {}, "grid": {}}')
    with pytest.raises(RunError, match="holds another run"):
        finished(tmp_path, job)
    (place / "config.json").write_text('{"parameters": ')
    with pytest.raises(RunError, match="not valid JSON"):
        finished(tmp_path, job)


@pytest.mark.notebooks
def test_a_failed_job_leaves_its_notebook_and_one_line(tmp_path):
    """Sees an error that stops the sweep without a reason, or a failed job that counts as finished."""
    table = tmp_path / "damaged.npz"
    table.write_bytes(b"PK")
    job = Job("tables", "02_na_rs", {"table": str(table)}, {})
    with pytest.raises(JobError, match=r"damaged\.npz") as caught:
        run_job(job, tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path / job.key) in str(caught.value)
    assert finished(tmp_path, job) is None


def test_slurm_jobs_carry_the_files_options(tmp_path):
    """Sees SLURM options that do not reach the job script, and Ctrl-C taken over by an import."""
    before = signal.getsignal(signal.SIGINT)
    slurm = "slurm: {queue: gpu, memory: 8GB, walltime: '01:30:00', job_extra_directives: ['--gres=gpu:1']}"
    sweep = read_sweep(written(tmp_path, f"{slurm}\nstages: [{{notebook: 02_na_rs}}]"))
    with cluster._slurm_cluster(sweep, 1) as waiting:
        script = waiting.job_script()
    assert signal.getsignal(signal.SIGINT) is before
    for line in (
        "#SBATCH -p gpu",
        "#SBATCH --mem=8G",
        "#SBATCH -t 01:30:00",
        "#SBATCH --gres=gpu:1",
        "distributed.cli",
    ):
        assert line in script


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"scheduler": "tcp://127.0.0.1:9"}, "--scheduler tcp://127.0.0.1:9: no answer"),
        ({"scheduler": "nowhere"}, "--scheduler nowhere: no answer"),
        ({"slurm": 2}, "--slurm 2: no sbatch here"),
    ],
)
def test_a_scheduler_that_is_not_there_is_one_line(tmp_path, where, told, monkeypatch):
    """Sees a traceback, or a folder that looks like work done."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep = read_sweep(written(tmp_path, "stages: [{notebook: 02_na_rs}]"))
    with pytest.raises(ValueError, match=re.escape(told)), cluster.connected(sweep, **where):
        pass


# --- a scheduler and two workers, one of them killed ----------------------------------------------


@pytest.fixture
def dask_cluster(tmp_path):
    """The address of a scheduler with two worker processes, all of them started by the ordinary commands."""
    file = tmp_path / "scheduler.json"
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    base = ["--scheduler-file", str(file)]
    commands = [["scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1", *base]]
    commands += [
        ["worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path), *base]
    ] * 2
    logs = open(tmp_path / "dask.log", "w")  # noqa: SIM115
    started = []
    for command in commands:
        full = [sys.executable, "-m", "dask", *command]
        started.append(subprocess.Popen(full, env=environment, stdout=logs, stderr=logs, cwd=tmp_path))
        until(lambda: file.exists() and file.read_text().strip())
    yield json.loads(file.read_text())["address"]
    for process in started:
        process.kill()
        process.wait()
    logs.close()


def until(true, seconds: float = 180.0) -> None:
    """Wait; AssertionError when it takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.mark.notebooks
def test_a_killed_workers_search_goes_on_elsewhere_to_the_same_bits(tmp_path, dask_cluster):
    """Sees a sweep that hangs or fails when a worker dies, a search that starts anew, a job that runs twice."""
    from distributed import Client

    path = written(tmp_path, TINY)
    sweep = read_sweep(path)
    folder = tmp_path / "sweeps" / sweep.name
    places = ["--sweeps-dir", str(tmp_path / "sweeps"), "--reports-dir", str(tmp_path / "reports")]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "from flatlib.cli import main; main()",
        "sweep",
        str(path),
        *places,
    ]
    command += ["--scheduler", dask_cluster]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    victim = sweep.jobs[0]
    (run,) = search_folders(victim, folder / "runs")
    with Client(dask_cluster) as client:
        until(lambda: (run / "trace.csv").exists() and len((run / "trace.csv").read_text().splitlines()) > 2)
        (address,) = [worker for worker, keys in client.processing().items() if f"tiny/{victim.key}" in map(str, keys)]
        os.kill(client.run(os.getpid, workers=[address])[address], signal.SIGKILL)
    epochs_before = len((run / "trace.csv").read_text().splitlines()) - 1
    assert not (run / "result.json").exists() and epochs_before < 24
    begun = (run / "checkpoint.pt").stat().st_mtime
    output, _ = running.communicate(timeout=400)
    assert running.returncode == 0, output
    assert "4 of 4 jobs to do" in output and str(tmp_path / "reports" / "sweep-tiny.html") in output
    for job in sweep.jobs:
        assert finished(folder, job)
    # it went on: the epochs of before kept their lines, and the end is that of an undisturbed search
    (config,) = search_configs(victim)
    undisturbed = search(config, tmp_path / "alone")
    done = Run.read(run)
    assert begun < (run / "result.json").stat().st_mtime and len(done.trace.epochs) == 24
    np.testing.assert_array_equal(np.load(run / "alphas.npy"), np.load(undisturbed.folder / "alphas.npy"))
    assert done.result and undisturbed.result and done.result.cell == undisturbed.result.cell
    check_again(path, folder, places)
    check_page(folder, tmp_path / "reports")


def check_again(path: Path, folder: Path, places: list[str]) -> None:
    """Started again, the sweep runs nothing; with a longer grid only what is new."""
    before = {place: place.stat().st_mtime for place in folder.glob("*/result.json")}
    again = flatlib("sweep", str(path), *places)
    assert again.returncode == 0 and "0 of 4 jobs to do" in again.stdout
    assert {place: place.stat().st_mtime for place in folder.glob("*/result.json")} == before
    path.write_text(TINY.replace("[2, 6]", "[2, 6, 4]"))
    dry = flatlib("sweep", str(path), *places, "--dry")
    assert dry.returncode == 0 and "2 of 6 jobs to do" in dry.stdout and "d=4" in dry.stdout


def check_page(folder: Path, reports_dir: Path) -> None:
    """The page has the jobs and the numbers of the run folders; text of the file is text there."""
    comparison = read_comparison(folder)
    assert list(comparison.jobs.state) == ["finished"] * 4 and comparison.grid == ["d"]
    finals = [Run.read(path).result.final["valid_accuracy"] for path in sorted((folder / "runs").glob("na-darts-*"))]
    rows = comparison.numbers[comparison.numbers.measure == "validation accuracy of the mixture (%)"]
    assert sorted(rows.value) == sorted(finals)
    errors = show_summary(comparison).data.iloc[:2]
    assert list(errors.measure) == ["test error, digits (%)"] * 2 and list(errors.n) == [1, 1]
    page = BeautifulSoup((reports_dir / "sweep-tiny.html").read_text(), "html.parser")
    assert "<b>two</b> radii" in page.text and "Sweep: tiny" in page.h1.text
    card = BeautifulSoup((reports_dir / "index.html").read_text(), "html.parser").find(href="sweep-tiny.html")
    assert comparison.about in card.find_parent("article").text


@pytest.mark.notebooks
def test_ctrl_c_is_one_line_and_keeps_what_is_done(tmp_path):
    """Sees a sweep that ends without a word, with Dask's noise, or that leaves its notebooks running."""
    path, folder = written(tmp_path, TINY), tmp_path / "sweeps" / "tiny"
    command = [sys.executable, "-c", "from flatlib.cli import main; main()", "sweep", str(path), "--workers", "1"]
    command += ["--sweeps-dir", str(tmp_path / "sweeps"), "--reports-dir", str(tmp_path / "reports")]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until(lambda: [*folder.glob("runs/*/checkpoint.pt")])
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=120)
    lines = [line for line in re.split("[\r\n]+", told) if line.strip() and not line.startswith("tiny:")]
    kept = f"flatlib: interrupted; {folder} keeps what is done, and the same command goes on"
    assert running.returncode == 130 and kept in lines, told
    assert not any(word in told for word in ("Traceback", "distributed", "Task")), told
    (run,) = folder.glob("runs/*/")
    with open_run(run, {}):  # nobody holds it any more
        assert not (run / "result.json").exists()


def test_a_sweep_in_progress_can_be_looked_at(tmp_path):
    """Sees a page that fails while jobs wait, or a folder that is no sweep and is not named."""
    (tmp_path / "sweep.json").write_text('{"name": "half", "about": "", "jobs": ["a-1", "b-2"]}')
    (tmp_path / "a-1").mkdir()
    (tmp_path / "a-1" / "config.json").write_text('{"job": {"stage": "a"}, "grid": {"d": 2, "seed": 0}}')
    comparison = read_comparison(tmp_path)
    assert list(comparison.jobs.state) == ["not finished", "waiting"] and comparison.numbers.empty
    (tmp_path / "a-1" / "error.txt").write_text("a-1: <b>no</b> room")
    comparison = read_comparison(tmp_path)
    assert comparison.jobs.state[0] == "failed: a-1: <b>no</b> room" and "<b>" not in show_jobs(comparison).to_html()
    assert show_summary(comparison).data.empty
    assert save_page(tmp_path, tmp_path / "reports").exists()
    with pytest.raises(RunError, match=r"sweep\.json"):
        read_comparison(tmp_path / "a-1")
