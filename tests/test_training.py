"""Sees a training step that is not the recipe's, a run that resumes elsewhere, processes that see other images."""

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kept import kept

from flatlib.data.images import ImageSet, augment, load_images, normalize
from flatlib.evaluation import __main__ as command
from flatlib.evaluation import evaluate as evaluation
from flatlib.evaluation.batches import MemoryBatches, batches_of
from flatlib.evaluation.catalogue import catalogue, find_cell, name_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.evaluate import evaluate
from flatlib.evaluation.networks import Network, draw_keep
from flatlib.evaluation.runs import finished_run, identity, read_run, read_runs, run_path
from flatlib.evaluation.training import Trainer, learning_rate
from flatlib.run.checkpoint import RunError, RunStoppedError, load_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread", "own_warnings")
TINY = EvaluationConfig(channels=2, cells=3, epochs=2, n_train=64, batch_size=16, device="cpu")
WORDS = ["--channels", "2", "--cells", "3", "--epochs", "2", "--n_train", "64", "--batch_size", "16", "--threads", "1"]
EXACT = replace(TINY, precision="float64")


def synthetic(side: int = 32, n: int = 24) -> ImageSet:
    """Noise with a class in its brightness, large enough for an auxiliary classifier."""
    digits = load_images("digits", n_train=n)
    rng = np.random.default_rng(0)
    images, labels = {}, {}
    for split, size in (("train", n), ("test", 10)):
        labels[split] = torch.from_numpy(rng.integers(0, 10, size))
        noise = torch.from_numpy(rng.integers(0, 100, (size, 3, side, side)))
        images[split] = (noise + 10 * labels[split][:, None, None, None]).to(torch.uint8)
    return replace(digits, images=images, labels=labels, mean=(0.4,) * 3, std=(0.2,) * 3)


