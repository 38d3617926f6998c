"""Sees a distance that is not Eq. 2's, a map that distorts a plane, or a neighbor that is not the nearest."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from synthetic_search import finished_search as search

from flatlib.display.cell_map import RANDOM_CELLS, distances, embed, left_out, nearest, outside, plot_map, random_cells
from flatlib.display.cell_table import gather
from flatlib.evaluation.catalogue import catalogue
from flatlib.search.derive import random_cell
from flatlib.spaces import DARTS

ALL = [*catalogue()]
INSIDE = [name for name in ALL if not outside(catalogue()[name].cell)]
FOUND = "na-darts on digits, seed 0"


def apart(points: np.ndarray) -> np.ndarray:
    return np.array([[np.hypot(*(a - b)) for b in points] for a in points])


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
    given = apart(np.random.default_rng(0).normal(size=(9, 2)))
    plane = embed(given)
    np.testing.assert_allclose(apart(plane.points), given, atol=1e-3)
    assert plane.stress == pytest.approx(0, abs=1e-3) and (embed(given).points == plane.points).all()


def test_the_stress_is_kruskals():
    """Sees a stress that is not Kruskal's, or a map worse than the best known one."""
    given = distances([catalogue()[name].cell for name in INSIDE])
    plane = embed(given)
    pairs = [*itertools.combinations(range(len(given)), 2)]
    drawn = apart(plane.points)
    error = sum((given[pair] - drawn[pair]) ** 2 for pair in pairs) / sum(given[pair] ** 2 for pair in pairs)
    assert plane.stress == pytest.approx(error**0.5) and plane.stress < 1.05 * 0.2479  # from classical scaling


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_map_of_few_cells(n):
    """Sees a map that needs three cells, or equal cells driven apart."""
    plane = embed(distances([catalogue()["DARTS_V1"].cell] * n))
    assert plane.points.tolist() == [[0, 0]] * n and plane.stress == 0
    assert len(plot_map(gather(["PNAS"], [])).data) == 0


def test_the_map_shows_every_cell():
    """Sees a cell that is not on the map, a found one in the published ones' color, or a point cut off."""
    figure = plot_map(gather(ALL, [search(catalogue()["DARTS_V1"].cell)]))
    published, found = figure.data
    assert list(published.text) == INSIDE and list(found.text) == [FOUND]
    assert published.name != found.name and "stress 0." in figure.layout.title.text
    at = INSIDE.index("DARTS_V1")
    assert (published.x[at], published.y[at]) == pytest.approx((found.x[0], found.y[0]), abs=0.5)
    left, right = figure.layout.xaxis.range
    assert left < min(published.x) and max(published.x) < right


def test_nearest_cells():
    """Sees a cell as its own neighbor, another than the nearest, or other columns for random cells."""
    cells = [catalogue()["DARTS_V1"].cell, catalogue()["GDAS_V1"].cell]
    style = nearest(gather(ALL, [search(cell, seed) for seed, cell in enumerate(cells)]), 0)
    table = style.data
    assert list(table.index) == [FOUND, "na-darts on digits, seed 1", *INSIDE, "a random cell"]
    gap = naive_distance(*cells)
    assert table.loc[FOUND].tolist() == ["0: DARTS_V1", f"{gap}: na-darts on digits, seed 1"]
    assert table.loc["DARTS_V1"].tolist() == ["7: DARTS_V2", f"0: {FOUND}"]
    drawn = [one.cell for one in random_cells(0)]
    far = [min(naive_distance(cell, catalogue()[name].cell) for name in INSIDE) for cell in drawn]
    assert len(drawn) == RANDOM_CELLS
    assert table.iloc[-1]["nearest published"] == f"{np.mean(far):.1f} ± {np.std(far):.1f}"
    pairs = [naive_distance(a, b) for a, b in itertools.combinations(drawn[:60], 2)]
    told = float(style.caption.split("two of them: ")[1].split(" ±")[0])
    assert told == pytest.approx(np.mean(pairs), abs=0.5)
    assert list(nearest(gather([], []), 0).data.index) == ["a random cell"]
    assert nearest(gather(["DARTS_V2"], []), 0).data.loc["DARTS_V2"].tolist() == [""]
