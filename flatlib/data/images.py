"""Image sets that live on the device as uint8, augmented there; and the order in which training sees them."""

from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from flatlib.data.cifar import LAYOUTS, read_cifar


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training image; sizes in pixels."""

    padding: int  # black border on each side, from which a crop of the image's own size is taken
    flip: bool  # left-right, each image with probability 1/2
    cutout: int = 0  # side, even, of the square set to 0; its center is uniform, so that borders clip it


@dataclass(frozen=True)
class ImageSet:
    """One data set; `mean` and `std` are of the channels of training images scaled to [0, 1]."""

    name: str
    images: dict[str, torch.Tensor]  # 'train', 'test' -> (n, C, H, W) uint8
    labels: dict[str, torch.Tensor]  # 'train', 'test' -> (n,) int64
    n_classes: int
    mean: tuple[float, ...]  # (C,)
    std: tuple[float, ...]  # (C,)
    augmentation: Augmentation

    def to(self, device: torch.device | str) -> "ImageSet":
        """The same set with all tensors on `device`."""
        images = {split: tensor.to(device) for split, tensor in self.images.items()}
        return replace(self, images=images, labels={split: tensor.to(device) for split, tensor in self.labels.items()})


MOMENTS = {  # mean and std of the training images' channels
    "digits": ((0.305248,), (0.375680,)),
    "cifar10": ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)),  # DARTS's cnn/utils.py
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),  # its own; DARTS takes CIFAR-10's
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def load_images(name: str, folder: Path | None = None, n_train: int = 0) -> ImageSet:
    """A data set on the CPU; `n_train`: only so many training images, the classes balanced (0: all, in file order).

    CIFAR is read from `folder` ($FLATLIB_DATA, else ./data), see `read_cifar`; digits come with scikit-learn.
    Raises ValueError for a wrong number or file, FileNotFoundError or ImportError for what is missing.
    """
    if name == "digits":  # 1,200 to train, 597 to test; 0..16 -> 0..255; a mirrored digit is another sign
        pixels, digits = shuffled_digits()
        gray = np.rint(pixels * (255 / 16)).astype(np.uint8)[:, None]
        splits = {"train": (gray[:1200], digits[:1200]), "test": (gray[1200:], digits[1200:])}
        n_classes, augmentation = 10, Augmentation(padding=1, flip=False)
    else:
        splits, n_classes = read_cifar(name, folder), LAYOUTS[name].n_classes
        augmentation = Augmentation(padding=4, flip=True)
    images, labels = splits["train"]
    rows = training_rows(labels, n_train, name)
    splits["train"] = images[rows], labels[rows]
    tensors, targets = ({split: torch.from_numpy(both[at]) for split, both in splits.items()} for at in (0, 1))
    return ImageSet(name, tensors, targets, n_classes, *MOMENTS[name], augmentation)


def shuffled_digits() -> tuple[np.ndarray, np.ndarray]:  # (1797, 8, 8) gray values 0 to 16, (1797,) int64
    """Scikit-learn's digits in the one order that every split is cut from, Digits201's too."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ImportError("digits need scikit-learn: pip install scikit-learn, or take --dataset cifar10")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"  # seconds faster than its import
    lines = np.random.default_rng(0).permutation(np.loadtxt(file, delimiter=","))
    return lines[:, :-1].reshape(-1, 8, 8), lines[:, -1].astype(np.int64)


def training_rows(labels: np.ndarray, n_train: int, where: str) -> np.ndarray | slice:  # labels (n,)
    """The first n_train of a fixed order, 0: all in their own; ValueError, one line, for more than there are.

    The first k of the order hold each class k / n_classes times, to within 1, while each class lasts.
    """
    if not 0 <= n_train <= len(labels):
        raise ValueError(f"n_train {n_train:,}: {where} has {len(labels):,} training images; 0 takes all")
    if not n_train:
        return slice(None)
    order = np.random.default_rng(0).permutation(len(labels))
    permuted = labels[order]
    turn = np.empty_like(order)  # how many of its class come before
    for label in np.unique(permuted):
        turn[permuted == label] = np.arange((permuted == label).sum())
    return order[np.argsort(turn, kind="stable")][:n_train]


