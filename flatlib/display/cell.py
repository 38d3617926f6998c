"""A cell as a graph: its depth (Sec. F), what it is made of, and how it is drawn, as in the paper's Figure B."""

import html
import math
import re
from collections import Counter
from typing import Any, NamedTuple

from flatlib.display.plots import PALETTE
from flatlib.spaces import NAS_BENCH_201, Genotype, string_to_arch

# Without parameters warm, convolutions cool, by their kernel.
COLORS = {"skip": PALETTE[2], "pool": PALETTE[4], "1x1": PALETTE[6], "3x3": PALETTE[1], "5x5": PALETTE[3]}


class Cell(NamedTuple):
    """One cell as a graph; its nodes are numbered as in a genotype, inputs first."""

    n_inputs: int  # DARTS 2, NAS-Bench-201 1
    n_nodes: int  # inputs included
    edges: tuple[tuple[str, int, int], ...]  # (operation, source, target), by target
    outputs: tuple[int, ...]  # nodes that are joined to the output; NAS-Bench-201's last node is the output

    @property
    def operations(self) -> list[tuple[str, int, int]]:
        """Edges that carry something: all but `none`."""
        return [edge for edge in self.edges if edge[0] != "none"]

    def label(self, node: int) -> str:
        """The paper's name of a node: c_{k-2}, c_{k-1}, then 0, 1, ...; NAS-Bench-201's own number."""
        if self.n_inputs == 1:
            return str(node)
        return f"c_{{k-{2 - node}}}" if node < 2 else str(node - 2)


