"""CIFAR-10 and CIFAR-100 from their official binary files, unpacked or straight from the archive."""

import gzip
import shlex
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flatlib.data.fetch import data_folder

PIXELS = 3 * 32 * 32  # bytes of an image
LARGEST = 200_000_000  # bytes of a file in an archive; the largest, train.bin, has 153,700,000


class Layout(NamedTuple):
    """An official archive: files of records, each some label bytes (the last is the class) and the pixels."""

    archive: str
    folder: str
    files: Mapping[str, Sequence[str]]  # split -> names in the folder
    label_bytes: int
    n_classes: int


BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
FINE = {"train": ["train.bin"], "test": ["test.bin"]}  # after a coarse label stands a fine one
LAYOUTS = {
    "cifar10": Layout("cifar-10-binary.tar.gz", "cifar-10-batches-bin", BATCHES, 1, 10),
    "cifar100": Layout("cifar-100-binary.tar.gz", "cifar-100-binary", FINE, 2, 100),
}


def read_cifar(name: str, folder: Path | None = None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> images (n, 3, 32, 32) uint8 and fine labels (n,) int64, in the files' order.

    Looked for in `folder` ($FLATLIB_DATA, else ./data): first the unpacked folder, then the archive, which stays
    packed. Raises FileNotFoundError where neither is there, ValueError where what is there is not whole.
    """
    layout = LAYOUTS[name]
    command = f"flatlib data fetch {name}" + (f" --folder {shlex.quote(str(folder))}" if folder else "")
    base = data_folder(folder)
    unpacked, archive = base / layout.folder, base / layout.archive
    place = unpacked if unpacked.is_dir() else archive
    if not place.exists():
        raise FileNotFoundError(f"no {layout.folder} and no {layout.archive} in {base}; get the archive: {command}")
    try:
        if place == unpacked:
            found = {path.name: path.read_bytes() for path in unpacked.glob("*.bin")}
        else:
            found = _read_archive(archive, layout.folder)
        return {split: _parse(found, layout, split) for split in layout.files}
    except (OSError, tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise ValueError(f"{place}: damaged ({error}); move it away, then: {command}") from None


def _read_archive(archive: Path, folder: str) -> dict[str, bytes]:
    """File name -> content of the .bin files there are, read to the archive's end: only there gzip compares its sum."""
    found = {}
    with gzip.open(archive) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
        for member in tar:
            path = Path(member.name)
            if path.parent == Path(folder) and path.suffix == ".bin" and member.isfile():
                if member.size > LARGEST:  # a small archive can unpack to any size
                    raise ValueError(f"{path.name}: {member.size:,} bytes")
                found[path.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
        while raw.read(1 << 20):
            pass
    return found


def _parse(found: dict[str, bytes], layout: Layout, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one split; ValueError for a missing file, a part of a record or a label out of range."""
    size, parts, labels = layout.label_bytes + PIXELS, [], []
    for file in layout.files[split]:
        if file not in found:
            raise ValueError(f"no {file}")
        content = found.pop(file)  # frees each file once it is copied
        if not content or len(content) % size:
            raise ValueError(f"{file}: {len(content):,} bytes, not whole records of {size:,} bytes")
        records = np.frombuffer(content, np.uint8).reshape(-1, size)
        parts.append(records[:, layout.label_bytes :])
        labels.append(records[:, layout.label_bytes - 1])
        if (worst := labels[-1].max()) >= layout.n_classes:
            raise ValueError(f"{file}: label {worst}, allowed 0 to {layout.n_classes - 1}")
    return np.concatenate(parts).reshape(-1, 3, 32, 32), np.concatenate(labels).astype(np.int64)
