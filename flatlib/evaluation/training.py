"""One network trained from new weights, as DARTS trains the cells it found (Sec. D.1)."""

import math
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flatlib.data.images import sent
from flatlib.evaluation.batches import Batches, batches_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.networks import Network, draw_keep
from flatlib.evaluation.processes import joined, own_share, summed
from flatlib.evaluation.runs import Epoch, EvaluationRun
from flatlib.run import loop
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.folder import Result, RunFolder, open_run
from flatlib.run.hardware import resolve_device

DECAY = 0.97  # of the learning rate, an epoch, on ImageNet


class Trainer(loop.Work):
    """Network, optimizer, data (this process's share) and trace."""

    line, n_sums = Epoch, 2  # loss, accuracy of this process's share

    def __init__(self, config: EvaluationConfig, batches: Batches, device: str | torch.device) -> None:
        device = torch.device(device)
        if device.type == "cuda":  # torch itself lets convolutions use tf32
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
        self.dtype = torch.float64 if config.precision == "float64" else torch.float32  # bf16: of the layers alone
        own = Network(config.plan(), torch.Generator().manual_seed(config.seed)).to(device, self.dtype)
        self.own = nn.utils.convert_conv2d_weight_memory_format(own, torch.channels_last)
        self.network, self.batches, self.share = joined(self.own), batches, own_share()
        sgd: Any = {"momentum": 0.9, "weight_decay": config.weight_decay, "nesterov": config.optimizer == "nesterov"}
        self.optimizer = torch.optim.SGD(self.own.parameters(), config.learning_rate, **sgd)
        self.generator = torch.Generator().manual_seed(config.seed + 2**32)  # of dropped paths
        super().__init__(config, batches.steps, device)

    def begin_epoch(self) -> None:
        super().begin_epoch()
        self.learning_rate = learning_rate(self.config, len(self.done))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate

    def step(self) -> None:
        """Descend the loss of the next batch."""
        images, labels = self.batches.next()
        self.network.train()
        logits, auxiliary = self.logits(images, self._keep())
        entropy = partial(F.cross_entropy, target=labels, label_smoothing=self.config.label_smoothing)
        loss = entropy(logits)
        total = loss if auxiliary is None else loss + self.config.auxiliary * entropy(auxiliary)
        self.optimizer.zero_grad()
        total.backward()
        if self.config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.own.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        right = (logits.detach().argmax(1) == labels).double().mean()
        self.sums += torch.stack([loss.detach().double(), 100 * right])
        self.at += 1

    def logits(self, images: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Those of both classifiers in 32 bits or 64, whatever the layers compute in."""
        images = images.to(self.device, self.dtype, memory_format=torch.channels_last)
        network = self.network if self.own.training else self.own  # a test has no gradients to average
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits, auxiliary = network(images, keep)
        return logits.to(self.dtype), None if auxiliary is None else auxiliary.to(self.dtype)

    def _keep(self) -> Tensor | None:
        """Which paths this process's images keep; its probability of losing one grows with the epochs."""
        if not self.config.drop_path:
            return None
        drop, batch_size = self.config.drop_path * len(self.done) / self.config.epochs, self.config.batch_size
        keep = draw_keep(self.own.n_droppable, batch_size, drop, self.generator).to(self.dtype)
        return sent(keep[:, self.share.part(batch_size)].contiguous(), self.device)

    @torch.no_grad()
    def test(self) -> list[float]:
        """Loss (nats), accuracy and top-5 accuracy (percent) on the whole test set."""
        self.network.eval()
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for images, labels in self.batches.test():
            logits, _ = self.logits(images)
            loss = F.cross_entropy(logits, labels, reduction="sum")
            top = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
            sums += torch.stack([loss.double(), 100.0 * top[:, 0].sum(), 100.0 * top.sum()])
        return (summed(sums) / self.batches.n_test).tolist()

    def end_epoch(self) -> None:
        """Test. RunStoppedError for a loss that is not finite."""
        loss, accuracy = (summed(self.sums.clone()) / self.at / self.share.world).tolist()
        self._check(loss)
        line = [len(self.done) + 1, loss, accuracy, *self.test(), self.learning_rate, self.seconds]
        self.done.append(Epoch._make(line))
        self.begin_epoch()

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise RunStoppedError(
                f"epoch {len(self.done) + 1}, step {self.at}: the loss is {loss}; try a smaller learning_rate (now "
                f"{self.config.learning_rate}), precision = float32 or another seed, and check that all images are fine"
            )

    def result(self) -> Result:
        return Result(self.config.genotype, len(self.done), self.done[-1]._asdict())

    def state(self) -> dict[str, Any]:
        self._check(self.sums[0].item())  # a checkpoint without a way back would be of no use
        return super().state() | {
            "network": self.own.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state(),
            "generator": self.generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.own.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.restore(state["batches"])
        self.generator.set_state(state["generator"])
        super().restore(state)


def learning_rate(config: EvaluationConfig, epoch: int) -> float:
    """During an epoch, 0 for the first: cosine to 0 or times 0.97 an epoch."""
    if config.schedule == "exponential":
        return config.learning_rate * DECAY**epoch
    return config.learning_rate * (1 + math.cos(math.pi * epoch / config.epochs)) / 2


def evaluate(
    config: EvaluationConfig,
    runs_dir: str | Path,
    *,
    data_dir: str | Path | None = None,
    workers: int = 2,  # processes that decode ImageNet
    **how: Any,  # checkpoint_seconds, on_epoch, on_step of `run_to_end`
) -> EvaluationRun:
    """Train a cell's network, go on with an interrupted training to the same bits, or read a finished one.

    The bits are the same with the same number of threads and processes; on a GPU with deterministic algorithms.
    Raises RunError (nothing was started), RunStoppedError (a loss that is not finite, too little memory, no room),
    KeyboardInterrupt, and what `batches_of` raises: one line each.
    """
    if run := EvaluationRun.finished(runs_dir, config):
        return run
    path, identity, share = EvaluationRun.path(runs_dir, config), EvaluationRun.identity(config), own_share()
    batches, device = batches_of(config, data_dir=data_dir, workers=workers), resolve_device(config.device)
    beside: Any = nullcontext(RunFolder(path, identity, writes=False))  # of the processes that are not the first
    with beside if share.rank else open_run(path, identity) as folder, loop.enough_memory():
        trainer = Trainer(config, batches, device)
        if saved := folder.load():
            trainer.restore(saved)
        folder.write_config(device=device, name=config.name, processes=share.world)
        loop.run_to_end(trainer, folder, **how)
    summed(torch.zeros(()))  # all wait here until the first has written the result
    return EvaluationRun.read(path)


def estimate(config: EvaluationConfig, *, data_dir: str | Path | None = None, workers: int = 2) -> str:
    """Time and memory of one training, one line; raises what `evaluate` would before its first step."""
    batches = batches_of(config, data_dir=data_dir, workers=workers)
    tests = batches.n_test / config.batch_size / 3  # a step without its backward half
    with loop.enough_memory():
        return loop.estimate(Trainer(config, batches, resolve_device(config.device)), extra=tests)
