"""Sees a depth, a count or a share that is another cell's, and searches averaged that are not alike."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from synthetic_search import finished_search as search

from flatlib.display.cell_table import (
    CLAIMS,
    Shown,
    cells_frame,
    depth_table,
    figure_b,
    gather,
    plot_operations,
    save,
    section_f,
)
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.tables import group_names
from flatlib.search.config import SearchConfig
from flatlib.spaces import genotype

NAMES = [*catalogue()]
V1, GDAS = catalogue()["DARTS_V1"].cell, catalogue()["GDAS_V1"].cell
HALF = [["sep_conv_5x5", 0], ["dil_conv_5x5", 1], ["max_pool_3x3", 2], ["skip_connect", 0]]
MADE = genotype(
    {
        "normal": [*HALF, ["sep_conv_3x3", 3], ["skip_connect", 0], ["avg_pool_3x3", 0], ["max_pool_3x3", 1]],
        "normal_concat": [2, 3, 4, 5],
        "reduce": [["max_pool_3x3", 0], ["max_pool_3x3", 1]] * 4,
        "reduce_concat": [2, 3, 4, 5],
    }
)


def test_a_cell_counted_by_hand():
    """Sees the reduction cell's numbers in the normal cell's table, dilated 5x5 left out, a pool with weights."""
    (normal,), (reduction,) = (
        cells_frame([Shown("made", "one", MADE)], kind).to_dict("records") for kind in ("normal", "reduction")
    )
    assert normal.pop("params (M), C = 36") == reduction.pop("params (M), C = 36") > 0
    assert normal == {
        "group": "made", "cell": "one", "depth": 3, "without parameters %": 62.5, "convolutions": 3, "5×5": 2,
        "max 3×3": 2, "avg 3×3": 1, "skip": 2, "sep 3×3": 1, "sep 5×5": 1, "dil 5×5": 1,
    }  # fmt: skip
    assert reduction == {
        "group": "made", "cell": "one", "depth": 1, "without parameters %": 100, "convolutions": 0, "5×5": 0,
        "max 3×3": 8,
    }  # fmt: skip


def test_published_sizes():
    """Sees another network's parameters: DARTS's cells have 3.17 and 3.35 M at 36 channels."""
    frame = cells_frame(gather(["DARTS_V1", "DARTS_V2"], []), "normal")
    assert frame["params (M), C = 36"].round(2).tolist() == [3.17, 3.35]


def test_the_table():
    """Sees found cells averaged with published ones, or the sample deviation for the population's."""
    shown = gather(["DARTS_V1", "GDAS_V1"], [search(V1, 0), search(GDAS, 1), search(V1, method="darts")])
    table = depth_table(shown, "normal").data
    found = ["darts on digits (n = 1)", "na-darts on digits (n = 2)"]
    assert list(table.index) == ["DARTS_V1", "GDAS_V1", *found]
    assert table["depth"].tolist() == ["2", "4", "2", "3 ± 1"]
    assert table["without parameters %"].tolist() == ["38", "50", "38", "44 ± 6"]
    assert table["5×5"].tolist() == ["0", "2", "0", "1 ± 1"]


def test_section_f():
    """Sees a claim measured on the wrong half, or other published cells taken for DARTS's."""
    found = [search(GDAS, 0, method="darts"), search(MADE, 0), search(MADE, 1)]
    table = section_f(gather(NAMES, found)).data
    heads = ["DARTS, published (n = 2)", "darts on digits (n = 1)", "na-darts on digits (n = 2)"]
    assert list(table) == ["Section F says", *heads] and list(table.index) == list(CLAIMS)
    assert table[heads[0]].tolist() == ["0 of 2", "2 of 2", "0 ± 0", "0 ± 0", "100 ± 0"]
    assert table[heads[1]].tolist() == ["0 of 1", "0 of 1", "2", "8", "0"]  # depth 4
    assert table[heads[2]].tolist() == ["2 of 2", "0 of 2", "2 ± 0", "0 ± 0", "100 ± 0"]


