"""Sees a cell drawn, measured or told in words otherwise than its genotype says."""

import itertools
import math
import re
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook, new_output

from flatlib.display.cell import Cell, cells, describe, draw_cells, node_depths, operation_color, short_name
from flatlib.display.exporter import FlatlibExporter
from flatlib.spaces import DARTS, NAS_BENCH_201, Genotype

NORMAL = "sep_conv_3x3 0 sep_conv_3x3 1 sep_conv_3x3 0 sep_conv_3x3 1 sep_conv_3x3 1 skip_connect 0 skip_connect 0"
REDUCE = "max_pool_3x3 0 max_pool_3x3 1 skip_connect 2 max_pool_3x3 1 max_pool_3x3 0 skip_connect 2 skip_connect 2"


def pairs(text: str) -> tuple[tuple[str, int], ...]:
    words = text.split()
    return tuple((operation, int(source)) for operation, source in zip(words[::2], words[1::2], strict=True))


def chain(*sources: int, concat: tuple[int, ...] = (2, 3, 4, 5)) -> Cell:
    """A cell of skips with the given sources, two a node."""
    return cells(Genotype(tuple(("skip_connect", at) for at in sources), concat, (), ()))["normal cell"]


DARTS_V2 = Genotype(pairs(f"{NORMAL} dil_conv_3x3 2"), (2, 3, 4, 5), pairs(f"{REDUCE} max_pool_3x3 1"), (2, 3, 4, 5))
DARTS_V1 = pairs(
    "sep_conv_3x3 1 sep_conv_3x3 0 skip_connect 0 sep_conv_3x3 1 skip_connect 0 sep_conv_3x3 1 sep_conv_3x3 0 "
    "skip_connect 2"
)
NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|"
V2 = cells(DARTS_V2)
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
DEEP = chain(0, 1, 2, 0, 3, 1, 4, 1)
FOREIGN = Genotype(pairs("sep_conv_3x3 0 sep_conv_3x3 0 conv_7x1_1x7 1 none 0"), (2, 3), DARTS_V2.reduce, (2, 3, 4, 5))
DRAWN = {  # NASNet-A has one edge twice, as the twins
    "V2": DARTS_V2,
    "deep": replace(DARTS_V2, normal=pairs("skip_connect " + " skip_connect ".join("01203141"))),
    "twins": FOREIGN,
    "nb201": NB201,
    "nothing": NOTHING,
}


def depth(cell: Cell) -> float:
    return describe(cell)["depth"]


# --- numbers --------------------------------------------------------------------------------------


def test_depth():
    """Sees the joining counted as an operation, a shortest path for the longest, or a node that is not joined."""
    v1 = cells(Genotype(DARTS_V1, (2, 3, 4, 5), (), ()))["normal cell"]
    assert [depth(V2["normal cell"]), depth(V2["reduction cell"]), depth(v1)] == [2, 2, 2]
    assert [depth(chain(0, 1, 0, 1, 1, 0, 0, 1)), depth(DEEP)] == [1, 4]
    assert depth(chain(0, 1, 2, 0, 3, 1, 4, 1, concat=(2, 3))) == 2
    assert node_depths(DEEP) == {0: 0, 1: 0, 2: 1, 3: 2, 4: 3, 5: 4}


def test_depth_of_nas_bench_201():
    """Sees `none` taken for a path, or a node without inputs taken for an input."""
    assert (depth(cells(NB201)["cell"]), depth(cells(NOTHING)["cell"])) == (3, 0)
    assert depth(cells(NB201.replace("skip_connect~1", "none~1"))["cell"]) == 2
    assert depth(cells("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|")["cell"]) == 0


def test_counts_by_hand():
    """Sees pooling taken for an operation with weights, `none` in a share's denominator, or a missed operation."""
    names = ("skip %", "without parameters %", "convolutions", "5×5")
    normal, reduce, nb201, nothing = (
        [describe(cell)[name] for name in names]
        for cell in (*V2.values(), *cells(NB201).values(), *cells(NOTHING).values())
    )
    assert normal == [25, 25, 6, 0] and reduce == [37.5, 100, 0, 0] and nb201 == [40, 60, 2, 0]
    assert math.isnan(nothing[0]) and math.isnan(nothing[1]) and nothing[2:] == [0, 0]
    assert describe(Cell(2, 3, (("dil_conv_5x5", 0, 2), ("sep_conv_5x5", 1, 2)), (2,)))["5×5"] == 2


def test_names_and_colors():
    """Sees two operations of a space under one short name, or a skip in a convolution's color."""
    for space in (DARTS, NAS_BENCH_201):
        assert len({short_name(name) for name in space.operations}) == len(space.operations)
    kinds = ["skip_connect", "max_pool_3x3", "nor_conv_1x1", "sep_conv_3x3", "dil_conv_5x5", "sep_conv_7x7", "none"]
    assert len({operation_color(name) for name in kinds}) == len(kinds)
    assert operation_color("dil_conv_3x3") == operation_color("nor_conv_3x3") == operation_color("sep_conv_3x3")


