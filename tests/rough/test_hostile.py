"""Sees a foreign file that runs code, writes outside its place, fills the memory or puts markup into a report."""

import bz2
import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_notebooks import EVIL, executed, ran
from test_images import write_cifar
from test_runs import fill, one_line, saved
from test_table_files import FULL, changed

from flatlib.data import cifar
from flatlib.data.cifar import read_cifar
from flatlib.display import report
from flatlib.display.evaluations import estimates, found_cells
from flatlib.evaluation.config import EvaluationConfig
from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.landscape import _path as landscape_path
from flatlib.landscape.landscape import known_landscape
from flatlib.run.checkpoint import RunError, difference
from flatlib.search.runs import read_run, read_runs
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
    run, marker = read_run(fill(tmp_path)), tmp_path / "marker"
    if name == "landscape":
        np.savez(landscape_path(run, LandscapeConfig()), discrete=objects(marker))
        read = known_landscape, run, LandscapeConfig()
    else:
        np.save(run.folder / name, objects(marker))
        read = read_run, run.folder
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


def packed(folder: Path, *more: tarfile.TarInfo) -> Path:
    """A small CIFAR-10 archive with more members at its beginning."""
    write_cifar(folder, "cifar10", packed=True, n=2)
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path) as known:
        own = [(member, known.extractfile(member).read()) for member in known]
    with tarfile.open(path, "w:gz") as tar:
        for member in more:
            tar.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)
        for member, content in own:
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 10, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size if kind == tarfile.REGTYPE else 0, target
    return info


def test_an_archive_writes_nowhere(tmp_path):
    """Sees a member that lands outside the data folder, or a link that is followed out of it."""
    data, outside = tmp_path / "data", tmp_path / "outside"
    data.mkdir()
    outside.write_text("mine")
    names = ["../outside", str(outside), "cifar-10-batches-bin/../../outside", "cifar-10-batches-bin/../outside"]
    links = [
        member("cifar-10-batches-bin/data_batch_1.bin", kind, target="../../outside")
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    ]
    archive = packed(data, *map(member, names), *links)
    assert len(read_cifar("cifar10", data)["train"][1]) == 10
    assert outside.read_text() == "mine" and list(data.iterdir()) == [archive]


def test_an_archive_does_not_fill_the_memory(tmp_path, monkeypatch):
    """Sees a small archive that unpacks to any size: one file of it, or what comes after its end."""
    monkeypatch.setattr(cifar, "LARGEST", 100_000)
    path = packed(tmp_path, member("cifar-10-batches-bin/data_batch_1.bin", size=3073 * 50))
    with pytest.raises(ValueError, match=r"damaged \(data_batch_1.bin: 153,650 bytes\)"):
        read_cifar("cifar10", tmp_path)
    path.write_bytes(gzip.compress(gzip.decompress(packed(tmp_path).read_bytes()) + bytes(50_000_000), 1))
    import tracemalloc

    tracemalloc.start()
    read_cifar("cifar10", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"damaged .*Is a directory"):
        read_cifar("cifar10", tmp_path)


# --- markup, and files that are nearly right ----------------------------------------------------------


def test_a_folders_name_stays_text(tmp_path):
    """Sees the name of a run folder, which labels its cell in notebook 04, become markup in the page."""
    path = fill(tmp_path)
    shutil.move(path, tmp_path / MARKUP)
    (label,) = found_cells(read_runs(tmp_path))
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


@pytest.mark.parametrize(
    ("name", "value"), [("epoch", 77), ("epoch", -1), ("epoch", True), ("epoch", MARKUP), ("final", {MARKUP: 1.0})]
)
def test_a_result_fits_its_trace(tmp_path, name, value):
    """Sees a result of an epoch that was not run, or a number under a foreign name, until a figure fails of it."""
    path = fill(tmp_path)
    content = json.loads((path / "result.json").read_text()) | {name: value}
    (path / "result.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"result.json: epoch .* of 2, or a number that no trace has") as error:
        read_run(path)
    one_line(error)


def test_a_foreign_name_does_not_break_the_line():
    """Sees a message of several lines, whose lines a file chose."""
    assert difference({"p": {"a\nb": 1}}, {"p": {}}) == "'a\\nb' = 1, not None"