def cells(found: Genotype | str) -> dict[str, Cell]:
    """Name -> cell: the normal and the reduction cell of a genotype, the one of a NAS-Bench-201 string."""
    if isinstance(found, str):
        named = zip(string_to_arch(found), NAS_BENCH_201.edges, strict=True)
        return {"cell": Cell(1, 4, tuple((NAS_BENCH_201.operations[op], *edge) for op, edge in named), (3,))}
    halves = {"normal cell": (found.normal, found.normal_concat), "reduction cell": (found.reduce, found.reduce_concat)}
    return {
        name: Cell(2, 2 + len(pairs) // 2, tuple((op, at, 2 + n // 2) for n, (op, at) in enumerate(pairs)), concat)
        for name, (pairs, concat) in halves.items()
    }


def node_depths(cell: Cell) -> dict[int, int]:
    """Node -> operations on the longest path from an input to it; without the nodes that no path leads to."""
    depths = dict.fromkeys(range(cell.n_inputs), 0)
    for _, source, target in cell.operations:
        if source in depths:
            depths[target] = max(depths.get(target, 0), depths[source] + 1)
    return depths


def depth(cell: Cell) -> int:
    """Operations on the longest path from an input to a node that is joined to the output; 0 without a path.

    Skip-connections count, the joining itself does not, and `none` is no path. The paper (Sec. F) defines no
    depth; with this one DARTS's two published normal cells have 2, within its "mostly 1 or 2" of DARTS.
    """
    return max(node_depths(cell).get(node, 0) for node in cell.outputs)


class Counts(NamedTuple):
    """What a cell is made of; the shares are of its operations other than `none`, nan without one."""

    operations: dict[str, int]
    skip_share: float
    parameter_free_share: float  # skip-connections and pooling, in reduction cells too


def count_operations(cell: Cell) -> Counts:
    """How often each operation is in the cell, and the shares of skip-connections and of parameter-free ones."""
    n = len(cell.operations) or math.nan
    skips = sum(operation == "skip_connect" for operation, *_ in cell.operations)
    pools = sum("_pool_" in operation for operation, *_ in cell.operations)
    return Counts(dict(Counter(operation for operation, *_ in cell.edges)), skips / n, (skips + pools) / n)


def short_name(operation: str) -> str:
    """An operation's name for a small space.

    >>> [short_name(name) for name in ("sep_conv_3x3", "nor_conv_1x1", "max_pool_3x3", "skip_connect")]
    ['sep 3×3', 'conv 1×1', 'max 3×3', 'skip']
    """
    name = re.sub("nor_|_connect", "", operation)
    return re.sub("_(conv|pool)_|_", " ", re.sub(r"(\d)x(\d)", r"\1×\2", name))


def operation_color(operation: str) -> str:
    """By kind: skip-connection, pooling, convolution of a kernel."""
    other = "#999999" if operation == "none" else PALETTE[5]
    return next((color for kind, color in COLORS.items() if kind in operation), other)


def bar_style(operation: str) -> dict[str, Any]:
    """Of an operation in stacked bars; hatched where another operation has its color."""
    hatch = {"dil": "/", "avg": "."}.get(operation[:3], "")
    marker = {"color": operation_color(operation), "line": {"width": 0}, "pattern": {"shape": hatch}}
    return {"name": short_name(operation), "legendgroup": operation, "marker": marker}


# --- drawn: left to right by depth, readable on light and dark pages ------------------------------

GAP, TAIL, NODE, INPUT = 34, 6, 24, 36  # px: curves, from name to node, widths of nodes
ROW, SPACE = 26, 8  # px: heights


class Box(NamedTuple):
    """A node, or the name of an operation, in px."""

    x: int  # left edge
    y: int  # middle
    width: int

    @property
    def right(self) -> int:
        return self.x + self.width

    def draw(self, text: str, height: int, style: str) -> str:
        """A rectangle around a text in the page's color."""
        return (
            f'<rect x="{self.x}" y="{self.y - height // 2}" width="{self.width}" height="{height}" {style}/>'
            f'<text x="{self.x + self.width / 2}" y="{self.y + 4}" fill="currentColor" stroke="none">{text}</text>'
        )


class Layout(NamedTuple):
    """Each node has rows of its own: what leads to it, or from it to the output, meets no name on its way."""

    nodes: list[Box]  # the last is the output, which NAS-Bench-201 does not have beside its nodes
    names: list[tuple[tuple[str, int, int], Box]]  # of the cell's operations, each left of its target node
    width: int
    height: int


def lay_out_cell(cell: Cell) -> Layout:
    """Nodes in columns by depth, in rows by number; before each the names of its operations, in rows by source."""
    depths, nodes, names, height = node_depths(cell), [], [], SPACE
    label = 14 + 7 * max((len(short_name(operation)) for operation, *_ in cell.operations), default=1)
    for node in range(cell.n_inputs, cell.n_nodes):
        incoming = sorted((edge for edge in cell.operations if edge[2] == node), key=lambda edge: edge[1])
        x, rows = INPUT + depths.get(node, 1) * (GAP + label + TAIL + NODE) - NODE, max(len(incoming), 1) * ROW
        ys = range(height + ROW // 2, height + rows, ROW)
        names += [(edge, Box(x - TAIL - label, y, label)) for edge, y in zip(incoming, ys, strict=False)]
        nodes.append(Box(x, height + rows // 2, NODE))
        height += rows + SPACE
    if cell.n_inputs > 1:
        nodes.append(Box(max(box.right for box in nodes) + GAP, height // 2, NODE))
    inputs = [Box(1, height * (2 * at + 1) // (2 * cell.n_inputs), INPUT - 1) for at in range(cell.n_inputs)]
    return Layout([*inputs, *nodes], names, max(box.right for box in nodes) + 1, height)


class CellGraph(NamedTuple):
    """Drawn cells: a picture in JupyterLab and on pages, words elsewhere."""

    html: str
    words: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.words


def draw_cells(found: Genotype | str, name: str = "", *, note: str = "") -> CellGraph:
    """A genotype's cells beside each other, or NAS-Bench-201's one; below them a note, such as where it comes from."""
    named = {", ".join(filter(None, (name, kind))): cell for kind, cell in cells(found).items()}
    figures = "".join(_figure(title, cell) for title, cell in named.items())
    below = f'<p style="font-size: 0.875rem; margin: 4px 0 0; opacity: 0.8">{html.escape(note)}</p>' * bool(note)
    words = [in_words(title, cell) for title, cell in named.items()] + [note] * bool(note)
    row = f'<div style="display: flex; flex-wrap: wrap; gap: 16px 28px; align-items: start">{figures}</div>'
    return CellGraph(row + below, "\n".join(words))


def in_words(title: str, cell: Cell) -> str:
    """The cell as a sentence, for those who do not see it."""
    sums = []
    for node in range(cell.n_inputs, cell.n_nodes):
        terms = [f"{operation}({cell.label(source)})" for operation, source, to in cell.operations if to == node]
        sums.append(f"{cell.label(node)} = {' + '.join(terms) or 'nothing'}")
    joined = [f"c_{{k}} joins {', '.join(map(cell.label, cell.outputs))}"] if cell.n_inputs > 1 else []
    return f"{title}, depth {depth(cell)}: {'; '.join([*sums, *joined])}"


def _figure(title: str, cell: Cell) -> str:
    """SVG with a caption; it shrinks a little before it wraps, and more before it scrolls: a phone shows depth 3."""
    layout, n = lay_out_cell(cell), len(cell.operations)
    width, height = layout[2:]
    free = f", {count_operations(cell).parameter_free_share:.0%} without parameters" if n else ""
    return (
        f'<figure style="margin: 0; flex: 1 1 {0.9 * width:.0f}px; max-width: {width}px; overflow-x: auto">'
        f'<svg viewBox="0 0 {width} {height}" width="100%" style="min-width: {0.72 * width:.0f}px" role="img" '
        f'aria-label="{html.escape(in_words(title, cell))}" font-size="12" text-anchor="middle" fill="none" '
        f'stroke="currentColor">{"".join(_shapes(cell, layout))}</svg><figcaption style="font-size: 0.875rem">'
        f"<b>{html.escape(title)}</b>: depth {depth(cell)}, {n} operation{'s' * (n != 1)}{free}</figcaption></figure>"
    )


def _shapes(cell: Cell, layout: Layout) -> list[str]:
    """Operations in their colors, from node through name to node; lines of the joined nodes; nodes."""
    shapes, nodes, joined = [], layout.nodes, cell.outputs if cell.n_inputs > 1 else ()
    for (operation, source, target), name in layout.names:
        color, start, end = operation_color(operation), nodes[source], nodes[target]
        path = f"M{start.right} {start.y}{_curve(name.y - start.y)}H{name.x}M{name.right} {name.y}L{end.x} {end.y}"
        shapes.append(f'<path d="{path}" stroke="{color}" stroke-width="2"/>')
        style = f'rx="5" stroke="{color}" fill="{color}" fill-opacity="0.18"'
        shapes.append(name.draw(html.escape(short_name(operation)), 20, style))
    for start in (nodes[node] for node in joined):
        path = f"M{start.right} {start.y}H{nodes[-1].x - GAP}{_curve(nodes[-1].y - start.y)}"
        shapes.append(f'<path d="{path}" opacity="0.5"/>')
    for box, label in zip(nodes, [*map(cell.label, range(cell.n_nodes)), "c_{k}"], strict=False):
        text = re.sub(r"_\{(.*)\}", r'<tspan dy="3" font-size="9">\1</tspan>', label)
        shapes.append(box.draw(text, 24, 'rx="12"'))
    return shapes


def _curve(rise: int) -> str:
    """The part of a path that changes its height, within GAP."""
    return f"c20 0 14 {rise} {GAP} {rise}"
