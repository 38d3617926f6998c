"""Sees a foreign file that runs code, writes outside its place, fills the memory or puts markup into a report."""

import bz2
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_notebooks import EVIL, executed, ran
from test_runs import fill, one_line, saved
from test_table_files import FULL, changed

from flatlib.display import report
from flatlib.display.evaluations import estimates, found_cells
from flatlib.evaluation.config import EvaluationConfig
from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.landscape import _path as landscape_path
from flatlib.landscape.landscape import known_landscape
from flatlib.run.checkpoint import RunError
from flatlib.search.runs import Run
from flatlib.tabular.importers import import_table
from flatlib.tabular.table import TableError
from flatlib.tabular.table_file import load_table

MARKUP = "<img src=x onerror=alert(1)>"


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def objects(marker: Path) -> np.ndarray:
    return np.array([Bomb(marker)], dtype=object)


# --- code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alphas.npy", "edge_weights.npy", "landscape"])
def test_arrays_of_a_run_hold_no_code(tmp_path, name):
    """Sees a run folder from elsewhere whose arrays of objects run code when they are read."""
    run, marker = Run.read(fill(tmp_path)), tmp_path / "marker"
    if name == "landscape":
        np.savez(landscape_path(run, LandscapeConfig()), discrete=objects(marker))
        read = known_landscape, run, LandscapeConfig()
    else:
        np.save(run.folder / name, objects(marker))
        read = Run.read, run.folder
    with pytest.raises(RunError, match="cannot be read as a run") as error:
        read[0](*read[1:])
    assert one_line(error) and not marker.exists()


@pytest.mark.parametrize("file", ["meta.pickle.pbz2", "000000.pickle.pbz2"])
def test_a_nats_folder_holds_no_code(tmp_path, file):
    """Sees a downloaded folder whose packed pickles run code."""
    folder, marker = tmp_path / "NATS-tss-v1_0-3ffb9-simple", tmp_path / "marker"
    folder.mkdir()
    for name in ("meta.pickle.pbz2", "000000.pickle.pbz2"):
        content = Bomb(marker) if name == file else {"meta_archs": []}
        (folder / name).write_bytes(bz2.compress(pickle.dumps(content)))
    with pytest.raises(TableError, match=rf"{file}: it asks for 'posix.mkdir'"):
        import_table(folder)
    assert not marker.exists()


def test_a_flipped_bit_in_a_checkpoint_is_seen(tmp_path):
    """Sees a search go on from other weights than it had: torch's reader compares no checksum."""
    folder = saved(tmp_path)
    path = folder.path / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    content[largest.header_offset + 2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="damaged, or no checkpoint of this flatlib") as error:
        folder.load()
    one_line(error)


# --- archives -------------------------------------------------------------------------------------


# --- markup, and files that are nearly right ----------------------------------------------------------


def test_a_folders_name_stays_text(tmp_path):
    """Sees the name of a run folder, which labels its cell in notebook 04, become markup in the page."""
    path = fill(tmp_path)
    shutil.move(path, tmp_path / MARKUP)
    (label,) = found_cells(Run.read_all(tmp_path))
    page = estimates({label: EvaluationConfig()}, 0, tmp_path).to_html()
    assert label == MARKUP and "<img" not in page and "&lt;img src=x" in page


@pytest.mark.parametrize("key", ["<plaintext>-valid/20/x-valid", "a&lt;b/20/x-test", "a/20/<script>", 'a"b/20/x-test'])
def test_a_tables_keys_are_plain(tmp_path, key):
    """Sees a table's own words become markup in a report: its data sets label the columns."""
    (tmp_path / "table.npz").write_bytes(changed(key, accuracy=FULL, epochs=[20], seeds=[1, 2]))
    with pytest.raises(TableError, match="is not a quantity"):
        load_table(tmp_path / "table.npz")


@pytest.mark.parametrize("card", ["[" * 100_000, json.dumps({"title": EVIL}), '{"title": ' + "9" * 5000 + "}"])
def test_a_foreign_page_does_not_end_the_index(tmp_path, card):
    """Sees a page beside the reports, in a folder that many write to, that leaves no index at all."""
    (tmp_path / "foreign.html").write_text(f'<script type="application/json" id="flatlib-card">{card}</script>')
    report.export(executed(ran("1")), tmp_path / "own.ipynb", tmp_path)
    index = report.write_index(tmp_path).read_text()
    assert index.count("<article>") == 1 and "alert(1)" not in index


@pytest.mark.parametrize("epoch", [77, 0, -1, True, MARKUP])
def test_a_result_fits_its_trace(tmp_path, epoch):
    """Sees a result of an epoch that was not run, until a figure fails of it."""
    path = fill(tmp_path)
    content = json.loads((path / "result.json").read_text()) | {"epoch": epoch}
    (path / "result.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"result.json: epoch .* of 2") as error:
        Run.read(path)
    one_line(error)
