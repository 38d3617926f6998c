"""Sees a cell drawn, measured or told in words otherwise than its genotype says."""

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook, new_output

from flatlib.display.cell import (
    Cell,
    cells,
    count_operations,
    depth,
    draw_cells,
    lay_out_cell,
    node_depths,
    operation_color,
    short_name,
)
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
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
DEEP = chain(0, 1, 2, 0, 3, 1, 4, 1)
FOUND = {
    "V2 normal": cells(DARTS_V2)["normal cell"],
    "V2 reduction": cells(DARTS_V2)["reduction cell"],
    "deep": DEEP,
    "twins": chain(0, 0, 1, 1, 3, 3, 2, 2),  # as in NASNet-A: one edge twice
    "nb201": cells(NB201)["cell"],
    "nothing": cells(NOTHING)["cell"],
}

# --- numbers --------------------------------------------------------------------------------------


def test_depth():
    """Sees the joining counted as an operation, a shortest path for the longest, or a node that is not joined."""
    v1 = cells(Genotype(DARTS_V1, (2, 3, 4, 5), (), ()))["normal cell"]
    assert [depth(FOUND["V2 normal"]), depth(FOUND["V2 reduction"]), depth(v1)] == [2, 2, 2]
    assert [depth(chain(0, 1, 0, 1, 1, 0, 0, 1)), depth(DEEP)] == [1, 4]
    assert depth(chain(0, 1, 2, 0, 3, 1, 4, 1, concat=(2, 3))) == 2
    assert node_depths(DEEP) == {0: 0, 1: 0, 2: 1, 3: 2, 4: 3, 5: 4}


def test_depth_of_nas_bench_201():
    """Sees `none` taken for a path, or a node without inputs taken for an input."""
    assert (depth(FOUND["nb201"]), depth(FOUND["nothing"])) == (3, 0)
    assert depth(cells(NB201.replace("skip_connect~1", "none~1"))["cell"]) == 2
    assert depth(cells("|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|")["cell"]) == 0


def test_counts_by_hand():
    """Sees pooling taken for an operation with weights, `none` in a share's denominator, or a missed operation."""
    normal, reduce = (count_operations(cell) for cell in cells(DARTS_V2).values())
    assert normal == ({"sep_conv_3x3": 5, "skip_connect": 2, "dil_conv_3x3": 1}, 2 / 8, 2 / 8)
    assert reduce == ({"max_pool_3x3": 5, "skip_connect": 3}, 3 / 8, 1)
    counts = count_operations(FOUND["nb201"])
    assert counts.operations == dict.fromkeys(NAS_BENCH_201.operations, 1) | {"skip_connect": 2}
    assert counts[1:] == (2 / 5, 3 / 5)
    assert all(math.isnan(share) for share in count_operations(FOUND["nothing"])[1:])


def test_names_and_colors():
    """Sees two operations of a space under one short name, or a skip in a convolution's color."""
    for space in (DARTS, NAS_BENCH_201):
        assert len({short_name(name) for name in space.operations}) == len(space.operations)
    kinds = ["skip_connect", "max_pool_3x3", "nor_conv_1x1", "sep_conv_3x3", "dil_conv_5x5", "sep_conv_7x7", "none"]
    assert len({operation_color(name) for name in kinds}) == len(kinds)
    assert operation_color("dil_conv_3x3") == operation_color("nor_conv_3x3") == operation_color("sep_conv_3x3")


# --- the picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOUND)
def test_no_name_is_covered(name):
    """Sees names or nodes that overlap, lie outside the picture, or in the way of a line to or from another node."""
    layout = lay_out_cell(FOUND[name])
    boxes = [(box, 12) for box in layout.nodes] + [(box, 10) for _, box in layout.names]
    for (a, half_a), (b, half_b) in itertools.combinations(boxes, 2):
        apart = a.x + a.width < b.x or b.x + b.width < a.x
        assert apart or abs(a.y - b.y) > half_a + half_b
    for box, half in boxes:
        assert box.x >= 0 and box.x + box.width <= layout.width and half <= box.y <= layout.height - half
    for (_, source, _), end in layout.names:
        start = layout.nodes[source].x + layout.nodes[source].width
        assert start < end.x  # left to right
        for box, half in boxes:  # the straight part of the line
            between = box is not end and box.x < end.x and box.x + box.width > start
            assert not between or abs(box.y - end.y) > half


