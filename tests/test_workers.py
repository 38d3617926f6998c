"""Sees runs side by side that differ from those one after another, or an error that is lost in another process."""

import numpy as np
import pytest
import torch

from flatlib.run import workers
from flatlib.run.checkpoint import RunError
from flatlib.run.config import seeds
from flatlib.run.folder import open_run
from flatlib.run.workers import run_side_by_side
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.search.search import search

CONFIGS = seeds(SearchConfig(space="s3", channels=2, cells=3, epochs=2, n_nbr=2, n_train=64, device="cpu"), 3)


def test_runs_side_by_side_are_those_one_after_another(tmp_path, two_threads):
    """The first run is there already; the epochs of the others are told here, each no more than once."""
    told = []
    torch.set_num_threads(1)  # as in each process
    search(CONFIGS[0], tmp_path / "apart")
    torch.set_num_threads(2)
    note = lambda config, trace: told.append((config.seed, len(trace.epochs)))  # noqa: E731
    apart = run_side_by_side(search, Run, CONFIGS, tmp_path / "apart", note)
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
