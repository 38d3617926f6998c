"""The real benchmark in: NAS-Bench-201's official file, a NATS-Bench folder, or an API in hand.

Each gives a `Table` in the official index order. Neither torch nor the benchmark's packages are
needed, and no code of a file's choosing runs (`streamed_pickle`).
"""

import bz2
import contextlib
import io
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from flatlib.spaces import NAS_BENCH_201
from flatlib.tabular.official import SCHEDULES, Cell, prune_cell, table_from_cells
from flatlib.tabular.streamed_pickle import StreamedUnpickler
from flatlib.tabular.table import Table, TableError
from flatlib.tabular.table_file import save_table

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # opens a file of torch's legacy form
CHUNK = 1 << 20
WHAT_IS_READ = "expected NAS-Bench-201-v1_1-096897.pth or a NATS-tss-v1_0-3ffb9-simple folder"
Progress = Callable[..., Any]  # tqdm, or something like it


def import_table(source: Path, *, progress: Progress | None = None) -> Table:
    """Read the official file (both of torch's forms) or a NATS-Bench folder; TableError, one line, for the rest."""
    source = Path(source)
    if source.is_dir():
        return _warned(_import_folder(source, progress))
    with _named(source.name), open(source, "rb", buffering=CHUNK) as file, _bar(progress, source) as move:
        table = table_from_cells(*_read_official(file, move))
    return _warned(table)


def import_to_file(source: Path, target: Path, *, progress: Progress | None = None) -> Table:
    """Import, then write the compact format; the target, which must not exist, is complete or absent."""
    try:
        if target.exists() or target.is_symlink():
            raise TableError(f"{target}: exists already; name a new file")
        tempfile.TemporaryFile(dir=target.parent).close()  # better known before the import than after it
    except OSError as error:
        raise TableError(f"{target}: cannot be written ({error.strerror or error}); name another place") from None
    table = import_table(source, progress=progress)
    save_table(table, target)
    return table


def table_from_api(api: Any) -> Table:
    """The table of a `NASBench201API` or a topology API of `nats_bench`, in fast mode of its whole folder."""
    name = type(api).__name__
    if not hasattr(api, "meta_archs") or not hasattr(api, "arch2infos_dict"):
        raise TableError(f"{name}: not an API of the benchmark; expected NASBench201API or nats_bench's 'tss'")
    folder = getattr(api, "archive_dir", None) if getattr(api, "fast_mode", False) else None
    if folder:
        return import_table(Path(folder))
    infos = api.arch2infos_dict.items()
    with _named(name):
        cells = {at: prune_cell({hp: result.state_dict() for hp, result in info.items()}) for at, info in infos}
        table = table_from_cells(api.meta_archs, cells)
    return _warned(table)


def _warned(table: Table) -> Table:
    """One warning where the table holds part of the space, as when it is loaded."""
    if not table.is_whole:
        warnings.warn(f"{table.name} holds {len(table.archs)} of {NAS_BENCH_201.n_cells} cells", stacklevel=3)
    return table


# --- Files ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Every failure to read as one line that names the file."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise TableError(f"{name}: {str(error.strerror).lower()}; {WHAT_IS_READ}") from None
    except TableError as error:
        raise TableError(f"{name}: refused, {error}; {WHAT_IS_READ}") from None
    except Exception as error:  # pickle's opcodes, zipfile, bz2 and strings of any kind each fail in their own way
        reason = f"{type(error).__name__}: {error}"[:120]
        raise TableError(f"{name}: truncated, or not of the benchmark ({reason}); {WHAT_IS_READ}") from None


@contextlib.contextmanager
def _bar(progress: Progress | None, source: Path) -> Iterator[Callable[[int], object]]:
    """A bar over the bytes of a file or a folder, as a function that takes the bytes just read."""
    if progress is None:
        yield lambda count: None
        return
    files = source.glob("*.pbz2") if source.is_dir() else [source]
    size = sum(file.stat().st_size for file in files)
    with progress(total=size, unit="B", unit_scale=True, desc=source.name, leave=False, disable=None) as bar:
        yield bar.update


def _read_official(file: Any, move: Callable[[int], object]) -> tuple[list, dict]:
    """Architecture strings and cells of the official file, each cell pruned as soon as it is complete."""
    at = 0

    def complete(part: dict) -> Cell | None:
        nonlocal at
        if not all(any(name in part for name in names) for names in SCHEDULES.values()):
            return None
        at, before = file.tell(), at
        move(at - before)
        return prune_cell(part)

    is_zip = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    data = _read_zip(file, complete) if is_zip else _read_legacy(file, complete)
    cells = data["arch2infos"].items()
    return data["meta_archs"], {at: cell if isinstance(cell, Cell) else prune_cell(cell) for at, cell in cells}


def _read_legacy(file: BinaryIO, complete: Callable[[dict], Cell | None]) -> dict:
    """torch.save before 1.6: a magic number, a version, the system, the object, keys of tensors."""
    if file.read(1) != b"\x80":  # any pickle of protocol 2 or later
        raise ValueError("no pickle")
    file.seek(0)
    if StreamedUnpickler(file).load() != TORCH_MAGIC:
        raise ValueError("a pickle, but not torch's")
    StreamedUnpickler(file).load(), StreamedUnpickler(file).load()
    data = StreamedUnpickler(file, complete).load()
    if StreamedUnpickler(file).load() != []:
        raise ValueError("it holds tensors")
    return data


def _read_zip(file: BinaryIO, complete: Callable[[dict], Cell | None]) -> dict:
    """torch.save since 1.6: `NAME/data.pkl` in a zip; read to its end, where the checksum is compared."""
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("a zip, but not torch's")
        with io.BufferedReader(archive.open(names[0]), CHUNK) as member:  # type: ignore[type-var]
            data = StreamedUnpickler(member, complete).load()
            if member.read(1):
                raise ValueError("more than one pickle")
    return data


def _import_folder(folder: Path, progress: Progress | None) -> Table:
    """A NATS-Bench `*-simple` folder: one file an architecture and `meta.pickle.pbz2`."""
    files = sorted(file for file in folder.glob("*.pickle.pbz2") if re.fullmatch(r"\d{6}", file.name[:-12]))
    if not files or not (folder / "meta.pickle.pbz2").is_file():
        raise TableError(
            f"{folder.resolve().name}: no 000000.pickle.pbz2 ... and meta.pickle.pbz2 in it; {WHAT_IS_READ}"
        )
    cells = {}
    with _bar(progress, folder) as move:
        archs = _unpickle_bz2(folder / "meta.pickle.pbz2", lambda data: data["meta_archs"])
        for file in files:
            cells[int(file.name[:6])] = _unpickle_bz2(file, prune_cell)
            move(file.stat().st_size)
    with _named(folder.name):
        return table_from_cells(archs, cells)


def _unpickle_bz2(path: Path, use: Callable[[dict], Any]) -> Any:
    with _named(path.name), bz2.open(path) as packed, io.BufferedReader(packed, CHUNK) as file:
        value = use(StreamedUnpickler(file).load())
        if file.read(1):
            raise ValueError("more than one pickle")
    return value
