"""The compact table: sees a wrong cell, and a missing run taken for a number. Bad files: test_table_files.py."""

import numpy as np
import pytest

from flatlib.spaces import all_archs, arch_to_string
from flatlib.tabular.experiment import open_experiment
from flatlib.tabular.table import OFFICIAL_SEARCH, PAPER_COLUMNS, Quantity, Table, TableError
from flatlib.tabular.table_file import load_table, save_table

KEY = "toy-valid/20/x-valid"


def tiny_table(accuracy, epochs=(20,), seeds=(1,), key=KEY):
    """The first cells of the space with given accuracies (A, S, epochs)."""
    accuracy = np.array(accuracy, dtype=np.float32)
    return Table("tiny", all_archs()[: len(accuracy)], {key: Quantity(accuracy, np.array(epochs), np.array(seeds))})


# --- Files ----------------------------------------------------------------------------------------


def test_round_trip(small_table, tmp_path):
    """Sees rows reordered, gaps filled, or a field lost between saving and loading."""
    save_table(small_table, tmp_path / "table.npz")
    loaded = load_table(str(tmp_path / "table.npz"))
    assert (loaded.archs == small_table.archs).all() and loaded.name == small_table.name
    np.testing.assert_array_equal(loaded.params_M, small_table.params_M)
    assert list(loaded.quantities) == list(small_table.quantities)
    for key, quantity in small_table.quantities.items():
        for field in ("accuracy", "epochs", "seeds"):
            np.testing.assert_array_equal(getattr(loaded.quantity(key), field), getattr(quantity, field))
    assert [path.name for path in tmp_path.iterdir()] == ["table.npz"]


def test_part_of_the_space_loads_with_one_warning(tmp_path):
    """Sees a part taken for the whole: silence, or wrong neighborhoods instead of a refusal."""
    save_table(tiny_table([[[50]], [[60]]]), tmp_path / "part.npz")
    with pytest.warns(UserWarning) as caught:
        part = load_table(tmp_path / "part.npz")
    assert [str(warning.message) for warning in caught] == ["tiny holds 2 of 15625 cells"]
    assert caught[0].filename == __file__
    assert part.errors(KEY).tolist() == [50, 40] and not part.is_whole
    for refused in (part.neighbors, lambda: part.row(all_archs()[2])):
        with pytest.raises(TableError) as error:
            refused()
        assert "\n" not in str(error.value)


# --- Queries --------------------------------------------------------------------------------------


def test_missing_seed_is_left_out():
    """Sees a gap counted as accuracy 0, a NaN in a mean, or 'first' read from one fixed seed."""
    nan = np.nan
    table = tiny_table([[[60], [nan], [70]], [[nan], [nan], [80]], [[10], [20], [nan]]], seeds=(1, 2, 3))
    assert table.errors(KEY, trial="mean").tolist() == [35, 20, 85]
    assert table.errors(KEY, trial="first").tolist() == [40, 20, 90]
    assert table.errors(KEY).dtype == np.float64


def test_cell_without_any_run_is_refused():
    """Sees an error of NaN, or of 100 %, for a cell that was not run at this epoch."""
    table = tiny_table([[[60, 61]], [[np.nan, 62]]], epochs=(10, 20))
    assert table.errors(KEY).tolist() == [39, 38]
    for trial in ("first", "mean"):
        with pytest.raises(TableError, match="not run for 1 cells at epoch 10"):
            table.errors(KEY, 10, trial)


def test_epochs_are_looked_up():
    """Sees an epoch used as an index, a last epoch that is not the default, a message without the choice."""
    table = tiny_table([[[10, 20, 30]]], epochs=(1, 5, 20))
    assert [table.errors(KEY, epoch).tolist() for epoch in (1, 5, 20, 0)] == [[90], [80], [70], [70]]
    for epoch in (2, 21, -1):
        with pytest.raises(TableError, match=f"no epoch {epoch}; it has 1 to 20$"):
            table.errors(KEY, epoch)
    with pytest.raises(TableError, match=r"no epoch 1; it has 20 to 20$"):
        tiny_table([[[50]]]).errors(KEY, 1)
    with pytest.raises(TableError, match=r"'no/20/x-test'.*toy-valid/20/x-valid"):
        table.errors("no/20/x-test")


def test_only_two_trials_are_known():
    """Sees a misspelt trial read as the mean over seeds."""
    with pytest.raises(ValueError, match="mena"):
        tiny_table([[[10], [20]]], seeds=(1, 2)).errors(KEY, trial="mena")


