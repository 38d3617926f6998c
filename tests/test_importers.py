"""The real benchmark in: sees wrong numbers, code that runs, half a file that passes, memory that grows."""

import _codecs
import bz2
import io
import os
import pickle
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nas_201_api import NASBench201API
from nats_bench import create
from official_file import ARCHS, cell, official, save, write_long

from flatlib import cli
from flatlib.run.checkpoint import RunStoppedError
from flatlib.spaces import arch_to_string
from flatlib.tabular import importers
from flatlib.tabular.importers import KEPT, import_table, import_to_file, table_from_api
from flatlib.tabular.streamed_pickle import StreamedUnpickler
from flatlib.tabular.table import Quantity, Table, TableError
from flatlib.tabular.table_file import load_table

FORMS = ("legacy", "zip")
ROWS = (0, 3, 11, 12)
pytestmark = pytest.mark.filterwarnings("ignore:nas-bench-201 holds")


@pytest.fixture(scope="module")
def data() -> dict:
    """Four cells with missing seeds and trials of their last epoch only."""
    rng = np.random.default_rng(7)
    return official({at: cell(rng, at) for at in reversed(ROWS)})


@pytest.fixture(scope="module", params=FORMS)
def path(request, data, tmp_path_factory) -> Path:
    return save(data, tmp_path_factory.mktemp("official") / "NAS-Bench-201.pth", request.param)


def real_api(path: Path) -> NASBench201API:
    """The benchmark's own reader, with what torch must be told of numpy's scalars."""
    scalar = np._core.multiarray.scalar
    safe = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, np.dtypes.Float64DType, _codecs.encode]
    with torch.serialization.safe_globals(safe):
        return NASBench201API(str(path), verbose=False)


def assert_equal(table: Table, other: Table) -> None:
    assert (table.archs == other.archs).all() and table.quantities.keys() == other.quantities.keys()
    np.testing.assert_array_equal(table.params_M, other.params_M)
    for key, quantity in table.quantities.items():
        for field in Quantity.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(quantity, field), getattr(other.quantities[key], field))


def assert_refused(path: Path, target: Path, match: str | None = None) -> None:
    """One line from the function, one line from the command, and no target."""
    with pytest.raises(TableError, match=match) as error:
        import_to_file(path, target)
    assert "\n" not in str(error.value) and path.name in str(error.value) and not target.exists()


# --- Numbers ---------------------------------------------------------------------------------------


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


def test_the_api_gives_the_same_numbers(path, data):
    """Sees a seed, an epoch, a split, a training or a cell mistaken for another; a missing run that is a number."""
    table, api = import_table(path), real_api(path)
    assert_as_the_api(table, api, ROWS)
    assert list(table.quantities) == list(KEPT)
    for key, quantity in table.quantities.items():
        schedule = int(key.split("/")[1])
        assert quantity.epochs.tolist() == (list(range(1, schedule + 1)) if KEPT[key] else [schedule])
        seeds = {seed for row in ROWS for seed in api.query_by_index(row, key.split("/")[0], str(schedule))}
        assert quantity.seeds.tolist() == sorted(seeds) and quantity.accuracy.dtype == np.float32
    search = table.quantities["cifar10-valid/200/x-valid"].accuracy
    assert np.isnan(search).all(2).any() and (np.isnan(search).sum(2) == 199).any()  # both kinds of gaps are here
    expected = [api.query_by_index(row, "cifar10-valid", "200")[777].params for row in ROWS]
    np.testing.assert_array_equal(table.params_M, np.float32(expected))
    assert_equal(table, table_from_api(api))


def test_the_file_is_as_the_table(path, tmp_path):
    """Sees a table that a file does not give back, or a part of the space that passes for the whole."""
    with pytest.warns(UserWarning, match="nas-bench-201 holds 4 of 15625 cells"):
        table = import_to_file(path, tmp_path / "t.npz")
    assert_equal(table, load_table(tmp_path / "t.npz"))
    assert table.name == "nas-bench-201" and table.search_key() == "cifar10-valid/200/x-valid"
    assert set(table.targets()) == {"CIFAR-10", "CIFAR-100", "ImageNet-16-120"}


def test_a_nats_folder(data, tmp_path):
    """Sees a NATS-Bench folder read otherwise than its API reads it, in any of its modes."""
    folder = tmp_path / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    (folder / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(official({}))))
    for at, infos in data["arch2infos"].items():
        content = pickle.dumps({"12": infos["less"], "200": infos["full"]}, 4)
        (folder / f"{at:06d}.pickle.pbz2").write_bytes(bz2.compress(content))
    api, table = create(str(folder), "tss", fast_mode=True, verbose=False), import_table(folder)
    assert_as_the_api(table, api, ROWS)
    assert_equal(table, table_from_api(api))
    infos = {at: {"12": infos["less"], "200": infos["full"]} for at, infos in data["arch2infos"].items()}
    assert_equal(table, table_from_api(create({**data, "arch2infos": infos}, "tss", fast_mode=False, verbose=False)))
    (folder / "000011.pickle.pbz2").write_bytes(b"BZh9 no more")
    assert_refused(folder / "000011.pickle.pbz2", tmp_path / "t.npz", "damaged, or")
    with pytest.raises(TableError, match="000011"):
        import_table(folder)


def test_parts_that_cells_share(data, tmp_path):
    """Sees strings that the writer shares among all cells forgotten with the first cell."""
    shared: dict[str, str] = {}

    def one_object(value):
        if isinstance(value, dict):
            return {one_object(key): one_object(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(one_object, value))
        return shared.setdefault(value, value) if isinstance(value, str) else value

    other = save(official(one_object(data["arch2infos"])), tmp_path / "shared.pth", "legacy")
    assert_equal(import_table(other), import_table(save(data, tmp_path / "own.pth", "legacy")))


def test_what_cells_share_beyond_that_is_refused(data, tmp_path):
    """Sees a container that was forgotten and needed again read as empty, or as not run."""
    first, last = list(data["arch2infos"])[:2]
    cells = {at: {name: dict(info) for name, info in data["arch2infos"][at].items()} for at in (first, last)}
    cells[last]["full"]["all_results"] = cells[first]["full"]["all_results"]
    cells[last]["full"]["dataset_seed"] = dict(cells[first]["full"]["dataset_seed"])
    assert_refused(save(official(cells), tmp_path / "f.pth", "legacy"), tmp_path / "t.npz")


@pytest.mark.realdata
def test_real_cells(real_table_path, tmp_path):
    """Sees the real files of NATS-Bench read otherwise than the real table was."""
    folder = DATA / "nats" / "NATS-tss-v1_0-3ffb9-simple"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    with pytest.warns(UserWarning, match="holds 2 of 15625"):
        table = import_table(folder)
    real = load_table(real_table_path)
    rows = [real.row(arch) for arch in table.archs]
    np.testing.assert_array_equal(table.params_M, real.params_M[rows])
    for key, quantity in real.quantities.items():
        ours = table.quantities[key].accuracy[:, :, -len(quantity.epochs) :]
        if quantity.seeds[0] == -1:
            ours = np.nanmean(ours.astype(float), axis=1, keepdims=True)
        np.testing.assert_allclose(quantity.accuracy[rows], ours, rtol=3e-7, err_msg=key)


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