# --- the recipe -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"auxiliary": 0.4, "drop_path": 0.5, "cutout": 16},
        {"schedule": "exponential", "label_smoothing": 0.1, "weight_decay": 3e-5, "optimizer": "nesterov"},
        {"gradient_clip": 0.0},
    ],
)
def test_the_step_is_the_recipes(changes):
    """Sees a wrong rate, loss, clip or mask: DARTS's own loop written down with torch's schedulers, in float64."""
    config = EvaluationConfig(
        dataset="cifar10", channels=2, cells=3, epochs=3, batch_size=8, precision="float64", device="cpu", **changes
    )
    images = synthetic()
    images = replace(images, augmentation=replace(images.augmentation, cutout=config.cutout))
    trainer = Trainer(config, MemoryBatches(images, 8, config.seed), "cpu")
    net = Network(config.plan(), torch.Generator().manual_seed(config.seed)).double()
    sgd = torch.optim.SGD(
        net.parameters(),
        config.learning_rate,
        0.9,
        weight_decay=config.weight_decay,
        nesterov=config.optimizer == "nesterov",
    )
    schedule = (
        torch.optim.lr_scheduler.ExponentialLR(sgd, 0.97)
        if config.schedule == "exponential"
        else torch.optim.lr_scheduler.CosineAnnealingLR(sgd, config.epochs)
    )
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    batches, masks = MemoryBatches(images, 8, config.seed), torch.Generator().manual_seed(config.seed + 2**32)
    for epoch in range(3):
        assert trainer.learning_rate == pytest.approx(schedule.get_last_lr()[0])
        drop, losses = config.drop_path * epoch / 3, []
        for _ in range(batches.steps):
            x, y = batches.next()
            keep = draw_keep(net.n_droppable, 8, drop, masks).double() if config.drop_path else None
            net.train()
            logits, auxiliary = net(x.double(), keep)
            loss = criterion(logits, y)
            losses.append(loss.item())
            if config.auxiliary:
                loss = loss + config.auxiliary * criterion(auxiliary, y)
            sgd.zero_grad()
            loss.backward()
            if config.gradient_clip:
                torch.nn.utils.clip_grad_norm_(net.parameters(), config.gradient_clip)
            sgd.step()
            trainer.step()
        schedule.step()
        net.eval()
        with torch.no_grad():
            logits = net(normalize(images.images["test"], images).double())[0]
        trainer.end_epoch()
        line = trainer.done[-1]
        assert line.train_loss == pytest.approx(np.mean(losses), rel=1e-9)
        assert line.test_loss == pytest.approx(F.cross_entropy(logits, images.labels["test"]).item(), rel=1e-7)
        right = (logits.argmax(1) == images.labels["test"]).double().mean().item()
        assert line.test_accuracy == pytest.approx(100 * right) and line.test_top5 >= line.test_accuracy
    for ours, theirs in zip(trainer.own.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_rates_at_the_paper_size():
    """Sees a cosine that does not end at 0 or a decay that is not 0.97 an epoch."""
    paper = EvaluationConfig(dataset="cifar10", epochs=600, learning_rate=0.025)
    assert learning_rate(paper, 0) == 0.025 and learning_rate(paper, 300) == pytest.approx(0.0125)
    assert learning_rate(paper, 600) == pytest.approx(0, abs=1e-12)
    imagenet = EvaluationConfig(dataset="imagenet", cells=14, epochs=250, learning_rate=0.1, schedule="exponential")
    assert learning_rate(imagenet, 249) == pytest.approx(0.1 * 0.97**249)


def test_a_small_training_learns(tmp_path):
    """Sees a network that does not train: digits after three epochs, far above one in ten."""
    run = evaluate(EvaluationConfig(channels=4, cells=3, epochs=3, device="cpu"), tmp_path)
    assert name_of(find_cell(str(run.folder))) == "DARTS_V2"  # the result says what was trained
    assert run.test_error < 40 and run.test_error == pytest.approx(100 - run.trace.epochs[-1].test_accuracy)
    assert (np.diff(run.trace.column("train_loss")) < 0).all()


def test_large_images_do_not_break_memory(tmp_path):
    """Sees torch 2.13's backward pass of a pointwise convolution of stride 2 in channels_last: C = 8, 56 pixels."""
    program = """
import torch
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.training import Trainer

class Noise:
    steps, n_test = 2, 1
    def next(self):
        return torch.randn(4, 3, 224, 224), torch.arange(4)

trainer = Trainer(EvaluationConfig(dataset="imagenet", channels=8, cells=4, batch_size=4), Noise(), "cpu")
for _ in range(2):
    trainer.step()
print(trainer.so_far.loss.item())
"""
    checked = os.environ | {"MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=checked)
    assert done.returncode == 0, done.stderr[-500:]
    assert 4 < float(done.stdout) < 12  # log 1,000 is 6.9


def test_bf16_trains_like_float32(tmp_path):
    """Sees autocast that is not used, or that spoils the loss."""
    losses = {}
    for precision in ("float32", "bf16"):
        config = replace(TINY, precision=precision, epochs=1)
        trainer = Trainer(config, batches_of(config), "cpu")
        trainer.step()
        losses[precision] = trainer.so_far.loss.item()
    assert losses["bf16"] != losses["float32"] and losses["bf16"] == pytest.approx(losses["float32"], rel=0.03)


# --- resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, stop):
    """Sees anything left out of the checkpoint: images, masks, momentum, statistics, sums of the epoch."""
    config = replace(TINY, drop_path=0.3)
    whole = evaluate(config, tmp_path / "whole")
    steps = []

    def interrupt(_, now):
        steps.append(now)
        if len(steps) == stop:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        evaluate(config, tmp_path / "cut", on_step=interrupt)
    assert finished_run(tmp_path / "cut", config) is None
    again = evaluate(config, tmp_path / "cut")
    assert [line[:-1] for line in again.trace.epochs] == [line[:-1] for line in whole.trace.epochs]
    assert kept(again.folder, identity(config)) == kept(whole.folder, identity(config))


def test_a_killed_command_goes_on_to_the_same_bits(tmp_path, capsys):
    """Sees a half-written file, or a checkpoint that is not the state between two steps."""
    assert command.start([*WORDS, "--runs_dir", str(tmp_path / "whole")]) == 0
    words = [*WORDS, "--runs_dir", str(tmp_path / "killed"), "--checkpoint-seconds", "0"]
    path = run_path(tmp_path / "killed", replace(TINY, device="auto"))
    slow = "import sys, time; from flatlib.evaluation import training, __main__ as m; plain = training.Trainer.step\n"
    slow += "training.Trainer.step = lambda self: (plain(self), time.sleep(0.3))\nsys.exit(m.start(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", slow, *words], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (path / "checkpoint.pt").exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.7)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not (path / "result.json").exists()
    capsys.readouterr()
    assert command.start(words) == 0
    assert f"going on with {path}" in capsys.readouterr().out
    config = replace(TINY, device="auto")
    whole = run_path(tmp_path / "whole", config)
    assert kept(path, identity(config)) == kept(whole, identity(config))


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
    assert "\n" not in str(error.value) and len(read_run(run_path(tmp_path, config)).trace.epochs) == 1


