"""The batches that a training sees: images in memory or in a folder, shared out among processes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from flatlib.data.images import MOMENTS, ImageSet, Stream, augment, load_images, normalize
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.processes import Share, own_share
from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.hardware import resolve_device

if TYPE_CHECKING:
    from flatlib.data.image_folder import ImageFolder

Batch = tuple[Tensor, Tensor]  # images (b, C, H, W) float32, labels (b,) int64, on the device
TEST_BATCH, FOLDER_TEST_BATCH = 500, 100  # images


class MemoryBatches:
    """Of an image set on the device."""

    def __init__(self, image_set: ImageSet, batch_size: int, seed: int, *, share: Share = Share()) -> None:
        self.image_set, self.share, self.part = image_set, share, share.part(batch_size)
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


class FolderBatches:
    """Of image files; a pass is a fresh order of all of them, the same for all processes."""

    def __init__(
        self,
        folder: "ImageFolder",
        batch_size: int,
        seed: int,
        device: str,
        *,
        share: Share = Share(),
        workers: int = 2,
    ) -> None:
        self.folder, self.batch_size, self.seed, self.share, self.workers = folder, batch_size, seed, share, workers
        self.device, self.part = torch.device(device), share.part(batch_size)
        self.n_train, self.n_test = (len(folder.labels[split]) for split in ("train", "val"))
        self.steps = self.n_train // batch_size
        self.levels = [torch.tensor(values, device=self.device).view(-1, 1, 1) for values in MOMENTS["imagenet"]]
        self.turn, self.done = 0, 0  # passes begun before this one, batches taken from it
        self._ahead: Iterator[Batch] | None = None

    def next(self) -> Batch:
        if self.done == self.steps:
            self.turn, self.done, self._ahead = self.turn + 1, 0, None
        if self._ahead is None:
            order = np.random.default_rng([self.seed, self.turn]).permutation(self.n_train)
            rows = order[: self.steps * self.batch_size].reshape(self.steps, -1)[self.done :, self.part]
            self._ahead = self._decoded("train", rows.tolist())
        self.done += 1
        return next(self._ahead)

    def test(self) -> Iterator[Batch]:
        own = range(self.share.rank, self.n_test, self.share.world)
        return self._decoded("val", [own[at : at + FOLDER_TEST_BATCH] for at in range(0, len(own), FOLDER_TEST_BATCH)])

    def _decoded(self, split: str, batches: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Batches of these rows; RunStoppedError, one line, for an image that cannot be decoded."""
        places = ([(split, self.seed, self.turn, row) for row in rows] for rows in batches)
        gpu = self.device.type == "cuda"
        own = torch.Generator().manual_seed(self.seed)  # nothing is drawn from it, but the global one stays untouched
        options: Any = {"batch_sampler": places, "num_workers": self.workers, "pin_memory": gpu, "generator": own}
        mean, std = self.levels
        try:
            for batch in DataLoader(self.folder, **options):
                pixels, labels = (part.to(self.device, non_blocking=True) for part in batch)
                yield (pixels.float() / 255 - mean) / std, labels
        except ValueError as error:  # from a worker it comes with that process's traceback
            last = str(error).strip().splitlines()[-1].removeprefix("ValueError: ")
            raise RunStoppedError(f"{last}; the same command goes on") from None

    def state(self) -> dict[str, Any]:
        return {"turn": self.turn, "done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        self.turn, self.done, self._ahead = state["turn"], state["done"], None


Batches = MemoryBatches | FolderBatches


def batches_of(config: EvaluationConfig, *, data_dir: str | Path | None = None, workers: int = 2) -> Batches:
    """A training's images, this process's share, from `data_dir` ($FLATLIB_DATA, else ./data).

    ValueError or FileNotFoundError, one line, for what is missing, wrong or too little.
    """
    device, folder = resolve_device(config.device), Path(data_dir) if data_dir else None
    if config.precision == "tf32" and device == "cpu":
        raise ValueError("precision = tf32: only a GPU has it; allowed on a processor: float32, bf16, float64")
    if config.dataset == "imagenet":
        from flatlib.data.image_folder import read_folder  # needs Pillow

        images: Any = read_folder(folder, config.images.n_classes, config.n_train)
    else:
        images = load_images(config.dataset, folder, config.n_train)
    if config.batch_size > (n := len(images.labels["train"])):
        raise ValueError(f"batch_size = {config.batch_size}: allowed: 2 to {n:,}, the training images there are")
    if config.dataset == "imagenet":
        return FolderBatches(images, config.batch_size, config.seed, device, share=own_share(), workers=workers)
    images = replace(images, augmentation=replace(images.augmentation, cutout=config.cutout)).to(device)
    return MemoryBatches(images, config.batch_size, config.seed, share=own_share())
