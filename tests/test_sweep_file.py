"""Sweep files: sees a grid, an order or a mistake read otherwise than written, and hours that are not the paper's."""

import json
import re

import pytest
from sweep_files import READY, TINY, flatlib, written

from flatlib.sweep.estimate import gpu_hours, in_words, training_hours
from flatlib.sweep.plan import NOTEBOOKS, Job, read_sweep


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
    multi_adds = json.loads(flatlib("cost", "DARTS_V2", "--channels", "8", "--cells", "4").stdout)["multi_adds"]
    assert training_hours(config) == pytest.approx(multi_adds * 2 * 3 * 50_000 * 10 / 1e12 / 3600)
    assert gpu_hours(job) == (0, pytest.approx(3 * training_hours(config)))