def test_too_little_memory_is_one_line(tmp_path, monkeypatch):
    """Sees torch's own lines, or an estimate that hides that the training will stop."""

    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore lines")

    batches = batches_of(TINY)
    monkeypatch.setattr(Trainer, "step", full)
    told = "^out of memory: take a smaller batch_size or fewer channels"
    with pytest.raises(RunStoppedError, match=rf"{told}; \S+ keeps the last checkpoint$"):
        evaluate(TINY, tmp_path)
    with pytest.raises(RunStoppedError, match=rf"{told}$"):
        evaluation.estimate(TINY, batches)


# --- several processes ----------------------------------------------------------------------------


def two_processes(*words: str) -> subprocess.CompletedProcess:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*launch, "-m", "flatlib.evaluation", *WORDS, "--device", "cpu", *words],
        capture_output=True, text=True, timeout=200, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_two_processes_compute_what_one_does(tmp_path):
    """Sees shares that overlap, statistics or gradients of one process only: gloo, float64, with dropped paths."""
    done = two_processes("--precision", "float64", "--drop_path", "0.3", "--runs_dir", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("epoch 2/2") == 1 and "Warning" not in done.stderr  # told once, and nothing else
    one = evaluate(replace(EXACT, drop_path=0.3), tmp_path / "one")
    two = read_run(run_path(tmp_path / "two", one.config))
    lines = [np.array([line[:-1] for line in run.trace.epochs]) for run in (one, two)]
    np.testing.assert_allclose(lines[1], lines[0], rtol=1e-9, atol=1e-9)
    states = [load_checkpoint(run.folder / "checkpoint.pt", identity(one.config))["network"] for run in (one, two)]
    for name, ours in states[0].items():
        torch.testing.assert_close(states[1][name], ours, rtol=1e-8, atol=1e-10, check_dtype=False)


def test_two_processes_in_bf16_and_with_loose_ends(tmp_path):
    """Sees statistics taken in bf16, or weights without a gradient that the averaging waits for."""
    done = two_processes("--precision", "bf16", "--cell", "SNAS-aggressive", "--runs_dir", str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = read_runs(tmp_path)
    one = evaluate(run.config, tmp_path / "one")
    assert run.trace.column("train_loss") == pytest.approx(one.trace.column("train_loss"), rel=0.05)


def test_two_processes_stop_together_in_one_line(tmp_path):
    """Sees the other process die with a traceback of its own when the first one stops."""
    done = two_processes("--learning_rate", "1e20", "--gradient_clip", "0", "--runs_dir", str(tmp_path))
    told = [line for line in done.stderr.splitlines() if "flatlib.evaluation: " in line]
    assert done.returncode != 0 and any("the loss is" in line for line in told)
    assert "gloo" not in done.stderr and "flatlib/evaluation" not in done.stderr  # no stack of ours


# --- folders --------------------------------------------------------------------------------------


def test_a_cell_has_one_folder_whatever_it_is_called(tmp_path):
    """Sees the same training twice, under two names of its cell; or another order of a node's inputs."""
    cell = catalogue()["DARTS_V2"].cell
    (tmp_path / "mine.json").write_text(json.dumps(cell.to_json()))
    turned = replace(cell, normal=(cell.normal[1], cell.normal[0], *cell.normal[2:]))
    names = ["DARTS_V2", "darts_v2", str(tmp_path / "mine.json"), str(cell), json.dumps(turned.to_json())]
    configs = [replace(TINY, cell=name) for name in names]
    assert len({run_path(tmp_path, config) for config in configs}) == 1 and configs[0].name == "DARTS_V2"
    found = replace(TINY, cell=json.dumps(replace(cell, normal=cell.reduce).to_json()))
    assert re.fullmatch(r"cell-[0-9a-f]{8}-digits-seed0-[0-9a-f]{8}", run_path(tmp_path, found).name)


def test_half_a_folder_is_left_out_with_one_warning(tmp_path):
    """Sees an unfinished or damaged run among the results, or one that hides the others."""
    whole = evaluate(TINY, tmp_path)
    cut, damaged = (run_path(tmp_path, replace(TINY, seed=seed)) for seed in (1, 2))
    for path in (cut, damaged):
        path.mkdir()
        stored = json.loads((whole.folder / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(stored))
        (path / "trace.csv").write_text((whole.folder / "trace.csv").read_text())
    (damaged / "result.json").write_text('{"test_error": ')
    with pytest.warns(UserWarning) as caught:
        runs = read_runs(tmp_path)
    assert [run.folder for run in runs] == [whole.folder]
    texts = sorted(str(warning.message) for warning in caught)
    assert len(texts) == 2 and all("\n" not in text and text.startswith("left out: ") for text in texts)
    assert any("not finished, 2 of 2 epochs" in text for text in texts)
    assert any("result.json: not valid JSON" in text for text in texts)


def test_another_trainings_folder_is_refused(tmp_path):
    """Sees results of other parameters taken for this run's."""
    other = evaluate(replace(TINY, epochs=1), tmp_path)
    other.folder.rename(run_path(tmp_path, TINY))
    with pytest.raises(RunError, match=r"holds another run \(epochs = 1, not 2\)"):
        evaluate(TINY, tmp_path)


# --- the command ----------------------------------------------------------------------------------


def test_what_it_prints_and_that_a_finished_training_is_read(tmp_path, capsys, monkeypatch):
    """Sees an estimate, a mean or a folder that is not told, or a training made twice."""
    words = [*WORDS, "--runs_dir", str(tmp_path), "--runs", "2"]
    assert command.start(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"2 of 2 trainings of DARTS_V2 to do, each: about \S+ \w+ for 2 epochs of 4 steps \(\S+ s a step\), "
        r".+; 1 thread, .+", lines[0]
    )  # fmt: skip
    assert re.match(r"seed 0, epoch 1/2: training \d\.\d{3} \(\d+\.\d %\), test .* left", lines[1])
    assert re.match(r"DARTS_V2, seed 0: test error \d+\.\d\d %; ", lines[3])
    assert re.fullmatch(r"test_error: \S+ \+- \S+ % \(n = 2\)", lines[7])
    monkeypatch.setattr(evaluation, "batches_of", None)
    assert command.start(words) == 0
    again = capsys.readouterr().out.splitlines()
    assert [line.replace("read from ", "") for line in again] == [lines[3], lines[6], *lines[7:]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cell", "DARTS_V3"], "no such published cell"),
        (["--cell", "Genotype(normal=[1])"], "genotype: expected exactly the fields"),
        (["--cell", '{"normal": []}'], "expected exactly the fields"),
        (["--cell", "no/such/run"], "no/such/run"),
        (["--dataset", "cifar10"], "no data/cifar-10-batches-bin; get it: flatlib"),
        (["--dataset", "imagenet", "--cells", "14"], "data/train: no images"),
        (["--n_classes", "7"], "n_classes = 7: digits has 10"),
        (["--auxiliary", "0.4"], "auxiliary = 0.4: digits"),
        (["--batch_size", "2000"], "batch_size = 2000: allowed: 2 to 1,200"),
        (["--precision", "tf32"], "precision = tf32: only a GPU has it"),
        (["--epochs", "0"], "epochs = 0: allowed: int at least 1"),
        (["--channel", "8"], "no such parameter; did you mean 'channels'"),
        (["--cells", "9", "--dataset", "cifar10", "--channels", "3"], "channels = 3: allowed: even numbers"),
        (["--cells", "4", "--cell", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "three stages"),
        (["--drop_path", "0.2", "--cells", "3", "--cell", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "none"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_any_work(words, says, tmp_path, monkeypatch, capsys):
    """Sees a traceback, a folder left behind, or a mistake found after an hour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLATLIB_DATA", raising=False)
    monkeypatch.setattr(Trainer, "step", None)
    assert command.start([*words, "--device", "cpu"]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and says in told.err and not told.out
    assert not list(tmp_path.iterdir())


def test_help_and_mistakes_do_not_wait_for_torch():
    """Sees a command that imports torch before it looks at its words."""
    program = """
import sys
sys.modules["torch"] = None
from flatlib.evaluation.__main__ import start
sys.exit(10 * start(["--help"]) + start(["--epochs", "-1"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("flatlib.evaluation: epochs = -1")
    assert "--auxiliary 0.0" in done.stdout and "torchrun" in done.stdout


def test_augmentation_reaches_the_batches():
    """Sees a cutout that is not cut, or images that are shared out wrongly."""
    config = EvaluationConfig(batch_size=8, cutout=4, seed=3, device="cpu")
    batches, again = batches_of(config), batches_of(config)
    images, labels = batches.next()
    rows = again.stream.next()
    own = augment(again.image_set.images["train"][rows], again.image_set, again.generator)
    torch.testing.assert_close(images, own, rtol=0, atol=0)
    assert (labels == again.image_set.labels["train"][rows]).all() and again.image_set.augmentation.cutout == 4
    state = copy.deepcopy(batches.state())
    after = batches.next()
    batches.restore(state)
    torch.testing.assert_close(batches.next(), after, rtol=0, atol=0)
