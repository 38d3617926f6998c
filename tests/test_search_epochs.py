"""Sees an epoch's line, warm-up, DARTS-ES's stop or an estimate that is not what the steps say."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from naive_supernet import naive_loss_on
from test_search import IMAGES, TINY, run_search, same, state, stopping, with_stops

from flatlib.run import loop
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.progress import Progress, summary
from flatlib.search import search
from flatlib.search.bilevel import Learner, Step
from flatlib.search.config import SearchConfig
from flatlib.search.derive import derive
from flatlib.search.search import load_for
from flatlib.spaces import DARTS


class Scripted(Learner):
    """Steps that cost nothing; what they see is told by `losses`."""

    seen, most = [], 99

    def arch_step(self, train_batch, valid_batch):
        if self.chunk > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")
        self.seen.append(("arch", self.epoch, valid_batch[1]))
        return Step(1.0, 50.0, 3.0, np.array([1.0, 3.0]))

    def weight_step(self, train_batch):
        self.seen.append(("weight", self.epoch, train_batch[1]))
        self.steps += 1
        return Step(float(self.steps), 25.0)


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(search, "Learner", Scripted)
    monkeypatch.setattr(Scripted, "seen", [])
    return Scripted


def test_a_line_of_the_trace_is_the_epochs_mean(scripted, tmp_path):
    run = with_stops(TINY, tmp_path, (1, 3), (2, 2))
    first, second = run.trace.epochs
    assert (first.train_loss, second.train_loss) == (2.5, 6.5)  # of 1 .. 4, of 5 .. 8
    assert first[2:7] == (25.0, 1.0, 50.0, 3.0, 1.0)  # the spread of 1 and 3
    assert [name for name, *_ in scripted.seen] == ["arch", "weight"] * 8  # Algorithm 1's order


def test_while_the_weights_warm_up_no_validation_batch_is_drawn(scripted, tmp_path):
    config = replace(TINY, method="pc-darts", channels=8, epochs=4)
    run = run_search(config, tmp_path)
    assert [name for name, epoch, _ in scripted.seen if epoch == 0] == ["weight"] * 4
    assert np.isnan(run.trace.epochs[0][3:7]).all() and run.trace.epochs[1].objective == 3.0
    assert state(run.folder, config)["streams"][1]["done"] == 4 and len(scripted.seen) == 16 + 12


def test_darts_es_keeps_the_older_alpha(scripted, tmp_path, monkeypatch):
    config, asked = replace(TINY, method="darts-es", epochs=20), []

    def eigenvalue_of(own):
        learner = own.learner
        asked.append(own.fixed_batches(config.batch_size))
        with torch.no_grad():
            learner.arch["logits"][0, 0, len(asked) % 8] += 3
        return 1.0 if learner.epoch < 5 else 2.0

    monkeypatch.setattr(search.Searcher, "eigenvalue", eigenvalue_of)
    whole = run_search(config, tmp_path)
    assert len(whole.trace.epochs) == 10 and whole.result.epoch == 5 and whole.result.final["eigenvalue"] == 1.0
    assert len(whole.trace.alphas) == 11
    assert whole.result.cell == derive(DARTS, whole.trace.alphas[5]) != derive(DARTS, whole.trace.alphas[10])
    images, labels = zip(*[batches[0] for batches in asked], strict=True)
    assert all(torch.equal(images[0], other) for other in images) and len(labels[0]) == 8  # the same, not augmented


def test_darts_es_watches_the_hessian_of_the_logits(tmp_path):
    """Oracle: torch's own Hessian of the validation loss, entry by entry, in float64."""
    config = replace(TINY, method="darts-es", space="nas-bench-201", d=2, epochs=1, precision="float64", n_train=32)
    one = search.Searcher(config, load_for(config), chunk=1)
    one.step()
    ((images, labels),) = one.fixed_batches(config.batch_size)
    loss = naive_loss_on(one.learner.net, one.learner.weights)((images.double(), labels))
    logits = one.learner.arch["logits"].detach()
    hessian = torch.autograd.functional.hessian(lambda b: loss(b.softmax(-1)[None])[0], logits).view(30, 30)
    largest = torch.linalg.eigvalsh(hessian)[-1].item()
    before = copy.deepcopy(one.learner.state())
    one.end_epoch()
    assert one.done[0].eigenvalue == pytest.approx(largest, rel=1e-4)
    same(before, one.learner.state())


def test_out_of_memory_is_one_line_and_keeps_the_checkpoint(scripted, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run_search(TINY, tmp_path, on_step=stopping((1, 3)), checkpoint_seconds=0)
    monkeypatch.setattr(Scripted, "most", 1)
    with pytest.raises(RunStoppedError, match="out of memory: take fewer channels") as error:
        run_search(TINY, tmp_path)
    assert "\n" not in str(error.value)
    assert run_search(TINY, tmp_path, chunk=1).trace.epochs[0].train_loss == 2.5


def test_runs_are_summarized_over_seeds():
    finals = [
        {"x": 1.0, "y": np.nan, "z": np.nan},
        {"x": 2.0, "y": 5.0, "z": np.nan},
        {"x": 6.0, "y": np.nan, "z": np.nan},
    ]
    assert summary(finals) == ["x: 3 +- 2.2 (n = 3)", "y: 5 +- 0 (n = 1)"]


@pytest.mark.parametrize(
    ("channels", "batch", "pixels", "chunk"), [(4, 32, 8, 10), (4, 32, 16, 5), (16, 16, 32, 1), (4, 32, 32, 2)]
)
def test_neighbors_at_once_follow_from_the_sizes(channels, batch, pixels, chunk):
    images = replace(IMAGES, images={"train": torch.zeros(4, 3, pixels, pixels, dtype=torch.uint8)})
    config = SearchConfig(channels=channels, batch_size=batch)
    assert search.choose_chunk(config, images, "plain") == chunk
    assert search.choose_chunk(replace(config, method="darts"), images, "plain") == 1


def test_the_estimate_counts_epochs_and_steps(monkeypatch):
    times = iter([0.0, 9.0, 10.0, 10.25])  # seconds of two steps: the first one warms up
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(times))
    seen = []
    monkeypatch.setattr(Learner, "arch_step", lambda self, *_: seen.append(self.epoch) or Step(1.0, 50.0))
    text = search.estimate(replace(TINY, method="na-pc-darts", channels=8, epochs=10))  # 3 of 10 epochs warm up
    assert text.startswith("about 10 s for 10 epochs of 4 steps (0.25 s a step), ") and "; 2 of 2 neighbors" in text
    assert seen == [9, 9]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_one_line_that_is_written_over(monkeypatch, capsys, terminal):
    """Sees a step told on every line of a log, or a terminal's line that is not cleared, or a nan in it."""
    searcher = search.Searcher(TINY, IMAGES, chunk=2)
    searcher.at, searcher.sums = 2, torch.tensor([4.0, 50, np.nan, np.nan, np.nan, np.nan], dtype=torch.float64)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    progress = Progress()
    progress.said -= 1  # second
    progress.step(searcher)
    told = capsys.readouterr().out
    if terminal:
        assert told.startswith(
            "seed 0, epoch 1 [##########..........] step 2/4: train_loss 2, train_accuracy 25, entropy"
        )
        assert told.endswith(" left\x1b[K\r")
    else:
        assert not told
