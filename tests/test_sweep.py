"""Sweeps: what a file means, what it costs, and a real scheduler with two workers of which one is killed."""

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

from flatlib.display.sweeps import read_comparison, save_page, show_jobs, show_summary
from flatlib.run.checkpoint import RunError
from flatlib.run.folder import open_run
from flatlib.search.runs import read_run
from flatlib.search.search import search
from flatlib.sweep import cluster
from flatlib.sweep.estimate import gpu_hours, in_words, training_hours
from flatlib.sweep.job import JobError, finished, run_job
from flatlib.sweep.plan import NOTEBOOKS, Job, read_sweep, search_configs, search_folders

READY = sorted((NOTEBOOKS / "sweeps").glob("*.yaml"))
TINY = """
name: tiny
about: <b>two</b> radii
stages:
  - id: searches
    notebook: 03_na_darts
    parameters: {beside: none, epochs: 24, random_cells: 0, train_epochs: 0, n_train: 128, batch_size: 16, channels: 2,
                 cells: 3, n_nbr: 3}
    grid: {d: [2, 6]}
  - id: found
    notebook: 04_evaluation
    each: searches
    parameters: {train: found, runs: 1, epochs: 1, n_train: 64, channels: 4, cells: 3}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# --- the file -------------------------------------------------------------------------------------


def test_a_grid_is_the_product_of_its_lists(tmp_path):
    """Sees a point that is missing or repeated, a parameter that does not reach its job, a key that is not unique."""
    text = "stages: [{notebook: 02_na_rs, parameters: {runs: 7}, grid: {d: [1, 2], seed: [0, 1, 2]}}]"
    sweep = read_sweep(written(tmp_path, text))
    points = [(job.parameters["d"], job.parameters["seed"]) for job in sweep.jobs]
    assert points == [(d, seed) for d in (1, 2) for seed in (0, 1, 2)] and sweep.name == "sweep"
    assert {job.settings().runs for job in sweep.jobs} == {7}
    assert len({job.key for job in sweep.jobs}) == 6 and all(re.fullmatch(r"[\w.,=-]+", job.key) for job in sweep.jobs)


def test_evaluations_follow_their_searches(tmp_path):
    """Sees an evaluation that trains another search's cell, or loses what its search varied."""
    sweep = read_sweep(written(tmp_path, TINY.replace("epochs: 1,", "epochs: 1, seed: 5,")))
    searches, found = sweep.jobs[:2], sweep.jobs[2:]
    assert [job.searches for job in found] == [(one,) for one in searches]
    assert [job.grid for job in found] == [{"d": 2}, {"d": 6}] and found[0].parameters["seed"] == 5
    seeds = (
        "[{notebook: 03_na_darts, grid: {seed: [3]}}, {notebook: 04_evaluation, each: 03_na_darts, grid: {seed: [4]}}]"
    )
    assert read_sweep(written(tmp_path, f"stages: {seeds}")).jobs[1].grid == {"search seed": 3, "seed": 4}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "sweep.yaml: empty; sweeps/ has"),
        ("[]", "[]: not a mapping; its keys are name, about, stages"),
        ("{}", "sweep.yaml: no stages; its keys are name, about, stages"),
        ("stages: [{}]", "stage 1: no notebook; its keys are"),
        ("stages: [{notebook: 02_na_rs, each: [{a: 1}]}]", "only 04_evaluation follows searches"),
        ("stages: []", "stages = []: allowed: a list of stages"),
        ("stages: {a: 1}", "stages = {'a': 1}: allowed: a list of stages"),
        ("name: ../x\nstages: [{notebook: 02_na_rs}]", "name = '../x'"),
        ("stages: [{notebook: 02_na_rs, id: a/../b}]", "stage 1: id = 'a/../b'"),
        ("stages: [{notebook: 09}]", "notebook = '09': allowed: one of 01_assumption, 02_na_rs"),
        ("stages: [{notebook: [02_na_rs]}]", "notebook = ['02_na_rs']"),
        (
            "stages: [{notebook: 02_na_rs, gird: {}}]",
            "gird = {}: no such key; its keys are",
        ),
        ("stages: [{notebook: 02_na_rs, grid: [1]}]", "grid = [1]: allowed: names and lists of values"),
        ("stages: [{notebook: 02_na_rs, grid: {d: 2}}]", "grid: d = 2: allowed: a list of values"),
        ("stages: [{notebook: 02_na_rs, grid: {dd: [2]}}]", "dd = 2: no such parameter; did you mean 'd'?"),
        (
            "stages: [{notebook: 02_na_rs, parameters: {1: 2}}]",
            "1 = 2: no such parameter",
        ),
        (
            "stages: [{notebook: 02_na_rs, parameters: epochs}]",
            "parameters = 'epochs': allowed: names and values",
        ),
        ("stages: [{notebook: 02_na_rs, last: maybe}]", "last = 'maybe': allowed: true or false"),
        ("slurm: hello\nstages: [{notebook: 02_na_rs}]", "slurm = 'hello': allowed: options of dask_jobqueue"),
        ("stages: [{notebook: 03_na_darts, grid: {d: [2, 15]}}]", "d = 15: allowed: int at least 0 and at most 14"),
        ("stages: [{notebook: 03_na_darts, parameters: {order: 2}}]", "order = 2 with method = na-darts"),
        ("stages: [{notebook: 03_na_darts, parameters: {runs_dir: x}}]", "runs_dir is the sweep's own"),
        ("stages: [{notebook: 03_na_darts, preset: no.yaml}]", "preset = 'no.yaml': "),
        ("stages: [{notebook: 04_evaluation, each: x}]", "each = 'x': not a stage above; no stage stands above it"),
        ("stages: [{notebook: 02_na_rs, each: x}]", "only 04_evaluation follows searches, not 02_na_rs"),
        ("stages: [{notebook: 04_evaluation}]", "train = 'found' needs `each`"),
        ("stages: [{notebook: 02_na_rs}, {notebook: 02_na_rs}]", "give this one another id"),
        ("stages: [{notebook: 02_na_rs}, {notebook: 02_na_rs, id: b}]", "comes twice"),
        ("stages: [{notebook: 02_na_rs, grid: {d: [1, 1]}}]", "comes twice"),
        ("stages: !!python/object/apply:os.system [exit]", "line 1: cannot be read as YAML"),
        ("stages: [", "cannot be read as YAML"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(tmp_path, text, told):
    """Sees a sweep that starts with a mistake in it, code in a file that runs, or a message that does not help."""
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        read_sweep(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*/"))


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_ready_sweeps_can_be_read_and_estimated(path):
    """Sees a shipped file with a mistake, and an estimate that fails."""
    sweep = read_sweep(path)
    assert sweep.name == path.stem and sweep.about
    assert re.match(r"about [\d,.e-]+ GPU-hours", in_words(list(sweep.jobs)))


def test_the_readmes_sweep_is_one(tmp_path):
    """Sees a format that the README explains otherwise than it is read."""
    (text,) = re.findall(r"```\n(name: .*?)```", (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8"), re.S)
    jobs = read_sweep(written(tmp_path, text)).jobs
    assert len(jobs) == 13 and jobs[-1].last and jobs[6].searches == (jobs[0],)


def test_hours_are_the_papers_costs_and_arithmetic():
    """Sees hours that miss the published search costs, or an arithmetic that forgets a factor."""
    preset = {"dataset": "cifar10", "channels": 16, "cells": 8, "epochs": 50, "batch_size": 64, "beside": "none"}

    def days(**more: object) -> float:
        return gpu_hours(Job("s", "03_na_darts", preset | more, {}))[0] / 24

    assert days() == pytest.approx(1.1) and days(method="darts") == pytest.approx(0.3)
    assert days(aggregator="max") == pytest.approx(0.5) and days(method="darts", order=2) == pytest.approx(1.0)
    assert days(n_nbr=1) == pytest.approx(0.3) and days(epochs=25, runs=4) == pytest.approx(2.2)
    job = Job("e", "04_evaluation", {"train": "DARTS_V2", "runs": 3, "epochs": 10, "dataset": "cifar10"}, {})
    (config,) = job.settings().configs({}).values()
    multi_adds = json.loads(flatlib("cost", "DARTS_V2", "--channels", "8", "--cells", "5").stdout)["multi_adds"]
    assert training_hours(config) == pytest.approx(multi_adds * 2 * 3 * 50_000 * 10 / 1e12 / 3600)
    assert gpu_hours(job) == (0, pytest.approx(3 * training_hours(config)))


def flatlib(*arguments: str, **more: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from flatlib.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **more)


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
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
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
def test_a_killed_workers_search_goes_on_elsewhere_to_the_same_bits(tmp_path, dask_cluster, one_thread):
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
    done = read_run(run)
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
    finals = [read_run(path).result.final["valid_accuracy"] for path in sorted((folder / "runs").glob("na-darts-*"))]
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
