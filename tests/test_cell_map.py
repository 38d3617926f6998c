"""Sees a distance that is not Eq. 2's, a map that distorts a plane, a depth or share that is another cell's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flatlib.display.cell_map import (
    Shown,
    cells_frame,
    depth_table,
    distances,
    embed,
    gather,
    left_out,
    nearest,
    outside,
    plot_map,
    plot_operations,
)
from flatlib.evaluation.catalogue import catalogue
from flatlib.search.config import SearchConfig
from flatlib.search.retrain import random_cell
from flatlib.search.runs import Result, Run
from flatlib.search.trace import SearchTrace
from flatlib.spaces import DARTS

ALL = [*catalogue()]
INSIDE = [name for name in ALL if not outside(catalogue()[name].cell)]


def search(cell, seed=0, **changes) -> Run:
    return Run(
        Path("x"),
        SearchConfig(seed=seed, **changes),
        SearchTrace((), np.zeros((1, 2, 14, 8))),
        Result(cell, 1, 1, 1, 1.0, {}),
    )


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


def test_what_is_outside_the_space():
    """Sees a cell of other blocks or operations on the map, or a DARTS cell left out."""
    cell = catalogue()["DARTS_V2"].cell
    assert [name for name in ALL if name not in INSIDE] == [
        "NASNet-A", "AmoebaNet-A", "PNAS", "ENAS", "ENAS-B", "SNAS-aggressive"
    ]  # fmt: skip
    assert outside(catalogue()["SNAS-aggressive"].cell) == "has none"
    assert outside(replace(cell, normal_concat=(2, 3, 4))) == outside(catalogue()["ENAS"].cell) == "has other blocks"
    twice = replace(cell, normal=(cell.normal[0], ("skip_connect", cell.normal[0][1]), *cell.normal[2:]))
    assert outside(twice) == "uses one edge twice" and not outside(cell)
    text = left_out(gather(ALL, [])).data
    assert "PNAS (has sep_conv_7x7)" in text and "SNAS-aggressive (has none)" in text
    assert left_out(gather(["DARTS_V2"], [])).data == "No cell is left out."


def test_a_plane_is_embedded_exactly():
    """Sees axes mixed up or scaled: points of a plane keep all their distances, and the picture is repeatable."""
    points = np.random.default_rng(0).normal(size=(9, 2))
    given = np.linalg.norm(points[:, None] - points[None], axis=-1)
    plane = embed(given)
    again = np.linalg.norm(plane.points[:, None] - plane.points[None], axis=-1)
    np.testing.assert_allclose(again, given, atol=1e-10)
    assert plane.kept == pytest.approx(1) and (embed(given).points == plane.points).all()
    cube = np.random.default_rng(1).normal(size=(12, 6))
    assert 0 < embed(np.linalg.norm(cube[:, None] - cube[None], axis=-1)).kept < 0.9


def test_the_table_of_section_f():
    """Sees another cell's depth or share, or found cells averaged with published ones."""
    v1, gdas = catalogue()["DARTS_V1"].cell, catalogue()["GDAS_V1"].cell
    shown = gather(["DARTS_V1", "GDAS_V1"], [search(v1, 0), search(gdas, 1), search(v1, method="darts")])
    frame = cells_frame(shown)
    line = frame.iloc[0]
    assert (line["normal: depth"], line["reduction: without parameters %"], line["normal: 5x5"]) == (2, 100, 0)
    assert frame.iloc[1]["normal: depth"] == 4 and frame.iloc[1]["normal: 5x5"] == 2
    table = depth_table(shown).data
    assert list(table.index) == [
        "DARTS_V1",
        "GDAS_V1",
        "na-darts, found on digits (n = 2)",
        "darts, found on digits (n = 1)",
    ]
    assert table["normal: depth"].tolist() == ["2", "4", "3 ± 1", "2"]


def test_only_genotypes_are_gathered():
    """Sees an unfinished search or NAS-Bench-201's cell among the genotypes."""
    arch = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    cell = catalogue()["DARTS_V1"].cell
    runs = [search(arch, space="nas-bench-201", cells=3), replace(search(cell), result=None), search(cell, seed=4)]
    assert gather([], runs) == [Shown("na-darts, found on digits", "na-darts, found on digits, seed 4", cell)]


def test_figures_show_every_cell():
    """Sees a cell or an operation that is not drawn."""
    shown = gather(ALL, [search(catalogue()["DARTS_V1"].cell)])
    bars = plot_operations(shown)
    totals = {(bar.xaxis, name): 0 for bar in bars.data for name in bar.y}
    for bar in bars.data:
        for name, n in zip(bar.y, bar.x, strict=True):
            totals[bar.xaxis, name] += n
    assert set(totals.values()) == {8, 10} and len(totals) == 2 * len(shown)
    points = plot_map(shown)
    assert sum(len(group.x) for group in points.data) == len(INSIDE) + 1
    assert {name for group in points.data for name in group.text} >= set(INSIDE)


def test_nearest_published_cells():
    """Sees a cell as its own neighbor, or the distance of random cells left out."""
    table = nearest(gather(ALL, [search(catalogue()["DARTS_V1"].cell)]), 0).data
    assert table.loc["na-darts, found on digits, seed 0"].tolist() == ["DARTS_V1", "0"]
    assert table.loc["DARTS_V1"].tolist() == ["DARTS_V2", "7"]
    mean, _, std = table.iloc[-1]["edges"].partition(" ± ")
    assert 18 < float(mean) < 22 and 1 < float(std) < 3
    assert len(nearest(gather([], []), 0).data) == 1
