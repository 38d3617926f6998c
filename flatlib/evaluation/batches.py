"""The batches that a training sees: images in memory or in a folder, shared out among processes."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from flatlib.data.image_folder import MOMENTS, ImageFolder, decode_test, decode_train, read_folder
from flatlib.data.images import ImageSet, Stream, augment, load_images, normalize
from flatlib.run.checkpoint import RunStoppedError

Batch = tuple[Tensor, Tensor]  # images (b, C, H, W) float32, labels (b,) int64, on the device
TEST_BATCH, FOLDER_TEST_BATCH = 500, 100  # images


class Share(NamedTuple):
    """One of several processes."""

    rank: int = 0
    world: int = 1

    def part(self, n: int) -> slice:
        """Its part of n images, of which each has as many; ValueError, one line, where that cannot be."""
        if n % self.world:
            raise ValueError(f"batch_size = {n} with {self.world} processes: allowed: multiples of {self.world}")
        return slice(self.rank * n // self.world, (self.rank + 1) * n // self.world)


class MemoryBatches:
    """Of an image set on the device."""

    def __init__(self, image_set: ImageSet, batch_size: int, seed: int, *, share: Share = Share()) -> None:
        self.image_set, self.share = image_set, share
        self.part = share.part(batch_size)
        labels = image_set.labels["train"]
        self.stream = Stream(torch.arange(len(labels), device=labels.device), batch_size, 2 * seed)
        self.generator = torch.Generator().manual_seed(2 * seed + 1)  # of the augmentation
        self.steps, self.n_test = self.stream.batches_per_pass, len(image_set.labels["test"])

    def next(self) -> Batch:
        rows = self.stream.next()
        images = augment(self.image_set.images["train"][rows], self.image_set, self.generator, self.part)
        return images, self.image_set.labels["train"][rows][self.part]

    def test(self) -> Iterator[Batch]:
        own = torch.arange(self.share.rank, self.n_test, self.share.world, device=self.image_set.labels["test"].device)
        for rows in own.chunk(-(-len(own) // TEST_BATCH)):
            yield normalize(self.image_set.images["test"][rows], self.image_set), self.image_set.labels["test"][rows]

    def state(self) -> dict[str, Any]:
        return {"stream": self.stream.state(), "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.stream.restore(state["stream"])
        self.generator.set_state(state["generator"])


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
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = min(workers, cores)  # of more torch warns; the images are the same
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
        batches = [
            [(0, row) for row in own[at : at + FOLDER_TEST_BATCH]] for at in range(0, len(own), FOLDER_TEST_BATCH)
        ]
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
        return {"turn": self.turn, "done": self.done, "images": self.folder.digest}

    def restore(self, state: dict[str, Any]) -> None:
        if state["images"] != self.folder.digest:
            raise ValueError(
                f"state of other images ({state['images']}) than this folder's ({self.folder.digest}): resume with the "
                "images of the run"
            )
        self.turn, self.done, self._ahead = state["turn"], state["done"], None


Batches = MemoryBatches | FolderBatches


def load_batches(
    dataset: str,
    *,
    data_dir: Path | None = None,  # $FLATLIB_DATA, else ./data
    n_train: int = 0,  # training images, the classes balanced; 0: all
    n_classes: int,
    batch_size: int,
    cutout: int = 0,  # side of the square, pixels
    seed: int = 0,
    device: str | torch.device = "cpu",
    share: Share = Share(),
    workers: int = 2,  # processes that decode images of a folder
) -> Batches:
    """A data set's batches. ValueError or FileNotFoundError, one line, for what is missing, wrong or too little."""
    if dataset == "imagenet":
        folder = read_folder(data_dir, n_classes, n_train)
        check_batch(batch_size, len(folder.labels["train"]))
        return FolderBatches(folder, batch_size, seed, device, share=share, workers=workers)
    images = load_images(dataset, data_dir, n_train)
    check_batch(batch_size, len(images.labels["train"]))
    images = replace(images, augmentation=replace(images.augmentation, cutout=cutout))
    return MemoryBatches(images.to(device), batch_size, seed, share=share)


def check_batch(batch_size: int, n: int) -> None:
    if batch_size > n:
        raise ValueError(f"batch_size = {batch_size}: allowed: 2 to {n:,}, the training images there are")
