"""Sees runs side by side that differ from those one after another, or an error that is lost in another process."""

import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from jupyter_client.manager import start_new_kernel

from flatlib.run import workers
from flatlib.run.checkpoint import RunError, RunStoppedError
from flatlib.run.config import seeds
from flatlib.run.folder import open_run
from flatlib.run.workers import run_side_by_side
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.search.search import search

CONFIGS = seeds(SearchConfig(space="s3", channels=2, cells=3, epochs=2, n_nbr=2, n_train=64, device="cpu"), 3)


def test_runs_side_by_side_are_those_one_after_another(tmp_path, two_threads):
    """The first run is there already, the last one comes twice; epochs are told here, each no more than once."""
    told = []
    torch.set_num_threads(1)  # as in each process
    search(CONFIGS[0], tmp_path / "apart")
    torch.set_num_threads(2)
    note = lambda config, trace: told.append((config.seed, len(trace.epochs)))  # noqa: E731
    apart = run_side_by_side(search, Run, [*CONFIGS, CONFIGS[-1]], tmp_path / "apart", note)[:-1]
    torch.set_num_threads(1)
    here = run_side_by_side(search, Run, CONFIGS, tmp_path / "here", lambda config, trace: None)
    assert [run.config for run in apart] == [run.config for run in here] == CONFIGS
    for ours, theirs in zip(apart, here, strict=True):
        np.testing.assert_array_equal(ours.trace.alphas, theirs.trace.alphas)
    assert len(set(told)) == len(told) and {(1, 2), (2, 2)} <= {*told} <= {(1, 1), (1, 2), (2, 1), (2, 2)}


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_one_run_is_raised(tmp_path, threads, two_threads):
    """A run that another process is at work on; in one process nothing after it is begun."""
    torch.set_num_threads(threads)
    with open_run(Run.path(tmp_path, CONFIGS[0]), {}), pytest.raises(RunError, match="another process is at work"):
        run_side_by_side(search, Run, CONFIGS[:2], tmp_path, lambda config, trace: None)


def test_there_are_no_more_processes_than_threads_or_jobs(two_threads):
    """Sees a pool where one process does, or sixteen jobs on two threads in sixteen processes."""
    if not torch.cuda.is_available():
        assert [workers.n_workers(jobs) for jobs in (0, 1, 2, 16)] == [1, 1, 2, 2]
    with workers.workers(1) as pool:
        assert pool is None


def test_a_killed_process_is_one_line_and_its_run_goes_on(tmp_path, two_threads):
    """Sees Python's own words for a process that the system ended for its memory, or a run that begins anew."""

    def kill_one(config, trace):
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    configs = [replace(config, epochs=40) for config in CONFIGS[:2]]
    with pytest.raises(RunStoppedError, match=r"^a process was ended from outside, .* last checkpoint is kept"):
        run_side_by_side(search, Run, configs, tmp_path / "killed", kill_one)
    torch.set_num_threads(1)
    for config in configs:
        ours, theirs = search(config, tmp_path / "killed"), search(config, tmp_path / "whole")
        np.testing.assert_array_equal(ours.trace.alphas, theirs.trace.alphas)


def test_jupyters_interrupt_ends_every_process(tmp_path):
    """Sees a search that goes on in another process after its cell was interrupted, or an end without a word."""
    configs = seeds(SearchConfig(method="darts", space="s3", channels=2, cells=3, epochs=999, n_train=64), 2)
    places = [Run.path(tmp_path, config) for config in configs]
    manager, client = start_new_kernel(env=os.environ | {"OMP_NUM_THREADS": "2"})
    try:
        client.execute(
            "from flatlib.display.searches import run_searches\nfrom flatlib.search.config import SearchConfig\n"
            f"run_searches({{'darts': {configs[0]}}}, 2, {str(tmp_path)!r})"
        )
        until = time.monotonic() + 120
        while not all((place / "checkpoint.pt").exists() for place in places) and time.monotonic() < until:
            time.sleep(0.2)
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)["content"]
        assert reply["ename"] == "KeyboardInterrupt" and "last checkpoint is kept" in reply["evalue"]
        for place, config in zip(places, configs, strict=True):
            with open_run(place, Run.identity(config)) as folder:  # held by no process
                assert folder.load() is not None
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
