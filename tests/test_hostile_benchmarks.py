"""Hostile and broken benchmark files: sees code of theirs run, a traceback, or a half-written table."""

import _codecs
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from official_file import ARCHS, FORMS, assert_refused, cell, four_cells, official, save

from flatlib.tabular.importers import import_table, table_from_api
from flatlib.tabular.streamed_pickle import StreamedUnpickler
from flatlib.tabular.table import TableError

pytestmark = pytest.mark.filterwarnings("ignore:nas-bench-201 holds")


@pytest.fixture(scope="module")
def data() -> dict:
    return four_cells()


@pytest.fixture(scope="module", params=FORMS)
def path(request, data, tmp_path_factory) -> Path:
    return save(data, tmp_path_factory.mktemp("official") / "NAS-Bench-201.pth", request.param)


# --- Hostile and broken files ------------------------------------------------------------------------


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Plain:
    """An object of a class that no table needs."""


def hostile(marker: Path) -> dict[str, object]:
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    return {
        "system": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "getattr": Call(getattr, Path(marker), "touch"),
        "object": Plain(),
        "tensor": torch.zeros(3),
        "objects": np.array([Call(eval, code)], dtype=object),
        "codec": Call(_codecs.encode, "text", "rot13"),
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", hostile(Path("marker")))
@pytest.mark.parametrize("place", ["alone", "beside", "in a trial"])
def test_hostile_files_are_refused(data, tmp_path, form, kind, place):
    """Sees code of the file's choosing run, at any depth: the marker would be there."""
    marker = tmp_path / "marker"
    bomb = hostile(marker)[kind]
    cells = {0: {training: dict(info) for training, info in data["arch2infos"][0].items()}}
    if place == "in a trial":
        results = cells[0]["full"]["all_results"]
        cells[0]["full"]["all_results"] = {key: {**trial, "net_state_dict": bomb} for key, trial in results.items()}
    content = bomb if place == "alone" else {**official(cells), **({"more": bomb} if place == "beside" else {})}
    assert_refused(save(content, tmp_path / "f.pth", form), tmp_path / "t.npz")
    assert not marker.exists()


def test_the_marker_works(tmp_path):
    """Sees hostile files that would do nothing anyway."""
    for kind in ("system", "eval", "exec"):
        pickle.loads(pickle.dumps(hostile(tmp_path / "marker")[kind]))
        (tmp_path / "marker").unlink()


@pytest.mark.parametrize(
    "text",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x04\x8c\x0bcollections\x8c\x0eabc.sys.modules\x93.",
        b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02K\x01)R.",
        b"\x80\x02\x82\x01.",
        b"P1\n.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02cnumpy\ndtype\nU\x01O\x85R.",
        b"\x80\x02X\xff\xff\xff\x7f.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"(" * 100_000 + b".",
    ],
)
def test_opcodes_beyond_plain_data(tmp_path, text):
    """Sees an opcode that reaches a function, changes a class, or asks for memory without end."""
    with pytest.raises(Exception):  # noqa: B017 - each in its own way
        StreamedUnpickler(io.BytesIO(text)).load()
    header = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    (tmp_path / "f.pth").write_bytes(header + text + pickle.dumps([], 2))
    assert_refused(tmp_path / "f.pth", tmp_path / "t.npz")


@pytest.fixture(scope="module", params=FORMS)
def whole(request, tmp_path_factory) -> tuple[bytes, Path]:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("cut")
    path = save(official({2: cell(rng, 2)}, ARCHS[:5]), folder / "whole.pth", request.param)
    return path.read_bytes(), folder


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncated_files(whole, share):
    """Sees part of a file pass for all of it."""
    content, folder = whole
    (folder / "cut.pth").write_bytes(content[: int(share * len(content))])
    assert_refused(folder / "cut.pth", folder / "t.npz")


def test_the_last_byte_counts(whole):
    """Sees a file that misses its very end."""
    content, folder = whole
    (folder / "cut.pth").write_bytes(content[:-1])
    assert_refused(folder / "cut.pth", folder / "t.npz")
    (folder / "cut.pth").write_bytes(content)
    assert len(import_table(folder / "cut.pth").archs) == 1


def changed(data: dict, change) -> dict:
    """One cell, its 200-epoch training changed."""
    info = {key: value for key, value in data["arch2infos"][0]["full"].items()}
    info["all_results"] = {key: {**trial} for key, trial in info["all_results"].items()}
    change(info)
    return official({0: {"full": info, "less": data["arch2infos"][0]["less"]}})


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.pop("arch_str"),
        lambda info: info.update(arch_str=ARCHS[1]),
        lambda info: info.update(all_results={}),
        lambda info: info["all_results"]["cifar10", 777].update(eval_acc1es={"ori-test@199": 100.5}),
        lambda info: info["all_results"]["cifar10", 777].update(eval_acc1es={"ori-test@199": -0.5}),
        lambda info: info["all_results"]["cifar10", 777].update(eval_acc1es={"ori-test@200": 50.0}),
        lambda info: info["all_results"]["cifar10", 777].update(eval_acc1es={"ori-test": 50.0}),
        lambda info: info["all_results"]["cifar10", 777].update(eval_acc1es={"ori-test@199": "50"}),
        lambda info: info["all_results"]["cifar10", 777].update(params="many\nlines"),
    ],
)
def test_records_that_do_not_agree(data, tmp_path, change):
    """Sees a wrong number, unit or cell in a table, or a traceback instead of a line."""
    assert_refused(save(changed(data, change), tmp_path / "f.pth", "legacy"), tmp_path / "t.npz")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"epoch,accuracy\n", pickle.dumps({"meta_archs": []}), b"\x80\x02}."]
)
def test_foreign_files(tmp_path, content):
    """Sees a traceback for a file of another kind."""
    (tmp_path / "f.pth").write_bytes(content)
    assert_refused(tmp_path / "f.pth", tmp_path / "t.npz")


def test_other_foreign_things(tmp_path):
    """Sees an empty folder, another zip, another torch file or another API imported, or a traceback."""
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert_refused(tmp_path / "f.zip", tmp_path / "t.npz", "not enough values")
    for data in ([], {"meta_archs": ARCHS, "arch2infos": {}}, {"meta_archs": ARCHS, "arch2infos": None}):
        assert_refused(save(data, tmp_path / "f.pth", "zip"), tmp_path / "t.npz")
    assert_refused(tmp_path / "absent.pth", tmp_path / "t.npz", "No such file")
    (tmp_path / "folder").mkdir()
    assert_refused(tmp_path / "folder", tmp_path / "t.npz", "meta.pickle.pbz2")
    with pytest.raises(TableError, match=r"dict: .*expected NAS-Bench-201"):
        table_from_api({})
