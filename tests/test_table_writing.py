"""Tables written: sees a temporary or half-written file left where a write failed."""

import errno

import numpy as np
import pytest

from flatlib.run.checkpoint import RunStoppedError
from flatlib.spaces import all_archs
from flatlib.tabular.table import Quantity, Table
from flatlib.tabular.table_file import save_table

KEY = "toy-valid/20/x-valid"
FULL = np.full((3, 2, 1), 50, dtype=np.float32)
TABLE = Table("tiny", all_archs()[:3], {KEY: Quantity(FULL, np.array([20]), np.array([1, 2]))})


# --- Writing --------------------------------------------------------------------------------------


def full_disk(file, **_):
    """A disk that is full after some bytes."""
    file.write(b"PK half a table")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("earlier", [None, b"the table that was there"])
def test_full_disk_leaves_nothing(tmp_path, monkeypatch, earlier):
    """Sees half a table, a forgotten temporary file, or an earlier table that was lost."""
    target = tmp_path / "table.npz"
    if earlier:
        target.write_bytes(earlier)
    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(RunStoppedError, match="No space left on device") as error:
        save_table(TABLE, target)
    assert "\n" not in str(error.value)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [earlier] * bool(earlier)


@pytest.mark.parametrize("target", ["missing/table.npz", "file/table.npz", "folder", "x" * 300])
def test_unwritable_places(tmp_path, target):
    """Sees a traceback, or a temporary file beside a target that cannot be written."""
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunStoppedError) as error:
        save_table(TABLE, tmp_path / target)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "kept"
