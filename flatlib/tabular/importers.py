"""The real benchmark in: NAS-Bench-201's official file, a NATS-Bench folder, or an API in hand.

Each gives a `Table` in the official index order. Neither torch nor the benchmark's packages are
needed, and no code of a file's choosing runs (`streamed_pickle`).
"""

import bz2
import io
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from flatlib.spaces import NAS_BENCH_201, string_to_arch
from flatlib.tabular.streamed_pickle import StreamedUnpickler
from flatlib.tabular.table import Quantity, Table, TableError
from flatlib.tabular.table_file import reading, save_table

NAME = "nas-bench-201"
SCHEDULES = {"12": ("12", "less"), "200": ("200", "full")}  # epochs -> what NATS-Bench, NAS-Bench-201 call it
SPLITS = (("cifar10-valid", "x-valid"), ("cifar10", "ori-test"), ("cifar100", "x-valid"), ("cifar100", "x-test"),
          ("ImageNet16-120", "x-valid"), ("ImageNet16-120", "x-test"))  # fmt: skip
KEPT = {  # quantity -> whether all its epochs are kept, or the last
    f"{dataset}/{schedule}/{split}": split == "x-valid" or (dataset, schedule) == ("cifar10", 12)
    for schedule in (200, 12)
    for dataset, split in SPLITS
}
TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # opens a file of torch's legacy form
CHUNK = 1 << 20
EXPECTED = "NAS-Bench-201-v1_1-096897.pth or a NATS-tss-v1_0-3ffb9-simple folder"


class Cell(NamedTuple):
    """What is kept of one architecture."""

    arch_str: str
    params_M: float  # noqa: N815 - millions, the format's name
    accuracy: dict[tuple[str, int], np.ndarray]  # (quantity, seed) -> (epochs,) percent, float32; or (1,), the last


def import_table(source: Path) -> Table:
    """Read the official file (both of torch's forms) or a NATS-Bench folder; TableError, one line, for the rest."""
    source = Path(source)
    with tqdm(total=NAS_BENCH_201.n_cells, desc=source.name, unit=" cells", leave=False, disable=None) as bar:

        def prune(infos: dict) -> Cell:
            bar.update()
            return prune_cell(infos)

        archs, cells = (_read_folder if source.is_dir() else _read_official)(source, prune)
    with reading(source.name, EXPECTED):
        return table_from_cells(archs, cells)


def import_to_file(source: Path, target: Path) -> Table:
    """Import, then write the compact format; the target, which must not exist, is complete or absent."""
    try:
        if target.exists() or target.is_symlink():
            raise TableError(f"{target}: exists already; name a new file")
        tempfile.TemporaryFile(dir=target.parent).close()  # better known before the import than after it
    except OSError as error:
        raise TableError(f"{target}: cannot be written ({error.strerror or error}); name another place") from None
    table = import_table(source)
    save_table(table, target)
    return table


def table_from_api(api: Any) -> Table:
    """The table of a `NASBench201API` or a topology API of `nats_bench`, in fast mode of its whole folder."""
    name = type(api).__name__
    if getattr(api, "fast_mode", False):
        return import_table(Path(api.archive_dir))
    with reading(name, EXPECTED):
        infos = api.arch2infos_dict.items()
        cells = {at: prune_cell({hp: result.state_dict() for hp, result in info.items()}) for at, info in infos}
        return table_from_cells(api.meta_archs, cells)


# --- Files ----------------------------------------------------------------------------------------


def _read_official(source: Path, prune: Callable[[dict], Cell]) -> tuple[list, dict[int, Cell]]:
    """Architecture strings and cells of the official file, each cell pruned as soon as it is complete."""

    def complete(part: dict) -> Cell | None:
        whole = all(any(name in part for name in names) for names in SCHEDULES.values())
        return prune(part) if whole else None

    with reading(source.name, EXPECTED), open(source, "rb") as file:
        data = (_read_zip if file.peek(4).startswith(b"PK\x03\x04") else _read_legacy)(file, complete)
        cells = data["arch2infos"].items()
        return data["meta_archs"], {at: cell if isinstance(cell, Cell) else prune(cell) for at, cell in cells}


def _read_legacy(file: Any, complete: Callable[[dict], Cell | None]) -> dict:
    """torch.save before 1.6: a magic number, a version, the system, the object, keys of tensors."""
    if StreamedUnpickler(file).load() != TORCH_MAGIC:
        raise ValueError("not torch's")
    _, _, data, _ = (StreamedUnpickler(file, complete).load() for _ in range(4))
    return data


def _read_zip(file: Any, complete: Callable[[dict], Cell | None]) -> dict:
    """torch.save since 1.6: `NAME/data.pkl` in a zip."""
    with zipfile.ZipFile(file) as archive:
        (name,) = [name for name in archive.namelist() if re.fullmatch("[^/]+/data.pkl", name)]
        return _unpacked(archive.open(name), complete)


