"""CIFAR-10 and CIFAR-100 from their official binary files."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flatlib.data.fetch import SOURCES, data_folder

PIXELS = 3 * 32 * 32  # bytes of an image


class Layout(NamedTuple):
    """Files of records, each some label bytes (the last is the class) and the pixels."""

    files: Mapping[str, Sequence[str]]  # split -> names in the folder
    label_bytes: int
    n_classes: int


LAYOUTS = {
    "cifar10": Layout({"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}, 1, 10),
    "cifar100": Layout({"train": ["train.bin"], "test": ["test.bin"]}, 2, 100),  # after a coarse label a fine one
}


def read_cifar(name: str, folder: Path | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> images (n, 3, 32, 32) uint8 and fine labels (n,) int64, in the files' order.

    Looked for in `folder` ($FLATLIB_DATA, else ./data). Raises FileNotFoundError where nothing is there, ValueError
    where what is there is not whole.
    """
    command = f"flatlib data fetch {name}" + (f" --folder {shlex.quote(str(folder))}" if folder else "")
    place = data_folder(folder) / SOURCES[name].folder
    if not place.exists():
        raise FileNotFoundError(f"no {place}; get it: {command}")
    try:
        return {split: _read(place, LAYOUTS[name], split) for split in LAYOUTS[name].files}
    except (OSError, ValueError) as error:
        raise ValueError(f"{place}: damaged ({error}); move it away, then: {command}") from None


def _read(folder: Path, layout: Layout, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one split; ValueError for a part of a record or a label out of range."""
    size, parts, labels = layout.label_bytes + PIXELS, [], []
    for file in layout.files[split]:
        content = (folder / file).read_bytes()
        if not content or len(content) % size:
            raise ValueError(f"{file}: {len(content):,} bytes, not whole records of {size:,} bytes")
        records = np.frombuffer(content, np.uint8).reshape(-1, size)
        parts.append(records[:, layout.label_bytes :])
        labels.append(records[:, layout.label_bytes - 1])
        if (worst := labels[-1].max()) >= layout.n_classes:
            raise ValueError(f"{file}: label {worst}, allowed 0 to {layout.n_classes - 1}")
    return np.concatenate(parts).reshape(-1, 3, 32, 32), np.concatenate(labels).astype(np.int64)