# --- the picture ----------------------------------------------------------------------------------


def shapes(picture: str) -> list[dict]:
    """Of each cell: size, rectangles (x, y, right, bottom, color), and paths (color, x and y of the straight part)."""
    drawn = []
    for svg in ElementTree.fromstring(picture).iter("svg"):
        boxes = [{name: float(one.get(name)) for name in ("x", "y", "width", "height")} for one in svg.iter("rect")]
        paths = [(one.get("stroke"), one.get("d")) for one in svg.iter("path") if one.get("stroke")]
        texts = ["".join(one.itertext()) for one in svg.iter("text")]
        drawn.append(
            {"size": [*map(float, svg.get("viewBox").split())][2:], "boxes": boxes, "paths": paths, "texts": texts}
        )
    return drawn


@pytest.mark.parametrize("name", DRAWN)
def test_no_name_is_covered(name):
    """Sees names or nodes that overlap, lie outside the picture, or in the way of a line to or from another node."""
    for one in shapes(draw_cells(DRAWN[name]).data):
        boxes = [(box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]) for box in one["boxes"]]
        for a, b in itertools.combinations(boxes, 2):
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
        assert all(
            x >= 0 and y >= 0 and right <= one["size"][0] and bottom <= one["size"][1] for x, y, right, bottom in boxes
        )
        for _, path in one["paths"]:
            start, _, bend, rise, end = map(
                int, re.match(r"M(\d+) (\d+)H\d+c20 0 14 (-?\d+) (\d+) -?\d+H(\d+)", path).group(1, 2, 4, 3, 5)
            )
            y = int(path.split()[1].split("H")[0]) + rise
            assert start + bend <= end  # left to right
            for x, top, right, bottom in boxes:  # the straight part of the line
                assert right <= start or x >= end or not top <= y <= bottom


@pytest.mark.parametrize("name", DRAWN)
def test_all_operations_are_drawn(name):
    """Sees an edge lost (one of two equal ones too), `none` drawn, a node without its name, or another's color."""
    for one, cell in zip(shapes(draw_cells(DRAWN[name]).data), cells(DRAWN[name]).values(), strict=True):
        names = [operation for operation, *_ in cell.operations]
        nodes = [re.sub("[_{}]", "", cell.label(node)) for node in range(cell.n_nodes + (cell.n_inputs > 1))]
        assert Counter(one["texts"]) == Counter([*map(short_name, names), *nodes])
        assert Counter(color for color, _ in one["paths"]) == Counter(map(operation_color, names))


def test_a_cell_in_words():
    """Sees a label that names other operations, sources or targets than the genotype, or another cell's caption."""
    picture = draw_cells(DARTS_V2, "DARTS_V2").data
    labels = [svg.get("aria-label") for svg in ElementTree.fromstring(picture).iter("svg")]
    assert labels[0] == (
        "DARTS_V2, normal cell: sep_conv_3x3 c_{k-2} to 0; sep_conv_3x3 c_{k-1} to 0; sep_conv_3x3 c_{k-2} to 1; "
        "sep_conv_3x3 c_{k-1} to 1; sep_conv_3x3 c_{k-1} to 2; skip_connect c_{k-2} to 2; skip_connect c_{k-2} to 3; "
        "dil_conv_3x3 0 to 3"
    )
    assert picture.count('role="img"') == len(labels) == 2
    assert "<b>DARTS_V2, reduction cell</b>: depth 2, 8 operations, 100% without parameters" in picture


def test_the_picture_follows_the_theme():
    """Sees a color for text that only one of the light and the dark page can show."""
    texts = re.findall(r"<text [^>]*>", draw_cells(DARTS_V2).data)
    assert len(texts) == 2 * (8 + 7) and all('fill="currentColor" stroke="none"' in text for text in texts)


def test_names_are_escaped():
    """Sees markup in a name or an operation reach the page."""
    evil = '"></svg><script>alert(1)</script>{width}'
    html = draw_cells(Genotype(((evil, 0), ("none", 1)), (2,), (("none", 0), ("none", 1)), (2,)), evil).data
    assert "<script" not in html and html.count("</svg>") == 2 and "{width}" in html
    assert ElementTree.fromstring(html).find(".//svg").get("aria-label").startswith(evil)


def test_a_page_keeps_the_picture():
    """Sees the exporter strip the SVG or show the words in its place."""
    picture = draw_cells(DARTS_V2)
    output = new_output("execute_result", {"text/html": picture.data, "text/plain": repr(picture)})
    cell = new_code_cell("draw()", outputs=[output], execution_count=1)
    page = BeautifulSoup(FlatlibExporter().from_notebook_node(new_notebook(cells=[cell]))[0], "html.parser")
    assert page.find_all("figure") == BeautifulSoup(picture.data, "html.parser").find_all("figure")
    assert len(page.select(".output svg path")) == 2 * (8 + 4)
