"""The compact table format: one `.npz` of numbers and strings, version 1, read and written.

Fields: `format`, `version`, `name`, `arch_str` (A,), optional `params_M` (A,), and for each
quantity `{dataset}/{schedule}/{split}` its accuracies, `.../epochs` and `.../seeds`.
"""

import re
import warnings
from importlib.resources import files
from pathlib import Path

import numpy as np

from flatlib.run.checkpoint import write_beside
from flatlib.spaces import NAS_BENCH_201, arch_to_string, string_to_arch
from flatlib.tabular.table import Quantity, Table, TableError, arch_number

EMBEDDED = "digits201"


def embedded_path() -> Path:
    """The Digits201 table that ships with the package."""
    return Path(str(files("flatlib.tabular") / "digits201.npz"))


def load_table(source: str | Path = EMBEDDED) -> Table:
    """Read 'digits201' or a `.npz` in the table format; TableError, one line, for anything else."""
    path = embedded_path() if str(source) == EMBEDDED else Path(source)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = {name: np.asarray(data[name]) for name in data.files}
    except Exception as error:  # numpy, zipfile, zlib and tokenize each have their own for a broken file
        reason = "no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None)
        reason = reason or str(error) or type(error).__name__
        raise TableError(
            f"{path.name}: not a readable table ({reason}); expected '{EMBEDDED}' or a .npz written by flatlib"
        ) from None
    return _table_from_arrays(path.name, arrays)


def _scalar(arrays: dict[str, np.ndarray], field: str) -> str:
    """A field of one value as text; '' where it is missing or holds more."""
    value = arrays.get(field, np.array([]))
    return str(value.ravel()[0]) if value.size == 1 else ""


def _table_from_arrays(file: str, arrays: dict[str, np.ndarray]) -> Table:
    """Check the format's fields and shapes, then build the table."""
    if _scalar(arrays, "format") != "flatlib-table":
        raise TableError(f"{file}: not a flatlib table (its field 'format' is missing or foreign)")
    if _scalar(arrays, "version") != "1":
        raise TableError(f"{file}: table version {arrays.get('version')}; this flatlib reads version 1")
    name = _scalar(arrays, "name")
    if not re.fullmatch(r"\w[\w.-]*", name):  # it names a folder of the reports
        raise TableError(f"{file}: a table needs a name of letters, digits, '.', '_' and '-'; got {name!r}")
    if "arch_str" not in arrays or arrays["arch_str"].ndim != 1:
        raise TableError(f"{file}: a table needs arch_str, one string a cell")
    try:
        archs = np.array([string_to_arch(str(text)) for text in arrays["arch_str"]]).reshape(-1, 6)
    except ValueError as error:
        raise TableError(f"{file}: {error}") from None
    if len(np.unique(arch_number(archs))) != len(archs) or not len(archs):
        raise TableError(f"{file}: a table holds each cell once, and at least one")
    quantities = {key: _quantity(file, key, arrays, len(archs)) for key in arrays if key.count("/") == 2}
    if not quantities:
        raise TableError(f"{file}: no quantity such as 'cifar10-valid/200/x-valid' in it")
    params = arrays.get("params_M")
    if params is not None and (params.shape != (len(archs),) or params.dtype.kind != "f"):
        raise TableError(f"{file}: params_M must hold one number a cell")
    table = Table(name, archs, quantities, params)
    if not table.is_whole:
        warnings.warn(f"{table.name} holds {len(archs)} of {NAS_BENCH_201.n_cells} cells", stacklevel=3)
    return table


def _quantity(file: str, key: str, arrays: dict[str, np.ndarray], n_archs: int) -> Quantity:
    """One quantity with shapes that agree and accuracies that are percent."""
    accuracy, epochs, seeds = arrays[key], arrays.get(f"{key}/epochs"), arrays.get(f"{key}/seeds")
    if epochs is None or seeds is None:
        raise TableError(f"{file}: {key} comes without its epochs or seeds")
    if not re.fullmatch(r"[\w.-]+/[1-9][0-9]*/[\w.-]+", key) or accuracy.dtype.kind != "f":
        raise TableError(f"{file}: {key} is not a quantity; expected float accuracies under dataset/epochs/split")
    if not all(axis.ndim == 1 and len(axis) and axis.dtype.kind == "i" for axis in (epochs, seeds)):
        raise TableError(f"{file}: {key} needs integer epochs and seeds, at least one of each")
    if (np.diff(epochs) <= 0).any():
        raise TableError(f"{file}: {key} has epochs that do not ascend")
    if accuracy.shape != (n_archs, len(seeds), len(epochs)):
        raise TableError(f"{file}: {key} has shape {accuracy.shape}, expected {(n_archs, len(seeds), len(epochs))}")
    if ((accuracy < 0) | (accuracy > 100)).any():  # NaN compares false
        raise TableError(f"{file}: {key} holds values that are not percent")
    return Quantity(accuracy, epochs, seeds)


def save_table(table: Table, target: Path) -> None:
    """Write the compact format: complete or absent, with a RunStoppedError, one line."""
    arrays: dict[str, np.ndarray] = {
        "format": np.array("flatlib-table"),
        "version": np.array([1]),
        "name": np.array([table.name]),
        "arch_str": np.array([arch_to_string(arch) for arch in table.archs]),
    }
    if table.params_M is not None:
        arrays["params_M"] = table.params_M.astype(np.float32)
    for key, quantity in table.quantities.items():
        arrays |= {
            key: quantity.accuracy.astype(np.float32),
            f"{key}/epochs": quantity.epochs,
            f"{key}/seeds": quantity.seeds,
        }
    write_beside(target, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))
