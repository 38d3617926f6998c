"""NAS-Bench-201's official file as its own classes write it, small or long, with made-up numbers."""

import _codecs
import pickle
import pickletools
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from nas_201_api import NASBench201API
from nas_201_api.api_utils import ArchResults, ResultsCount

from flatlib.spaces import all_archs, arch_to_string
from flatlib.tabular.importers import import_to_file
from flatlib.tabular.table import TableError

SPLITS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("ori-test", "x-valid", "x-test"),
    "ImageNet16-120": ("ori-test", "x-valid", "x-test"),
}
SEEDS = {"full": (777, 888, 999), "less": (111,)}
ARCHS = [arch_to_string(arch) for arch in np.random.default_rng(201).permutation(all_archs())]


def percents(rng: np.random.Generator, names: list, scale: float = 100) -> dict:
    return dict(zip(names, (scale * rng.random(len(names))).tolist(), strict=True))


def trial(rng: np.random.Generator, dataset: str, arch: str, seed: int, n_epochs: int, last_only: bool) -> ResultsCount:
    """One training: every epoch of each split with times, or the last epoch only, without."""
    every = list(range(n_epochs))
    config = {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10}
    params = np.float64(0.1 + len(arch) / 100 + (dataset == "cifar100") / 10 + ARCHS.index(arch) / 1e5)
    flop = float(rng.random())
    result = ResultsCount(dataset, None, {}, {}, params, flop, config, f"{seed:04d}", n_epochs, [np.float64(0.01)])
    result.update_train_info(*(percents(rng, every) for _ in range(4)))
    if last_only:
        for split in SPLITS[dataset]:
            result.update_OLD_eval(split, {n_epochs - 1: np.float64(100 * rng.random())}, {n_epochs - 1: 0.5})
    else:
        names = [f"{split}@{epoch}" for split in SPLITS[dataset] for epoch in every]
        result.update_eval(*(percents(rng, names) for _ in range(3)))
    return result


def cell(rng: np.random.Generator, at: int, *, gaps: bool = True) -> dict:
    """Both trainings of one architecture; with gaps, seeds are missing and trials hold only their last epoch."""
    trainings = {}
    for training, n_epochs in (("full", 200), ("less", 12)):
        trainings[training] = ArchResults(at, ARCHS[at])
        for dataset in SPLITS:
            for seed in SEEDS[training]:
                if not gaps or seed != 999 or rng.random() < 0.5:
                    last_only = gaps and rng.random() < 0.3
                    trainings[training].update(dataset, seed, trial(rng, dataset, ARCHS[at], seed, n_epochs, last_only))
    return {training: results.state_dict() for training, results in trainings.items()}


def official(cells: dict[int, dict], archs: list[str] = ARCHS) -> dict:
    """What the official file holds."""
    return {
        "meta_archs": archs,
        "total_archs": len(archs),
        "basestr": "C16-N5",
        "evaluated_indexes": set(cells),
        "arch2infos": cells,
    }


def save(data: object, path: Path, form: str) -> Path:
    """Write as torch does, in its legacy or zip form."""
    torch.save(data, path, _use_new_zipfile_serialization=form == "zip")
    return path


def write_long(path: Path, n_cells: int) -> None:
    """A file of many cells, in torch's legacy form, without their objects in memory: one cell's pickle, renumbered.

    Each cell is memoized anew, as cells that were pickled one by one.
    """
    longest = max(map(len, ARCHS))
    archs = [arch for arch in ARCHS if len(arch) == longest][:n_cells]  # one length: the strings are interchangeable
    assert len(archs) == n_cells, "there are 4,096 of this length"
    rng = np.random.default_rng(0)
    template, slots, n_memo = _renumberable(cell(rng, ARCHS.index(archs[0]), gaps=False))
    head = pickle.dumps({**official({}, archs), "arch2infos": None}, 2)
    start = sum("PUT" in op.name for op, _, _ in pickletools.genops(head))  # of the cells' memo
    with open(path, "wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            file.write(pickle.dumps(part, 2))
        opened = head.removesuffix(b"Nu.")  # ..., 'arch2infos': None}
        assert len(opened) == len(head) - 3
        file.write(opened + b"}(")
        for at, arch in enumerate(archs):
            if at and at % 1000 == 0:
                file.write(b"u(")
            moved = template.copy()
            index = (slots + np.uint32(start + at * n_memo)).astype("<u4")
            where = np.flatnonzero(moved[1])
            moved[0, where] = index.view(np.uint8)
            file.write(b"J" + struct.pack("<i", at))
            file.write(moved[0].tobytes().replace(archs[0].encode(), arch.encode()))
        file.write(b"uu." + pickle.dumps([], 2))


def _renumberable(value: object) -> tuple[np.ndarray, np.ndarray, int]:
    """A pickle with long memo indices: (bytes, which of them belong to an index), the indices, their number."""
    dumped, out, mask, slots = pickle.dumps(value, 2), bytearray(), bytearray(), []
    ops = list(pickletools.genops(dumped))
    for (op, argument, at), (_, _, end) in pairwise(ops[1:]):
        if "PUT" in op.name or "GET" in op.name:
            out += (b"r" if "PUT" in op.name else b"j") + bytes(4)
            mask += bytes(1) + b"\1" * 4
            slots.append(argument)
        else:
            out += dumped[at:end]
            mask += bytes(end - at)
    return np.array([np.frombuffer(out, np.uint8), np.frombuffer(mask, np.uint8)]), np.array(slots), max(slots) + 1


FORMS = ("legacy", "zip")
ROWS = (0, 3, 11, 12)


def four_cells() -> dict:
    """Of a file with missing seeds and trials of their last epoch only."""
    rng = np.random.default_rng(7)
    return official({at: cell(rng, at) for at in reversed(ROWS)})


def real_api(path: Path) -> NASBench201API:
    """The benchmark's own reader, with what torch must be told of numpy's scalars."""
    scalar = np._core.multiarray.scalar
    safe = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, np.dtypes.Float64DType, _codecs.encode]
    with torch.serialization.safe_globals(safe):
        return NASBench201API(str(path), verbose=False)


def assert_refused(path: Path, target: Path, match: str | None = None) -> None:
    """One line that names the file, and no target."""
    with pytest.raises(TableError, match=match) as error:
        import_to_file(path, target)
    assert "\n" not in str(error.value) and path.name in str(error.value) and not target.exists()