def test_figure_b_in_the_columns_of_all_tables(tmp_path):
    """Sees S3's cells among those of Section F, another cell's number, chance without its name, a file too many."""
    found = [search(GDAS, 0, method="darts"), search(MADE, 0), search(GDAS, 1), search(MADE, 2, space="s3")]
    shown, chance = gather(["GDAS_V1"], found), [Shown("random cells", str(n), V1) for n in range(3)]
    frame = figure_b([*shown, *chance])
    lines = {(one.row, one.setting, one.column): (one.ours, one.ours_std, one.n) for one in frame.itertuples()}
    assert {place[:2] for place in lines} == {
        ("darts", "found on digits"), ("na-darts", "found on digits"), ("random cells", "drawn at random")
    }  # fmt: skip

    assert lines["na-darts", "found on digits", "depth, normal cell"] == (3.5, 0.5, 2)
    assert lines["na-darts", "found on digits", "convolutions, reduction cell"] == (4, 4, 2)
    assert lines["darts", "found on digits", "5×5 operations, normal cell"] == (2, 0, 1)
    assert lines["random cells", "drawn at random", "depth, normal cell"] == (2, 0, 3)
    (path,) = save(shown, chance, tmp_path)
    assert path == tmp_path / "tables" / "digits" / "figure_B.csv"
    pd.testing.assert_frame_equal(pd.read_csv(path)[["row", "n"]], frame[["row", "n"]])
    assert save(chance[:0], chance, tmp_path / "none") == [] and not (tmp_path / "none").exists()


def test_gathered():
    """Sees an unfinished search or NAS-Bench-201's cell among the genotypes, kinds mixed, or a source lost."""
    arch = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    runs = [search(arch, space="nas-bench-201", cells=3), replace(search(V1), result=None)]
    runs += [search(V1, seed, **own) for own in ({}, {"method": "darts"}) for seed in (10, 4)]
    shown = gather([], runs)
    assert [one.name for one in shown] == [
        f"{method} on digits, seed {seed}" for method in ("darts", "na-darts") for seed in (4, 10)
    ]
    assert {one.note for one in shown} == {""}
    (pnas,) = gather(["PNAS", "PNAS"], [])
    assert catalogue()["PNAS"].source in pnas.note and pnas.note.endswith(catalogue()["PNAS"].doubt)


def test_searches_of_different_sizes_are_not_averaged():
    """Sees searches that differ in more than their seed under one name."""
    short, long = SearchConfig(epochs=1), SearchConfig(epochs=2, seed=3)
    names = group_names([short, replace(short, seed=1), long, SearchConfig(method="darts")])
    assert names == [
        *["na-darts, epochs 1, found on digits"] * 2,
        "na-darts, epochs 2, found on digits",
        "darts, found on digits",
    ]


def test_bars():
    """Sees an operation lost, or counted for another cell or the other half."""
    shown = gather(NAMES, [search(MADE)])
    figure = plot_operations(shown)
    for half, axis in (("normal", "y"), ("reduce", "y2")):
        bars = [bar for bar in figure.data if bar.yaxis == axis]
        for at, one in enumerate(shown):
            drawn = {re.search(r"× (\w+)<", bar.hovertemplate)[1]: bar.x[at] for bar in bars}
            names = [name for name, _ in getattr(one.cell, half)]
            assert {name: n for name, n in drawn.items() if n} == {name: names.count(name) for name in names}
            assert all(bar.y[at] == one.name for bar in bars)


@pytest.mark.parametrize("kind", ["normal", "reduction"])
def test_none_is_no_operation(kind):
    """Sees `none` counted among a cell's convolutions or in its shares."""
    frame = cells_frame(gather(["SNAS-aggressive"], []), kind)
    names = [name for name, _ in getattr(catalogue()["SNAS-aggressive"].cell, {"reduction": "reduce"}.get(kind, kind))]
    convolutions = sum("conv" in name for name in names)
    assert frame.convolutions[0] == convolutions
    share = 1 - convolutions / sum(name != "none" for name in names)
    assert frame["without parameters %"][0] == pytest.approx(100 * share)
