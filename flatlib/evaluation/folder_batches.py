"""Batches of a folder of images, decoded by worker processes."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from flatlib.data.image_folder import MOMENTS, ImageFolder, decode_test, decode_train
from flatlib.evaluation.batches import Batch, Share
from flatlib.run.checkpoint import RunStoppedError

TEST_BATCH = 100  # images


class _Images(Dataset):
    """Decoded images by (pass, row); what is random comes from (seed, pass, row), whoever decodes."""

    def __init__(self, folder: ImageFolder, split: str, seed: int) -> None:
        self.paths, self.labels = folder.paths[split], torch.from_numpy(folder.labels[split])
        self.seed, self.training = seed, split == "train"

    def __getitem__(self, place: tuple[int, int]) -> tuple[Tensor, Tensor]:
        turn, row = place
        path = self.paths[row]
        pixels = (
            decode_train(path, np.random.default_rng([self.seed, turn, row])) if self.training else decode_test(path)
        )
        return torch.from_numpy(pixels), self.labels[row]


def _decoded(loader: DataLoader) -> Iterator[list[Tensor]]:
    """Its batches; RunStoppedError, one line, for an image that cannot be decoded."""
    try:
        yield from loader
    except ValueError as error:  # from a worker it comes with that process's traceback
        last = str(error).strip().splitlines()[-1].removeprefix("ValueError: ")
        raise RunStoppedError(f"{last}; the same command goes on") from None


def _cores() -> int:
    """That this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class FolderBatches:
    """Of image files; a pass is a fresh order of all of them, the same for all processes."""

    def __init__(
        self,
        folder: ImageFolder,
        batch_size: int,
        seed: int,
        device: str | torch.device,
        *,
        share: Share = Share(),
        workers: int = 2,
    ) -> None:
        self.folder, self.batch_size, self.seed, self.share = folder, batch_size, seed, share
        self.device, self.part = torch.device(device), share.part(batch_size)
        self.workers = min(workers, _cores())  # of more torch warns; the images are the same
        self.n_train, self.n_test = (len(folder.labels[split]) for split in ("train", "val"))
        self.steps = self.n_train // batch_size
        self.levels = [torch.tensor(values, device=self.device).view(-1, 1, 1) for values in MOMENTS]
        self.turn, self.done = 0, 0  # passes begun before this one, batches taken from it
        self._ahead: Iterator[list[Tensor]] | None = None

    def next(self) -> Batch:
        if self.done == self.steps:
            self.turn, self.done, self._ahead = self.turn + 1, 0, None
        if self._ahead is None:
            order = np.random.default_rng([self.seed, self.turn]).permutation(self.n_train)
            rows = order[: self.steps * self.batch_size].reshape(self.steps, -1)[self.done :, self.part]
            self._ahead = self._load("train", [[(self.turn, int(row)) for row in batch] for batch in rows])
        self.done += 1
        return self._on_device(next(self._ahead))

    def test(self) -> Iterator[Batch]:
        own = range(self.share.rank, self.n_test, self.share.world)
        batches = [[(0, row) for row in own[at : at + TEST_BATCH]] for at in range(0, len(own), TEST_BATCH)]
        for batch in self._load("val", batches):
            yield self._on_device(batch)

    def _load(self, split: str, batches: list[list[tuple[int, int]]]) -> Iterator[list[Tensor]]:
        images = _Images(self.folder, split, self.seed)
        gpu = self.device.type == "cuda"
        own = torch.Generator().manual_seed(self.seed)  # nothing is drawn from it, but the global one stays untouched
        options: Any = {"batch_sampler": batches, "num_workers": self.workers, "pin_memory": gpu, "generator": own}
        return _decoded(DataLoader(images, **options))

    def _on_device(self, batch: list[Tensor]) -> Batch:
        images, labels = (part.to(self.device, non_blocking=True) for part in batch)
        mean, std = self.levels
        return (images.float() / 255 - mean) / std, labels

    def state(self) -> dict[str, Any]:
        sizes = {"n_train": self.n_train, "batch_size": self.batch_size, "images": self.folder.digest}
        return {"turn": self.turn, "done": self.done} | sizes

    def restore(self, state: dict[str, Any]) -> None:
        if state | {"turn": self.turn, "done": self.done} != self.state():
            raise ValueError(
                f"state of batches of {state['batch_size']:,} from {state['n_train']:,} images ({state['images']}); "
                f"this folder has {self.n_train:,} ({self.folder.digest}): resume with the images of the run"
            )
        self.turn, self.done, self._ahead = state["turn"], state["done"], None
