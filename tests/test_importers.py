"""The real benchmark in: sees wrong numbers, code that runs, half a file that passes, memory that grows."""

import bz2
import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from nats_bench import create
from official_file import FORMS, ROWS, assert_refused, four_cells, official, real_api, save

from flatlib.spaces import arch_to_string
from flatlib.tabular.importers import KEPT, import_table, import_to_file, table_from_api
from flatlib.tabular.table import Quantity, Table, TableError
from flatlib.tabular.table_file import load_table

pytestmark = pytest.mark.filterwarnings("ignore:nas-bench-201 holds")


@pytest.fixture(scope="module")
def data() -> dict:
    return four_cells()


@pytest.fixture(scope="module", params=FORMS)
def path(request, data, tmp_path_factory) -> Path:
    return save(data, tmp_path_factory.mktemp("official") / "NAS-Bench-201.pth", request.param)


def assert_equal(table: Table, other: Table) -> None:
    assert (table.archs == other.archs).all() and table.quantities.keys() == other.quantities.keys()
    np.testing.assert_array_equal(table.params_M, other.params_M)
    for key, quantity in table.quantities.items():
        for field in Quantity.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(quantity, field), getattr(other.quantities[key], field))


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
