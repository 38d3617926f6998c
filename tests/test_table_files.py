"""Files that are no tables, and places that cannot be written: sees anything but one clear line."""

import contextlib
import io
import os
import pickle
import struct
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatlib.spaces import all_archs, arch_to_string
from flatlib.tabular.table import TableError
from flatlib.tabular.table_file import load_table

KEY = "toy-valid/20/x-valid"
FULL = np.full((3, 2, 1), 50, dtype=np.float32)
CELLS = np.array([arch_to_string(arch) for arch in all_archs()[:3]])
ARRAYS = {
    "format": np.array("flatlib-table"),
    "version": np.array(1),
    "name": np.array(["tiny"]),
    "arch_str": CELLS,
    KEY: FULL,
    f"{KEY}/epochs": np.array([20]),
    f"{KEY}/seeds": np.array([1, 2]),
}


def npy(array, **options):
    """One array as the bytes of an .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array(array), **options)
    return file.getvalue()


def zipped(members):
    """A zip with these members, as bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


VALID = {f"{name}.npy": npy(array) for name, array in ARRAYS.items()}


def changed(key=KEY, **fields):
    """A valid file but for these fields; None leaves one out."""
    names = {"accuracy": key, "epochs": f"{key}/epochs", "seeds": f"{key}/seeds"}
    arrays = ARRAYS | {names.get(field, field): value for field, value in fields.items()}
    return zipped({f"{name}.npy": npy(array) for name, array in arrays.items() if array is not None})


def promising(shape):
    """A valid file with one more array, which is only its header."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}\n"
    return zipped({**VALID, "x.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()})


def assert_refused(path):
    """TableError in one line, whatever the file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "tiny holds 3 of")
        with pytest.raises(TableError) as error:
            load_table(path)
    assert str(error.value).strip() and "\n" not in str(error.value)


def test_the_valid_file_is_valid(tmp_path):
    """Sees a slip in this file: every bad file below is this one with one change."""
    (tmp_path / "table.npz").write_bytes(changed())
    with pytest.warns(UserWarning, match="tiny holds 3 of"):
        assert load_table(tmp_path / "table.npz").errors(KEY).tolist() == [50] * 3


# --- Bytes ----------------------------------------------------------------------------------------

BROKEN = {
    "empty": b"",
    "text": b"epoch,accuracy\n1,50\n",
    "zip of text": zipped({"a.txt": "a"}),
    "start of a zip": b"PK\x03\x04",
    "cut": zipped(VALID)[:-40],
    "cut early": zipped(VALID)[:300],
    "an array": npy([1, 2]),
    "version as bytes": zipped(
        {**{name: text for name, text in VALID.items() if "version" not in name}, "version": b"1"}
    ),
    "accuracies as bytes": zipped({**{name: text for name, text in VALID.items() if name != f"{KEY}.npy"}, KEY: b"1"}),
    "half a header": promising("(1,"),
    "array that is not there": promising("(100,), }"),
    "petabytes": promising("(10000000000000000,), }"),
    "yottabytes": promising("(1000000000000000000000000,), }"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused(tmp_path, case):
    """Sees the error of numpy, zipfile or zlib come through."""
    (tmp_path / "table.npz").write_bytes(BROKEN[case])
    assert_refused(tmp_path / "table.npz")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file, overwritten by each example."""
    return tmp_path_factory.mktemp("fuzz") / "table.npz"


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00", b"\x80\x04"]))
def test_random_bytes_are_refused(scratch, content, start):
    """Sees the reader's own errors come through for bytes that only begin like a file."""
    scratch.write_bytes(start + content)
    assert_refused(scratch)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, len(zipped(VALID)) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_files_are_refused_or_read(scratch, damage):
    """Sees a damaged download end in another error than the table's."""
    content = bytearray(zipped(VALID))
    for at, byte in damage:
        content[at] = byte
    scratch.write_bytes(content)
    with warnings.catch_warnings(), contextlib.suppress(TableError):
        warnings.filterwarnings("ignore", "tiny holds 3 of")
        load_table(scratch)


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickle_never_runs(tmp_path):
    """Sees a table file that can run code: the marker folder would be there."""
    path, marker = tmp_path / "table.npz", tmp_path / "marker"
    bomb = npy(np.array([Bomb(marker)], dtype=object), allow_pickle=True)
    inside = [zipped({**VALID, f"{name}.npy": bomb}) for name in ("name", "x", KEY, "arch_str")]
    for content in (*inside, bomb, pickle.dumps(Bomb(marker))):
        path.write_bytes(content)
        assert_refused(path)
        assert not marker.exists()
    np.load(path, allow_pickle=True)
    assert marker.exists()  # the bomb does work


def test_no_file_there(tmp_path):
    """Sees a folder, a missing file or an impossible name end in a traceback."""
    for path in (
        tmp_path,
        tmp_path / "missing.npz",
        tmp_path / "missing" / "t.npz",
        tmp_path / ("x" * 300),
        "",
        "a\0b",
    ):
        assert_refused(path)


# --- Fields ---------------------------------------------------------------------------------------

FIELDS = {
    "format": (None, "table", 1),
    "version": (None, 2, 0, 1.5, "one", np.nan, 1j, [], [[2], [3]]),
    "name": (None, np.array([], dtype=str), "two\nlines", "../../path", ""),
    "arch_str": (None, CELLS[0], CELLS[None], CELLS[:2], CELLS[[0, 1, 1]], ["a", "b\n", "c"], [1, 2, 3]),
    "epochs": (None, 20, [], [10, 20], ["20"], [[20]], [np.nan]),
    "seeds": (None, 1, [1], [1, 2, 3], ["1", "2"], [[1, 2]]),
    "accuracy": (FULL[:2], FULL[0], 50.0, FULL.astype(int), FULL.astype(str), FULL * 1j),
    "params_M": ([1.0, 2.0], ["1", "2", "3"]),
}


@pytest.mark.parametrize("field, value", [(field, value) for field, values in FIELDS.items() for value in values])
def test_wrong_fields_are_refused(tmp_path, field, value):
    """Sees a field of the wrong kind, shape or value that loads, to fail later or never."""
    (tmp_path / "table.npz").write_bytes(changed(**{field: value}))
    assert_refused(tmp_path / "table.npz")


@pytest.mark.parametrize("value", [100.1, -0.1, np.inf, -np.inf])
def test_accuracy_is_percent(tmp_path, value):
    """Sees one accuracy out of range, a fraction of a table in other units, or an infinity."""
    accuracy = FULL.copy()
    accuracy[1, 1, 0] = value
    (tmp_path / "table.npz").write_bytes(changed(accuracy=accuracy))
    assert_refused(tmp_path / "table.npz")


def test_epochs_ascend(tmp_path):
    """Sees 'the last epoch' or 'the nearest' read from epochs that are doubled or out of order."""
    for epochs in ([20, 20], [20, 10]):
        (tmp_path / "table.npz").write_bytes(changed(accuracy=np.repeat(FULL, 2, axis=2), epochs=epochs))
        assert_refused(tmp_path / "table.npz")


@pytest.mark.parametrize("key", ["a/0/x-test", "a/-1/x-test", "a/many/x-test", "a\nb/20/x-test"])
def test_wrong_keys_are_refused(tmp_path, key):
    """Sees a division by a schedule of 0 epochs, or a message that a key breaks into lines."""
    for fields in ({"accuracy": FULL}, {"accuracy": FULL, "epochs": [20], "seeds": [1, 2]}):
        (tmp_path / "table.npz").write_bytes(changed(key, **fields))
        assert_refused(tmp_path / "table.npz")
