"""Sees a search that goes on otherwise than it would have: a lost random state, step, sum or optimizer."""

import copy
import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from flatlib.data.images import Stream, augment, load_images, split_halves
from flatlib.run import checkpoint
from flatlib.run.checkpoint import RunError, RunStoppedError
from flatlib.search import search
from flatlib.search.bilevel import Learner
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run

TINY = SearchConfig(channels=2, cells=3, epochs=2, n_nbr=2, n_train=64, batch_size=8, device="cpu")
IMAGES = load_images("digits", None, 64)
run_search = search.search


def same(a, b, at="state"):
    """Equal to the bit, but for seconds."""
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), at
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), at
        for key in a.keys() - {"seconds"}:
            same(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), at
        for i, pair in enumerate(zip(a, b, strict=True)):
            same(*pair, f"{at}[{i}]")
    else:
        assert a == b or (a != a and b != b), at


def state(folder, config=TINY):
    kept = checkpoint.load_checkpoint(folder / "checkpoint.pt", Run.identity(config))
    kept["trace"] = [line[:-1] for line in kept["trace"]]
    return kept


def same_run(a, b):
    same(state(a.folder, a.config), state(b.folder, b.config))
    same([epoch[:-1] for epoch in a.trace.epochs], [epoch[:-1] for epoch in b.trace.epochs])
    np.testing.assert_array_equal(a.trace.alphas, b.trace.alphas)
    np.testing.assert_array_equal(a.trace.edge_weights, b.trace.edge_weights)
    assert a.result.cell == b.result.cell
    same(a.result.final, b.result.final)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Never stopped."""
    return run_search(TINY, tmp_path_factory.mktemp("reference"))


def stopping(*stops):
    """A callback that interrupts after each of these steps (epoch, step), once."""
    left = set(stops)

    def on_step(work):
        if (now := (len(work.done) + 1, work.at)) in left:
            left.remove(now)
            raise KeyboardInterrupt

    return on_step


def with_stops(config, runs_dir, *stops):
    for stop in stops:
        with pytest.raises(KeyboardInterrupt, match="keeps the last checkpoint, and the same command goes on"):
            run_search(config, runs_dir, on_step=stopping(stop), checkpoint_seconds=0)
        assert not (Run.path(runs_dir, config) / "result.json").exists()
    return run_search(config, runs_dir)


def test_the_reference_learns_and_counts(reference):
    assert reference.result.epoch == 2
    assert reference.trace.alphas.shape == (3, 2, 14, 8) and reference.trace.edge_weights is None
    assert not np.array_equal(reference.trace.alphas[1], reference.trace.alphas[2])
    assert np.isfinite(reference.trace.column("objective")).all() and (reference.trace.column("spread") > 0).all()
    assert reference.trace.column("epoch").tolist() == [1, 2]


def test_stopped_at_every_border_it_goes_on_to_the_same_bits(reference, tmp_path):
    stops = [(epoch, step) for epoch in (1, 2) for step in (1, 2, 3, 4)]
    same_run(with_stops(TINY, tmp_path, *stops), reference)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "na-pc-darts", "channels": 8, "epochs": 4},  # one epoch of warm-up, edge weights
        {"method": "na-snas"},
        {"method": "sdarts-rs"},
        {"method": "darts", "order": 2},
        {"aggregator": "variance"},
        {"aggregator": "max", "space": "nas-bench-201", "d": 2, "precision": "float64"},
    ],
    ids=str,
)
def test_each_method_goes_on_to_the_same_bits(tmp_path, change):
    config = replace(TINY, n_train=32) if "epochs" in change else replace(TINY, n_train=32, epochs=1)
    config = replace(config, **change)
    whole = run_search(config, tmp_path / "whole")
    same_run(with_stops(config, tmp_path / "stopped", (config.epochs, 1)), whole)
    assert (whole.trace.edge_weights is not None) == ("pc" in config.method)
    if "pc" in config.method:
        assert np.isnan(whole.trace.column("objective")).tolist() == [True, False, False, False]


def test_the_folder_tells_what_computed(tmp_path, compiled):
    """Sees a choice of kernels that is not taken, or that the run folder does not tell."""
    config = replace(TINY, precision="float64")  # in 32 bits rounding grows from step to step
    plain, other = (run_search(config, tmp_path / kernels, kernels=kernels) for kernels in ("plain", "auto"))
    told = [json.loads((run.folder / "config.json").read_text())["kernels"] for run in (plain, other)]
    assert told == ["plain", "compiled"]
    assert np.allclose(plain.trace.alphas, other.trace.alphas, rtol=0, atol=1e-10)
    assert not np.array_equal(plain.trace.alphas, other.trace.alphas)  # other rounding


def test_another_seed_is_another_search(reference, tmp_path):
    other = run_search(replace(TINY, seed=1), tmp_path)
    assert not np.array_equal(other.trace.alphas[0], reference.trace.alphas[0])
    assert not torch.equal(state(other.folder, other.config)["generator"], state(reference.folder)["generator"])


def test_a_finished_search_is_read_not_repeated(reference, monkeypatch):
    monkeypatch.setattr(search, "Searcher", None)
    monkeypatch.setattr(search, "load_images", None)
    again = run_search(TINY, reference.folder.parent)
    same_run(again, reference)


def test_a_plain_loop_finds_the_same(reference):
    """The streams, the augmentation and the running means, written down once more without the class."""
    seeds = np.random.SeedSequence([0, 2]).generate_state(4).tolist()
    train, valid = (Stream(half, 8, seed) for half, seed in zip(split_halves(64, seeds[0]), seeds[1:3], strict=True))
    draws = torch.Generator().manual_seed(seeds[3])
    learner = Learner(TINY, n_classes=10, in_channels=1, chunk=2)

    def batch(rows):
        return augment(IMAGES.images["train"][rows], IMAGES, draws), IMAGES.labels["train"][rows]

    for epoch in range(2):
        learner.begin_epoch(epoch)
        losses, objectives, alphas = [], [], learner.alphas()
        np.testing.assert_array_equal(alphas, reference.trace.alphas[epoch])
        for _ in range(4):
            images = batch(train.next())
            objectives.append(learner.arch_step(images, batch(valid.next())).objective)
            losses.append(learner.weight_step(images).loss)
        line = reference.trace.epochs[epoch]
        np.testing.assert_allclose(
            [line.train_loss, line.objective], [np.mean(losses), np.mean(objectives)], rtol=1e-12
        )
        assert line.learning_rate == learner.learning_rate
    np.testing.assert_array_equal(learner.alphas(), reference.trace.alphas[2])


def test_global_random_states_are_left_alone(tmp_path):
    before = torch.get_rng_state(), copy.deepcopy(np.random.get_state()[1])  # noqa: NPY002
    search.estimate(TINY)
    run_search(replace(TINY, epochs=1), tmp_path)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


# --- what stops a search --------------------------------------------------------------------------


def test_an_interrupt_that_tears_a_step_falls_back_on_the_last_checkpoint(reference, tmp_path, monkeypatch):
    def torn(self, batch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="keeps the last checkpoint"):
        patch.setattr(Learner, "weight_step", torn)  # after the architecture step has moved alpha
        run_search(TINY, tmp_path)
    same_run(run_search(TINY, tmp_path), reference)


def test_a_full_disk_stops_in_one_line_and_the_search_goes_on_later(reference, tmp_path, monkeypatch):
    plain, calls = os.fsync, []

    def full(descriptor):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(descriptor)

    with monkeypatch.context() as patch, pytest.raises(RunStoppedError, match="No space left on device") as error:
        patch.setattr(checkpoint.os, "fsync", full)
        run_search(TINY, tmp_path, checkpoint_seconds=0)
    assert "\n" not in str(error.value)
    kept = state(Run.path(tmp_path, TINY))
    assert (kept["trace"], kept["step"]) == ([], 2)
    same_run(run_search(TINY, tmp_path), reference)


def test_a_loss_that_is_not_finite_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "augment", lambda images, *_: images.float() * np.inf)
    with pytest.raises(RunStoppedError) as error:
        run_search(TINY, tmp_path)
    assert "\n" not in str(error.value)
    assert {path.name for path in Run.path(tmp_path, TINY).iterdir()} == {".lock", "config.json"}


def test_too_large_a_batch_and_an_absent_gpu_are_refused_before_work(tmp_path):
    with pytest.raises(ValueError, match="batch_size = 40: allowed: 2 to 32, the images of each half"):
        run_search(replace(TINY, batch_size=40), tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device = 'cuda': this torch sees no GPU"):
            run_search(replace(TINY, device="cuda"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_at_work_is_refused(tmp_path):
    def second(*_):
        with pytest.raises(RunError, match="is at work on this run"):
            run_search(TINY, tmp_path)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(TINY, tmp_path, on_step=second)