def test_all_operations_are_drawn():
    """Sees an edge lost (one of two equal ones too), `none` drawn, or an operation in another's color."""
    for cell in FOUND.values():
        assert sorted(edge for edge, _ in lay_out_cell(cell).names) == sorted(cell.operations)
    picture = draw_cells(NB201).html
    shown = [short_name(operation) for operation, *_ in FOUND["nb201"].operations]
    assert re.findall(r">([a-z ]+[^<]*)</text>", picture) == shown
    fills = re.findall(r'fill="(#\w+)"', picture)
    assert fills == [operation_color(operation) for operation, *_ in FOUND["nb201"].operations]


def test_a_cell_in_words():
    """Sees an aria-label that names other operations or sources than the genotype."""
    picture = draw_cells(DARTS_V2, "DARTS_V2")
    labels = [svg.get("aria-label") for svg in ElementTree.fromstring(picture.html).iter("svg")]
    assert labels == repr(picture).splitlines()
    assert labels[0] == (
        "DARTS_V2, normal cell, depth 2: "
        "0 = sep_conv_3x3(c_{k-2}) + sep_conv_3x3(c_{k-1}); 1 = sep_conv_3x3(c_{k-2}) + sep_conv_3x3(c_{k-1}); "
        "2 = sep_conv_3x3(c_{k-1}) + skip_connect(c_{k-2}); 3 = skip_connect(c_{k-2}) + dil_conv_3x3(0); "
        "c_{k} joins 0, 1, 2, 3"
    )
    assert picture.html.count('role="img"') == 2
    caption = "<b>DARTS_V2, reduction cell</b>: depth 2, 8 operations, 100% without parameters"
    assert caption in picture.html


def test_a_note_stands_below():
    """Sees a cell's source lost in the picture or in its words, or markup of it reach the page."""
    picture = draw_cells(DARTS_V2, "V2", note="From <b>there</b>.")
    assert picture.html.endswith("From &lt;b&gt;there&lt;/b&gt;.</p>")
    assert repr(picture).splitlines()[2:] == ["From <b>there</b>."] and "<p " not in draw_cells(DARTS_V2).html


def test_the_picture_follows_the_theme():
    """Sees a color for text that only one of the light and the dark page can show."""
    texts = re.findall(r"<text [^>]*>", draw_cells(DARTS_V2).html)
    assert len(texts) == 2 * (8 + 7) and all('fill="currentColor" stroke="none"' in text for text in texts)


def test_names_are_escaped():
    """Sees markup in a name or an operation reach the page."""
    evil = '"></svg><script>alert(1)</script>{width}'
    html = draw_cells(Genotype(((evil, 0), ("none", 1)), (2,), (("none", 0), ("none", 1)), (2,)), evil).html
    assert "<script" not in html and html.count("</svg>") == 2 and "{width}" in html
    assert ElementTree.fromstring(html).find(".//svg").get("aria-label").startswith(evil)


def test_a_page_keeps_the_picture():
    """Sees the exporter strip the SVG or show the words in its place."""
    picture = draw_cells(DARTS_V2)
    output = new_output("execute_result", {"text/html": picture._repr_html_(), "text/plain": repr(picture)})
    cell = new_code_cell("draw()", outputs=[output], execution_count=1)
    page = BeautifulSoup(FlatlibExporter().from_notebook_node(new_notebook(cells=[cell]))[0], "html.parser")
    assert page.find_all("figure") == BeautifulSoup(picture.html, "html.parser").find_all("figure")
    assert len(page.select(".output svg path")) == 2 * (8 + 4)
