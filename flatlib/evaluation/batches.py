"""The batches that a training sees: images in memory or in a folder, shared out among processes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from flatlib.data.images import ImageSet, Stream, augment, load_images, normalize

Batch = tuple[Tensor, Tensor]  # images (b, C, H, W) float32, labels (b,) int64, on the device
TEST_BATCH = 500  # images


class Share(NamedTuple):
    """One of several processes."""

    rank: int = 0
    world: int = 1

    def part(self, n: int) -> slice:
        """Its part of n images, of which each has as many; ValueError, one line, where that cannot be."""
        if n % self.world:
            raise ValueError(f"batch_size = {n} with {self.world} processes: allowed: multiples of {self.world}")
        return slice(self.rank * n // self.world, (self.rank + 1) * n // self.world)


class Batches(Protocol):
    """What a training needs of its data."""

    steps: int  # training batches an epoch; what is left over of a pass is dropped
    n_test: int

    def next(self) -> Batch:
        """This process's part of the next training batch."""

    def test(self) -> Iterator[Batch]:
        """This process's part of the test set, each image once, not augmented."""

    def state(self) -> dict[str, Any]:
        """Where the training set stands, the same for all processes."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken, to the same bits."""


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
        from flatlib.data.image_folder import read_folder
        from flatlib.evaluation.folder_batches import FolderBatches

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