def test_nearest_epoch():
    """Sees shares taken of the epochs that exist instead of the schedule, ties, and a tolerance ignored."""
    table = tiny_table(np.zeros((1, 1, 3)), epochs=(4, 8, 16), key="toy/16/x-valid")
    shares = {0.0: 4, 0.25: 4, 0.375: 4, 0.376: 8, 0.75: 8, 0.751: 16, 1.0: 16}  # 0.375, 0.75: ties, the earlier
    assert {share: table.nearest_epoch("toy/16/x-valid", share) for share in shares} == shares
    assert table.nearest_epoch("toy/16/x-valid", 0.5, 0.0) == 8
    assert table.nearest_epoch("toy/16/x-valid", 0.375, 0.125) == 4
    assert table.nearest_epoch("toy/16/x-valid", 0.375, 0.124) is None
    cut_short = tiny_table(np.zeros((1, 1, 2)), epochs=(4, 8), key="toy/16/x-valid")
    assert cut_short.nearest_epoch("toy/16/x-valid", 0.45) == 8


def test_nearest_epoch_of_the_official_curves():
    """Sees the paper's epochs missed on the benchmark's own 200."""
    table = tiny_table(np.zeros((1, 1, 200)), epochs=range(1, 201), key=OFFICIAL_SEARCH)
    assert [table.nearest_epoch(OFFICIAL_SEARCH, share) for share in (0.15, 0.3, 0.45, 0.6)] == [30, 60, 90, 120]


def test_search_key_and_targets():
    """Sees f read from a test split, or a stand-in's columns under the paper's labels."""
    quantity = Quantity(np.zeros((1, 1, 1), dtype=np.float32), np.array([20]), np.array([1]))
    keys = ["other-valid/20/x-valid", OFFICIAL_SEARCH, "cifar10/12/ori-test", *PAPER_COLUMNS.values()]
    table = Table("nas-bench-201", all_archs()[:1], dict.fromkeys(keys, quantity))
    assert table.search_key() == OFFICIAL_SEARCH and table.search_key(keys[0]) == keys[0]
    assert table.targets() == PAPER_COLUMNS
    stand_in = Table("toys", table.archs, dict.fromkeys(["a/9/ori-test", "a-valid/9/ori-test", keys[0]], quantity))
    assert stand_in.search_key() == keys[0] and stand_in.targets() == {"a": "a/9/ori-test"}
    without = Table("tests", table.archs, {"a/9/ori-test": quantity})
    for refused in (lambda: stand_in.search_key("nothing"), without.search_key):
        with pytest.raises(TableError):
            refused()


@pytest.mark.parametrize("d", [1, 2])
def test_neighbors_in_any_order(small_table, plain_paper, d):
    """Sees rows counted in another order than the table's, and a neighborhood that is not Eq. 3's."""
    strings = [arch_to_string(arch) for arch in small_table.archs]
    row_of = {text: row for row, text in enumerate(strings)}
    neighbors = small_table.neighbors(d)
    assert neighbors.shape == (15625, {1: 25, 2: 265}[d])
    for row in np.random.default_rng(d).integers(0, 15625, 12):
        expected = [row_of[text] for text in plain_paper({}, {}).neighborhood(strings[row], d)]
        assert neighbors[row, 0] == row == small_table.row(small_table.archs[row])
        assert sorted(neighbors[row]) == sorted(expected)


# --- The experiment on it -------------------------------------------------------------------------


def test_open_experiment(small_table, synthetic_experiment):
    """Sees f at another epoch than 45 % of the schedule, from another seed, or targets from one seed only."""
    experiment = synthetic_experiment
    assert (experiment.key, experiment.epoch) == (KEY, 9)
    assert experiment.setting == "synthetic, toy-valid/20/x-valid, epoch 9 of 20, one seed"
    seeds = small_table.quantities[KEY].accuracy[:, :, 2].tolist()
    assert experiment.f.tolist() == [next(100 - a for a in row if a == a) for row in seeds]
    judged = small_table.quantities["toy-two/20/x-test"].accuracy[:, :, 0].tolist()
    runs = [[a for a in row if a == a] for row in judged]
    assert experiment.targets["toy-two"].tolist() == [100 - sum(run) / len(run) for run in runs]
    assert list(experiment.targets) == ["toy", "toy-two"]
    assert experiment.reading(KEY, 20, "first").f.tolist() == small_table.errors(KEY, 20).tolist()


def test_open_experiment_refuses(small_table, tmp_path):
    """Sees a quantity, an epoch or a judge that is not there end in anything but one line."""
    save_table(small_table, tmp_path / "table.npz")
    for options in ({"search_quantity": "toy"}, {"epoch": 10}, {"epoch": -2}):
        with pytest.raises(TableError) as error:
            open_experiment(tmp_path / "table.npz", **options)
        assert "\n" not in str(error.value)
    save_table(Table("x", small_table.archs, {KEY: small_table.quantities[KEY]}), tmp_path / "table.npz")
    with pytest.raises(TableError, match="no test errors"):
        open_experiment(tmp_path / "table.npz")