def normalize(images: torch.Tensor, image_set: ImageSet) -> torch.Tensor:  # (B, C, H, W) uint8 -> float32
    """(x / 255 - mean) / std for each channel, as (x - 255 mean) / (255 std)."""
    return (images.float() - _levels(image_set.mean, images.device)) / _levels(image_set.std, images.device)


@cache  # a copy to a GPU at each step would wait for the GPU
def _levels(values: tuple[float, ...], device: torch.device) -> torch.Tensor:  # (C, 1, 1) float32
    """Channel values on the scale 0..255. A tensor: by a plain number CUDA divides otherwise than a CPU."""
    return torch.tensor([255 * value for value in values], dtype=torch.float32, device=device).view(-1, 1, 1)


def augment(
    images: torch.Tensor,  # (B, C, H, W) uint8
    image_set: ImageSet,
    generator: torch.Generator,  # on the CPU: all devices make the same images
    part: slice = slice(None),  # of the batch, where several processes share it: draws are made for all
) -> torch.Tensor:  # (B, C, H, W) float32
    """Crop, flip, normalize, cut out, in DARTS's order: a crop's border is black, a cut-out square 0 (the mean)."""
    (n, channels, height, width), own = images.shape, image_set.augmentation
    shifts, padding = 2 * own.padding + 1, own.padding
    bounds = (shifts, shifts, 2, height, width)  # all are always drawn: crops stay the same without flip or cutout
    draws = torch.stack([torch.randint(bound, (n,), generator=generator) for bound in bounds], dim=1)[part]
    images = images[part]
    top, left, flip, y, x = sent(draws, images.device)[:, :, None].unbind(1)  # (B, 1) each
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    mirrored = torch.where((flip == 1) & own.flip, width - 1 - columns, columns)  # (B, W)
    at = (top + rows)[:, :, None] * (width + 2 * padding) + (left + mirrored)[:, None, :]  # (B, H, W) in the padded
    padded = F.pad(images, [padding] * 4).flatten(2)
    cropped = padded.gather(2, at.flatten(1)[:, None].expand(-1, channels, -1)).view(images.shape)
    result = normalize(cropped, image_set)
    if half := own.cutout // 2:  # DARTS's: from center - half up to, not including, center + half
        tall, wide = ((at >= center - half) & (at < center + half) for at, center in ((rows, y), (columns, x)))
        result.masked_fill_((tall[:, :, None] & wide[:, None, :])[:, None], 0.0)
    return result


def sent(draws: torch.Tensor, device: torch.device) -> torch.Tensor:
    """To the device; copied from pageable memory they would wait for a GPU."""
    gpu = device.type == "cuda"
    return (draws.pin_memory() if gpu else draws).to(device, non_blocking=gpu)


class Stream:
    """Batches of `indices` without replacement, pass after pass, each pass in a fresh order.

    All batches have `batch_size` indices; what is left over at the end of a pass is dropped.
    Raises ValueError for a batch size that no pass can fill.
    """

    def __init__(self, indices: torch.Tensor, batch_size: int, seed: int):
        if not 1 <= batch_size <= len(indices):
            raise ValueError(f"batch size {batch_size:,}: allowed 1 to {len(indices):,}, the images there are")
        self.indices, self.batch_size = indices, batch_size  # batches lie on the indices' device
        self.batches_per_pass = len(indices) // batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self._start_pass()

    def _start_pass(self) -> None:
        self._before = self._generator.get_state()
        order = torch.randperm(len(self.indices), generator=self._generator)
        self._batches = self.indices[order.to(self.indices.device)].split(self.batch_size)
        self._done = 0

    def next(self) -> torch.Tensor:  # (batch_size,) int64
        """The next batch."""
        if self._done == self.batches_per_pass:
            self._start_pass()
        self._done += 1
        return self._batches[self._done - 1]

    def state(self) -> dict[str, Any]:
        """What `restore` needs: the generator before this pass, and the batches taken from it."""
        return {"generator": self._before.clone(), "done": self._done}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken, with the same indices and batch size."""
        self._generator.set_state(state["generator"].cpu())
        self._start_pass()
        self._done = state["done"]


def split_halves(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """DARTS's halves of n training images, permuted: for the weights (n // 2,), for the architecture (n - n // 2,)."""
    train, valid = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tensor_split([n // 2])
    return train, valid