def _read_folder(folder: Path, prune: Callable[[dict], Cell]) -> tuple[list, dict[int, Cell]]:
    """The same of a NATS-Bench `*-simple` folder: one file an architecture and `meta.pickle.pbz2`."""
    files = sorted(file for file in folder.glob("*.pickle.pbz2") if re.fullmatch(r"\d{6}", file.name[:-12]))
    meta, cells = folder / "meta.pickle.pbz2", {}
    if not files or not meta.is_file():
        raise TableError(f"{folder.resolve().name}: no 000000.pickle.pbz2 ... and {meta.name}; expected {EXPECTED}")
    with reading(meta.name, EXPECTED):
        archs = _unpacked(bz2.BZ2File(meta))["meta_archs"]
    for file in files:
        with reading(file.name, EXPECTED):
            cells[int(file.name[:6])] = prune(_unpacked(bz2.BZ2File(file)))
    return archs, cells


def _unpacked(file: Any, complete: Callable[[dict], Cell | None] = lambda part: None) -> dict:
    """The one pickle of a packed file, read to its end, where the checksum is compared."""
    with io.BufferedReader(file, CHUNK) as packed:
        data = StreamedUnpickler(packed, complete).load()
        if packed.read(1):
            raise ValueError("more than one pickle")
    return data


# --- The benchmark's own records ------------------------------------------------------------------


def prune_cell(infos: dict) -> Cell:
    """Prune the two trainings of one architecture to the accuracies that are kept."""
    accuracy: dict[tuple[str, int], np.ndarray] = {}
    params, names = {}, set()
    for schedule, aliases in SCHEDULES.items():
        for info in [infos[name] for name in aliases if name in infos]:
            names.add(info["arch_str"])
            for dataset, seed in [(dataset, seed) for dataset, seeds in info["dataset_seed"].items() for seed in seeds]:
                trial = info["all_results"][dataset, seed]
                params[dataset] = float(trial["params"])
                accuracy |= _trial(f"{dataset}/{schedule}", int(seed), trial["eval_acc1es"])
    (arch_str,) = names
    return Cell(arch_str, params.get("cifar10-valid", params.get("cifar10", np.nan)), accuracy)


def _trial(training: str, seed: int, found: dict[str, float]) -> dict[tuple[str, int], np.ndarray]:
    """The accuracies of one trial, {'x-valid@199': percent}, as one array a split."""
    n_epochs = int(training.split("/")[1])
    curves: dict[str, np.ndarray] = {}
    for name, value in found.items():
        split, epoch = name.split("@")
        if f"{training}/{split}" in KEPT:
            curve = curves.setdefault(f"{training}/{split}", np.full(n_epochs, np.nan, dtype=np.float32))
            if value < 0 or value > 100 or not 0 <= int(epoch) < n_epochs:  # NaN is let through: not run
                raise TableError(f"{training}/{split} holds {value} at epoch {epoch} of 0-{n_epochs - 1}, no percent")
            curve[int(epoch)] = value
    return {(key, seed): curve if KEPT[key] else curve[-1:].copy() for key, curve in curves.items()}


def table_from_cells(archs: list, cells: dict[int, Cell]) -> Table:
    """Cells by official index as a table in the official order; one warning where they are part of the space."""
    order = sorted(cells)
    if any(at < 0 or archs[at] != cells[at].arch_str for at in order):
        raise TableError("a cell's string differs from the index's")
    rows = np.array([string_to_arch(archs[at]) for at in order]).reshape(-1, 6)
    if len(np.unique(rows, axis=0)) < len(rows):
        raise TableError("it holds a cell twice")
    kept = [cells[at].accuracy for at in order]
    quantities = {key: quantity for key in KEPT if (quantity := _quantity(key, kept)) is not None}
    if not quantities:
        raise TableError("it holds no trained cell")
    params = np.array([cells[at].params_M for at in order], dtype=np.float32)
    table = Table(NAME, rows, quantities, None if np.isnan(params).all() else params)
    if not table.is_whole:
        warnings.warn(f"{NAME} holds {len(rows)} of {NAS_BENCH_201.n_cells} cells", stacklevel=3)
    return table


def _quantity(key: str, cells: list[dict[tuple[str, int], np.ndarray]]) -> Quantity | None:
    """One quantity of all cells, seeds and epochs ascending; None where no cell was trained so."""
    schedule = int(key.split("/")[1])
    seeds = sorted({seed for accuracy in cells for name, seed in accuracy if name == key})
    epochs = np.arange(1, schedule + 1) if KEPT[key] else np.array([schedule])
    found = np.full((len(cells), len(seeds), len(epochs)), np.nan, dtype=np.float32)
    for row, accuracy in enumerate(cells):
        for column, seed in enumerate(seeds):
            if (key, seed) in accuracy:
                found[row, column] = accuracy[key, seed]
    run = ~np.isnan(found).all(axis=(0, 1))
    return Quantity(found[:, :, run], epochs[run], np.array(seeds)) if run.any() else None
