"""`flatlib data import`: sees a half-written target, memory that grows with the file, or a bar that miscounts."""

import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from official_file import FORMS, ROWS, four_cells, real_api, save, write_long

from flatlib import cli
from flatlib.run.checkpoint import RunStoppedError
from flatlib.spaces import arch_to_string
from flatlib.tabular import importers
from flatlib.tabular.importers import import_table, import_to_file
from flatlib.tabular.streamed_pickle import StreamedUnpickler
from flatlib.tabular.table import Quantity, Table, TableError

pytestmark = pytest.mark.filterwarnings("ignore:nas-bench-201 holds")


@pytest.fixture(scope="module")
def data() -> dict:
    return four_cells()


@pytest.fixture(scope="module", params=FORMS)
def path(request, data, tmp_path_factory) -> Path:
    return save(data, tmp_path_factory.mktemp("official") / "NAS-Bench-201.pth", request.param)


def answers(api, row: int, key: str, quantity: Quantity) -> list[list[float]]:  # (seeds, epochs)
    """What the benchmark's API says of each trial after each epoch; NaN where it knows nothing."""
    dataset, schedule, split = key.split("/")
    trials, found = api.query_by_index(row, dataset, schedule), []
    for seed in quantity.seeds:
        found.append([])
        for epoch in quantity.epochs:
            try:
                found[-1].append(trials[seed].get_eval(split, epoch - 1)["accuracy"])
            except KeyError:
                found[-1].append(np.nan)
    return found


def assert_as_the_api(table: Table, api, rows: tuple[int, ...]) -> None:
    assert [arch_to_string(arch) for arch in table.archs] == [api[row] for row in rows]
    for key, quantity in table.quantities.items():
        expected = np.array([answers(api, row, key, quantity) for row in rows], dtype=np.float32)
        np.testing.assert_array_equal(quantity.accuracy, expected, key)


# --- Places, the command, memory ---------------------------------------------------------------------


def test_places_that_cannot_be_written(path, tmp_path, monkeypatch):
    """Sees a table overwritten, half a table, a forgotten temporary file, or work before a refusal."""
    (tmp_path / "t.npz").write_text("kept")
    for target in ("t.npz", "absent/t.npz", "t.npz/t.npz", "x" * 300):
        with pytest.raises(TableError) as error:
            import_to_file(tmp_path / "never read", tmp_path / target)
        assert "\n" not in str(error.value) and "never read" not in str(error.value)

    def full_disk(file, **_):
        file.write(b"PK half a table")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(RunStoppedError, match="No space left on device"):
        import_to_file(path, tmp_path / "new.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["t.npz"] and (tmp_path / "t.npz").read_text() == "kept"


def flatlib(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from flatlib.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_the_command(path, tmp_path):
    """Sees an exit code of 0 without a table, more than a line, or a table that the list does not show."""
    done = flatlib("data", "import", path, "new.npz", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "new.npz: complete, 4 cells\n")
    assert done.stderr == "flatlib: nas-bench-201 holds 4 of 15625 cells\n"
    for source, target in ((path, "new.npz"), (tmp_path / "absent", "t.npz"), (tmp_path / "new.npz", "t.npz")):
        done = flatlib("data", "import", source, target, cwd=tmp_path)
        assert done.returncode == 1 and re.fullmatch(r"flatlib: .*\n", done.stderr)
    assert [file.name for file in tmp_path.iterdir()] == ["new.npz"]
    (tmp_path / "other.npz").write_text("no table")
    done = flatlib("data", "list", cwd=tmp_path, env={**os.environ, "FLATLIB_DATA": str(tmp_path)})
    assert done.returncode == 0 and not done.stderr
    assert len(re.findall(r"^  nas-bench-201 +4 cells  new.npz$", done.stdout, re.M)) == 1
    assert re.search(r"^  digits201 +15,625 cells  .*digits201.npz$", done.stdout, re.M)
    assert "other.npz" not in done.stdout and "4.7 GB" in done.stdout and "D-X-Y/NAS-Bench-201" in done.stdout
    for command in ("list", "import"):
        assert "Example: flatlib data " + command in flatlib("data", command, "--help").stdout


def test_progress_counts_the_cells(path, monkeypatch):
    """Sees a bar that stands still, or counts what is no cell."""
    bars = []

    class Bar:
        def __init__(self, *, total, **_):
            self.total, self.moves = total, 0
            bars.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self):
            self.moves += 1

    monkeypatch.setattr(importers, "tqdm", Bar)
    import_table(path)
    assert [(bar.total, bar.moves) for bar in bars] == [(15_625, len(ROWS))]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_stays_small(tmp_path):
    """Sees memory that grows by more than 0.12 MB a cell, 2 GB for all; torch or the APIs imported."""
    code = (
        "import re, sys, warnings; from pathlib import Path; from flatlib.tabular.importers import import_table; "
        "warnings.simplefilter('ignore'); import_table(Path(sys.argv[1])); "
        "assert not {'torch', 'nas_201_api', 'nats_bench'} & set(sys.modules); "
        r"print(re.search(r'VmHWM:\s*(\d+)', Path('/proc/self/status').read_text())[1])"
    )
    peaks = []
    for n_cells in (40, 240):
        write_long(tmp_path / "f.pth", n_cells)
        run = [sys.executable, "-c", code, str(tmp_path / "f.pth")]
        peaks.append(int(subprocess.run(run, capture_output=True, text=True, check=True).stdout) / 1024)
    assert (peaks[1] - peaks[0]) / 200 < 0.12


def test_the_long_file_is_a_valid_one(tmp_path):
    """Sees a slip in the long file, which the measurements of memory and speed rest on."""
    write_long(tmp_path / "f.pth", 3)
    table = import_table(tmp_path / "f.pth")
    assert_as_the_api(table, real_api(tmp_path / "f.pth"), (0, 1, 2))


def test_main_says_a_warning_in_one_line(monkeypatch):
    """Sees the command print a source line beside a warning."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(cli, "app", lambda: None)
    cli.main()
    assert warnings.formatwarning("this", UserWarning, "file", 1) == "flatlib: this\n"


def test_another_codec_is_refused():
    """Sees text encoded by a codec of the file's choosing."""
    with pytest.raises(TableError) as caught:
        StreamedUnpickler(io.BytesIO(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.")).load()
    assert "\n" not in str(caught.value)
