"""Sees a training step that is not the recipe's, or a network that does not train."""

import copy
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from flatlib.data.images import ImageSet, augment, load_images, normalize
from flatlib.evaluation.batches import MemoryBatches, batches_of
from flatlib.evaluation.catalogue import find_cell, name_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.networks import Network, draw_keep
from flatlib.evaluation.training import Trainer, evaluate, learning_rate

pytestmark = pytest.mark.usefixtures("own_warnings")
TINY = EvaluationConfig(channels=2, cells=3, epochs=2, n_train=64, batch_size=16, device="cpu")
WORDS = ["--channels", "2", "--cells", "3", "--epochs", "2", "--n_train", "64", "--batch_size", "16"]
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
print(trainer.so_far()["train_loss"])
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
        losses[precision] = trainer.so_far()["train_loss"]
    assert losses["bf16"] != losses["float32"] and losses["bf16"] == pytest.approx(losses["float32"], rel=0.03)


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
