"""Sees a training that resumes elsewhere, a folder that lies, or processes that see other images."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from kept import kept
from test_training import EXACT, TINY, WORDS

from flatlib.evaluation import training
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.runs import EvaluationRun
from flatlib.evaluation.training import Trainer, evaluate
from flatlib.run.checkpoint import RunError, RunStoppedError, load_checkpoint

pytestmark = pytest.mark.usefixtures("own_warnings")


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, stop):
    """Sees anything left out of the checkpoint: images, masks, momentum, statistics, sums of the epoch."""
    config = replace(TINY, drop_path=0.3)
    whole = evaluate(config, tmp_path / "whole")
    steps = []

    def interrupt(work):
        steps.append(work.at)
        if len(steps) == stop:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        evaluate(config, tmp_path / "cut", on_step=interrupt, checkpoint_seconds=0)
    assert EvaluationRun.finished(tmp_path / "cut", config) is None
    again = evaluate(config, tmp_path / "cut")
    assert [line[:-1] for line in again.trace.epochs] == [line[:-1] for line in whole.trace.epochs]
    assert kept(again.folder, EvaluationRun.identity(config)) == kept(whole.folder, EvaluationRun.identity(config))


def test_a_loss_that_is_not_finite_is_one_line_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    """Sees a training that goes on with nan until its last epoch."""
    config, plain = replace(TINY, epochs=3), Trainer.step

    def spoiled(self):
        plain(self)
        if len(self.done) == 1:
            self.sums += np.nan

    monkeypatch.setattr(Trainer, "step", spoiled)
    with pytest.raises(RunStoppedError, match=r"epoch 2, .*the loss is nan; try a smaller learning_rate") as error:
        evaluate(config, tmp_path)
    assert "\n" not in str(error.value)
    assert len((EvaluationRun.path(tmp_path, config) / "trace.csv").read_text().splitlines()) == 2


def test_too_little_memory_is_one_line(tmp_path, monkeypatch):
    """Sees torch's own lines, or an estimate that hides that the training will stop."""

    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")

    monkeypatch.setattr(Trainer, "step", full)
    for act in (lambda: evaluate(TINY, tmp_path), lambda: training.estimate(TINY)):
        with pytest.raises(RunStoppedError, match=r"^out of memory: take fewer channels, .* checkpoint is kept$"):
            act()


TOGETHER = """
import sys
from flatlib.evaluation import __main__ as command
for words in (line.split() for line in sys.argv[1].splitlines()):
    code = command.main(words)
    command.join = lambda: None  # once
    print("---", flush=True)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Three trainings by two processes, and what these said: exact, in bf16 with loose ends, and one that fails."""
    place = tmp_path_factory.mktemp("two")
    (place / "program.py").write_text(TOGETHER)
    each = [
        ["--precision", "float64", "--drop_path", "0.3"],
        ["--precision", "bf16", "--cell", "SNAS-aggressive"],
        ["--learning_rate", "1e20", "--gradient_clip", "0"],
    ]
    words = "\n".join(" ".join([*WORDS, "--device", "cpu", "--runs_dir", str(place), *own]) for own in each)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, str(place / "program.py"), words],
        capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return place, done


def test_two_processes_compute_what_one_does(together, tmp_path):
    """Sees shares that overlap, statistics or gradients of one process only: gloo, float64, with dropped paths."""
    place, done = together
    told = done.stdout.split("---")[0]
    assert told.count("epoch 2/2") == 1 and "Warning" not in done.stderr, done.stderr[-2000:]  # told once
    one = evaluate(replace(EXACT, drop_path=0.3), tmp_path)
    two = EvaluationRun.read(EvaluationRun.path(place, one.config))
    lines = [np.array([line[:-1] for line in run.trace.epochs]) for run in (one, two)]
    np.testing.assert_allclose(lines[1], lines[0], rtol=1e-9, atol=1e-9)
    identity = EvaluationRun.identity(one.config)
    states = [load_checkpoint(run.folder / "checkpoint.pt", identity)["network"] for run in (one, two)]
    for name, ours in states[0].items():
        torch.testing.assert_close(states[1][name], ours, rtol=1e-8, atol=1e-10, check_dtype=False)


def test_two_processes_in_bf16_and_with_loose_ends(together, tmp_path):
    """Sees statistics taken in bf16, or weights without a gradient that the averaging waits for."""
    config = replace(TINY, precision="bf16", cell="SNAS-aggressive")
    two, one = EvaluationRun.finished(together[0], config), evaluate(config, tmp_path)
    assert two.trace.column("train_loss") == pytest.approx(one.trace.column("train_loss"), rel=0.05)


def test_two_processes_stop_together_in_one_line(together):
    """Sees the other process die with a traceback of its own when the first one stops."""
    _, done = together
    told = [line for line in done.stderr.splitlines() if "flatlib.evaluation: " in line]
    assert done.returncode != 0 and any("the loss is" in line for line in told)
    assert "gloo" not in done.stderr and "flatlib/evaluation" not in done.stderr  # no stack of ours


def test_a_cell_has_one_folder_whatever_it_is_called(tmp_path):
    """Sees the same training twice, under two names of its cell; or another order of a node's inputs."""
    cell = catalogue()["DARTS_V2"].cell
    (tmp_path / "mine.json").write_text(json.dumps(cell.to_json()))
    turned = replace(cell, normal=(cell.normal[1], cell.normal[0], *cell.normal[2:]))
    names = ["DARTS_V2", "darts_v2", str(tmp_path / "mine.json"), str(cell), json.dumps(turned.to_json())]
    configs = [replace(TINY, cell=name) for name in names]
    assert len({EvaluationRun.path(tmp_path, config) for config in configs}) == 1 and configs[0].name == "DARTS_V2"
    found = replace(TINY, cell=json.dumps(replace(cell, normal=cell.reduce).to_json()))
    assert re.fullmatch(r"cell-[0-9a-f]{8}-digits-seed0-[0-9a-f]{8}", EvaluationRun.path(tmp_path, found).name)


def test_half_a_folder_is_left_out_with_one_warning(tmp_path):
    """Sees an unfinished or damaged run among the results, or one that hides the others."""
    whole = evaluate(TINY, tmp_path)
    cut, damaged = (EvaluationRun.path(tmp_path, replace(TINY, seed=seed)) for seed in (1, 2))
    for path in (cut, damaged):
        path.mkdir()
        stored = json.loads((whole.folder / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(stored))
        (path / "trace.csv").write_text((whole.folder / "trace.csv").read_text())
    (damaged / "result.json").write_text('{"test_error": ')
    with pytest.warns(UserWarning) as caught:
        runs = EvaluationRun.read_all(tmp_path)
    assert [run.folder for run in runs] == [whole.folder]
    texts = sorted(str(warning.message) for warning in caught)
    assert len(texts) == 2 and all("\n" not in text and text.startswith("left out: ") for text in texts)
    assert any("not finished" in text for text in texts)
    assert any("result.json: not valid JSON" in text for text in texts)


def test_another_trainings_folder_is_refused(tmp_path):
    """Sees results of other parameters taken for this run's."""
    other = evaluate(replace(TINY, epochs=1), tmp_path)
    other.folder.rename(EvaluationRun.path(tmp_path, TINY))
    with pytest.raises(RunError, match="holds another run"):
        evaluate(TINY, tmp_path)
