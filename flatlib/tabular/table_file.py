"""The compact table format: one `.npz` of numbers and strings, version 1, read and written; which there are.

Fields: `format`, `version`, `name`, `arch_str` (A,), optional `params_M` (A,), and for each
quantity `{dataset}/{schedule}/{split}` its accuracies, `.../epochs` and `.../seeds`.
"""

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import numpy as np

from flatlib.run.checkpoint import write_beside
from flatlib.spaces import NAS_BENCH_201, arch_to_string, string_to_arch
from flatlib.tabular.table import Quantity, Table, TableError, arch_number

EMBEDDED, FORMAT, VERSION = "digits201", "flatlib-table", 1
ELSEWHERE = """
NAS-Bench-201-v1_1-096897.pth, 4.7 GB, from github.com/D-X-Y/NAS-Bench-201
  flatlib data import NAS-Bench-201-v1_1-096897.pth nb201.npz
  enables: notebooks 01 and 02 on the paper's own data, at every epoch

NATS-tss-v1_0-3ffb9-simple.tar, about 1.3 GB, from github.com/D-X-Y/NATS-Bench
  flatlib data import NATS-tss-v1_0-3ffb9-simple nb201.npz, once unpacked
  enables: the same, of the benchmark's later edition

CIFAR-10 and CIFAR-100, 170 MB each, from www.cs.toronto.edu/~kriz/cifar.html
  flatlib data fetch cifar10, flatlib data fetch cifar100
  enables: searches and trainings on the images"""


def embedded_path() -> Path:
    """The Digits201 table that ships with the package."""
    return Path(str(files("flatlib.tabular") / "digits201.npz"))


def load_table(source: str | Path = EMBEDDED) -> Table:
    """Read 'digits201' or a `.npz` in the table format; TableError, one line, for anything else."""
    path = embedded_path() if str(source) == EMBEDDED else Path(source).expanduser()
    with reading(path.name, f"'{EMBEDDED}' or a .npz written by flatlib"):
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = {name: np.asarray(data[name]) for name in data.files}
        table = _table_from_arrays(arrays)
    if not table.is_whole:
        warnings.warn(f"{table.name} holds {len(table.archs)} of {NAS_BENCH_201.n_cells} cells", stacklevel=2)
    return table


@contextmanager
def reading(name: str, expected: str) -> Iterator[None]:
    """TableError, one line that names the file, for all that a damaged or foreign one may raise."""
    try:
        yield
    except Exception as error:  # numpy, zipfile, zlib, bz2 and pickle's opcodes each have their own
        why = str(error) if isinstance(error, TableError) else getattr(error, "strerror", None)
        why = why or f"damaged, or of another kind ({type(error).__name__}: {error!s:.100})"
        raise TableError(f"{name}: {why}; expected {expected}") from None


def save_table(table: Table, target: Path) -> None:
    """Write the compact format: complete or absent, with a RunStoppedError, one line."""
    arrays: dict[str, np.ndarray] = {
        "format": np.array(FORMAT),
        "version": np.array([VERSION]),
        "name": np.array([table.name]),
        "arch_str": np.array([arch_to_string(arch) for arch in table.archs]),
    }
    if table.params_M is not None:
        arrays["params_M"] = table.params_M.astype(np.float32)
    for key, quantity in table.quantities.items():
        arrays[key] = quantity.accuracy.astype(np.float32)
        arrays |= {f"{key}/epochs": quantity.epochs, f"{key}/seeds": quantity.seeds}
    write_beside(target, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def listing() -> str:
    """The tables on this machine and how to get the rest, CIFAR too, as plain text."""
    found: dict[Path, tuple[str, str, Path]] = {}  # name, size, path; $FLATLIB_DATA may hold the current folder
    below = os.environ.get("FLATLIB_DATA")
    for path in [embedded_path(), *sorted(Path().glob("*.npz")), *sorted(Path(below).rglob("*.npz") if below else ())]:
        # the accuracies stay unread; a file that is no table is left out
        with suppress(Exception), open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            if _text(data, "format") == FORMAT:
                found.setdefault(path.resolve(), (_text(data, "name")[:40], f"{len(data['arch_str']):,} cells", path))
    lines = [f"  {name:14}  {cells:>12}  {path}" for name, cells, path in found.values()]
    return "\n".join(["On this machine (here and below $FLATLIB_DATA):", *lines, ELSEWHERE])


# --- checks ---------------------------------------------------------------------------------------


def _text(arrays: Mapping[str, np.ndarray], field: str) -> str:
    """A field of one value as text; '' where it is missing or holds more."""
    value = arrays.get(field, np.array([]))
    return str(value.ravel()[0]) if value.size == 1 else ""


def _table_from_arrays(arrays: dict[str, np.ndarray]) -> Table:
    """Check the format's fields and shapes, then build the table."""
    name, cells, params = _text(arrays, "name"), arrays.get("arch_str"), arrays.get("params_M")
    if _text(arrays, "format") != FORMAT or _text(arrays, "version") != str(VERSION):
        raise TableError(f"not a flatlib table of version {VERSION} (see its fields 'format' and 'version')")
    if not re.fullmatch(r"\w[\w.-]*", name):  # it names a folder of the reports
        raise TableError(f"a table needs a name of letters, digits, '.', '_' and '-'; got {name!r}")
    if cells is None or cells.ndim != 1:
        raise TableError("a table needs arch_str, one string a cell")
    archs = np.array([string_to_arch(str(text)) for text in cells]).reshape(-1, 6)
    if len(np.unique(arch_number(archs))) != len(archs) or not len(archs):
        raise TableError("a table holds each cell once, and at least one")
    quantities = {key: _quantity(key, arrays, len(archs)) for key in arrays if key.count("/") == 2}
    if not quantities:
        raise TableError("no quantity such as 'cifar10-valid/200/x-valid' in it")
    if params is not None and (params.shape != (len(archs),) or params.dtype.kind != "f"):
        raise TableError("params_M must hold one number a cell")
    return Table(name, archs, quantities, params)


def _quantity(key: str, arrays: dict[str, np.ndarray], n_archs: int) -> Quantity:
    """One quantity with shapes that agree and accuracies that are percent."""
    accuracy, epochs, seeds = arrays[key], arrays.get(f"{key}/epochs"), arrays.get(f"{key}/seeds")
    if not re.fullmatch(r"[\w.-]+/[1-9][0-9]*/[\w.-]+", key) or accuracy.dtype.kind != "f":
        raise TableError(f"{key} is not a quantity; expected float accuracies under dataset/epochs/split")
    if epochs is None or seeds is None or epochs.dtype.kind != "i" or seeds.dtype.kind != "i":
        raise TableError(f"{key} needs integer epochs and seeds")
    if accuracy.shape != (n_archs, *seeds.shape, *epochs.shape) or accuracy.ndim != 3 or not accuracy.size:
        raise TableError(f"{key} has shape {accuracy.shape}, expected ({n_archs}, seeds, epochs)")
    if (np.diff(epochs) <= 0).any():
        raise TableError(f"{key} has epochs that do not ascend")
    if ((accuracy < 0) | (accuracy > 100)).any():  # NaN compares false
        raise TableError(f"{key} holds values that are not percent")
    return Quantity(accuracy, epochs, seeds)
