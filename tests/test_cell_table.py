"""Sees a depth, a count or a share that is another cell's, and searches averaged that are not alike."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_search import finished_search as search

from flatlib.display.cell_table import (
    Shown,
    cells_frame,
    depth_table,
    distances,
    figure_b,
    gather,
    is_darts,
    plot_map,
    save,
    section_f,
)
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.tables import group_names
from flatlib.search.config import SearchConfig
from flatlib.search.derive import random_cell
from flatlib.spaces import DARTS, genotype

NAMES = [*catalogue()]
INSIDE = [name for name in NAMES if is_darts(catalogue()[name].cell)]
FOUND = "na-darts, found on digits, seed 0"
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
    assert normal == {
        "group": "made", "cell": "one", "depth": 3, "skip %": 25, "without parameters %": 62.5, "convolutions": 3,
        "5×5": 2, "max 3×3": 2, "avg 3×3": 1, "skip": 2, "sep 3×3": 1, "sep 5×5": 1, "dil 5×5": 1,
    }  # fmt: skip
    assert reduction == {
        "group": "made", "cell": "one", "depth": 1, "skip %": 0, "without parameters %": 100, "convolutions": 0,
        "5×5": 0, "max 3×3": 8,
    }  # fmt: skip


def test_the_table():
    """Sees found cells averaged with published ones, or the sample deviation for the population's."""
    shown = gather(["DARTS_V1", "GDAS_V1"], [search(V1, 0), search(GDAS, 1), search(V1, method="darts")])
    table = depth_table(shown, "normal").data
    found = ["darts, found on digits (n = 1)", "na-darts, found on digits (n = 2)"]
    assert list(table.index) == ["DARTS_V1", "GDAS_V1", *found]
    assert table["depth"].tolist() == ["2", "4", "2", "3 ± 1"]
    assert table["without parameters %"].tolist() == ["37.5", "50", "37.5", "43.8 ± 6.2"]
    assert table["5×5"].tolist() == ["0", "2", "0", "1 ± 1"]


def test_section_f():
    """Sees a claim measured on the wrong half, or other published cells taken for DARTS's."""
    found = [search(GDAS, 0, method="darts"), search(MADE, 0), search(MADE, 1)]
    table = section_f(gather(NAMES, found)).data.T
    heads = ["DARTS, published (n = 2)", "darts, found on digits (n = 1)", "na-darts, found on digits (n = 2)"]
    assert list(table) == ["Section F says", *heads]
    assert table[heads[0]].tolist() == ["2 ± 0", "0 ± 0", "0 ± 0", "100 ± 0"]
    assert table[heads[1]].tolist() == ["4", "2", "8", "0"]
    assert table[heads[2]].tolist() == ["3 ± 0", "2 ± 0", "0 ± 0", "100 ± 0"]


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
    (path,) = save(shown[1:], chance, tmp_path)
    assert path == tmp_path / "tables" / "digits" / "figure_B.csv"
    pd.testing.assert_frame_equal(pd.read_csv(path)[["row", "n"]], frame[["row", "n"]].reset_index(drop=True))
    assert save(chance[:0], chance, tmp_path / "none") == [] and not (tmp_path / "none").exists()


def test_gathered():
    """Sees NAS-Bench-201's cell among the genotypes, kinds mixed, or a source lost."""
    arch = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    runs = [search(arch, space="nas-bench-201", cells=3)]
    runs += [search(V1, seed, **own) for own in ({}, {"method": "darts"}) for seed in (10, 4)]
    shown = gather([], runs)
    assert [one.name for one in shown] == [
        f"{method}, found on digits, seed {seed}" for method in ("darts", "na-darts") for seed in (4, 10)
    ]
    assert {one.note for one in shown} == {""}
    (pnas,) = gather(["PNAS", "PNAS"], [])
    assert catalogue()["PNAS"].source in pnas.note and pnas.note.endswith(catalogue()["PNAS"].doubt)


def test_searches_of_different_sizes_are_not_averaged():
    """Sees searches that differ in more than their seed under one name."""
    short, long = SearchConfig(epochs=1), SearchConfig(epochs=2, seed=3)
    names = [*group_names([short, replace(short, seed=1), long, SearchConfig(method="darts")]).values()]
    assert names == [
        *["na-darts, epochs 1, found on digits"] * 2,
        "na-darts, epochs 2, found on digits",
        "darts, found on digits",
    ]


@pytest.mark.parametrize("kind", ["normal", "reduction"])
def test_none_is_no_operation(kind):
    """Sees `none` counted among a cell's convolutions or in its shares."""
    frame = cells_frame(gather(["SNAS-aggressive"], []), kind)
    names = [name for name, _ in getattr(catalogue()["SNAS-aggressive"].cell, {"reduction": "reduce"}.get(kind, kind))]
    convolutions = sum("conv" in name for name in names)
    assert frame.convolutions[0] == convolutions
    share = 1 - convolutions / sum(name != "none" for name in names)
    assert frame["without parameters %"][0] == pytest.approx(100 * share)


# --- the map --------------------------------------------------------------------------------------


def naive_distance(a, b) -> int:
    """Edges of both cells whose operation differs; an edge that a cell does not have is 'none' there."""
    total = 0
    for half in ("normal", "reduce"):
        edges = [
            {(source, 2 + at // 2): name for at, (name, source) in enumerate(getattr(cell, half))} for cell in (a, b)
        ]
        for edge in {*edges[0], *edges[1]}:
            total += edges[0].get(edge, "none") != edges[1].get(edge, "none")
    return total


def test_distances_are_equation_2():
    """Sees an edge counted twice, or an absent one left out: against a count over edges."""
    rng = np.random.default_rng(0)
    genotypes = [catalogue()[name].cell for name in INSIDE] + [random_cell(DARTS, rng) for _ in range(10)]
    found = distances(genotypes)
    expected = [[naive_distance(a, b) for b in genotypes] for a in genotypes]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_map_has_every_cell_of_the_space():
    """Sees a cell of other blocks or operations on the map, a DARTS cell left out, or a distance under another name."""
    left_out = ["NASNet-A", "AmoebaNet-A", "PNAS", "ENAS", "ENAS-B", "SNAS-aggressive"]
    assert [name for name in NAMES if name not in INSIDE] == left_out
    assert not is_darts(replace(V1, normal_concat=(2, 3, 4)))
    figure = plot_map(gather(NAMES, [search(GDAS)]))
    (drawn,), names = figure.data, [*INSIDE, FOUND]
    assert list(drawn.x) == list(drawn.y) == names
    at = {name: at for at, name in enumerate(names)}
    for a, b in ((FOUND, "DARTS_V1"), ("GDAS_V1", FOUND), ("DARTS_V1", "DARTS_V2")):
        cells = [GDAS if name == FOUND else catalogue()[name].cell for name in (a, b)]
        assert drawn.z[at[a]][at[b]] == naive_distance(*cells)
    assert f"left out: {', '.join(left_out)}" in figure.layout.title.text


@pytest.mark.parametrize("n", [0, 1])
def test_a_map_of_few_cells(n):
    """Sees a map that needs two cells."""
    assert plot_map(gather(["PNAS", "DARTS_V1"][: n + 1], [])).data[0].z.shape == (n, n)
