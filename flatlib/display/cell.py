"""A cell as a graph: its depth (Sec. F), what it is made of, and how it is drawn, as in the paper's Figure B."""

import html
import math
import re
from typing import NamedTuple

from IPython.display import HTML

from flatlib.display.plots import GRAY, PALETTE
from flatlib.spaces import NAS_BENCH_201, Genotype, Space, string_to_arch

# Without parameters warm, convolutions cool, by their kernel; the first that an operation's name holds.
COLORS = {"none": GRAY, "skip": PALETTE[2], "pool": PALETTE[4], "1x1": PALETTE[6], "3x3": PALETTE[1]}
COLORS |= {"5x5": PALETTE[3], "": PALETTE[5]}
Edge = tuple[str, int, int]  # operation, source, target


class Cell(NamedTuple):
    """One cell as a graph; its nodes are numbered as in a genotype, inputs first."""

    n_inputs: int  # DARTS 2, NAS-Bench-201 1
    n_nodes: int  # inputs included
    edges: tuple[Edge, ...]  # by target
    outputs: tuple[int, ...]  # nodes that are joined to the output; NAS-Bench-201's last node is the output

    @property
    def operations(self) -> list[Edge]:
        """Edges that carry something: all but `none`."""
        return [edge for edge in self.edges if edge[0] != "none"]

    def label(self, node: int) -> str:
        """The paper's name of a node: c_{k-2}, c_{k-1}, then 0, 1, ..., at last c_{k}; NAS-Bench-201's own number."""
        names = ["c_{k-2}", "c_{k-1}", *map(str, range(self.n_nodes - 2)), "c_{k}"]
        return str(node) if self.n_inputs == 1 else names[node]


def cell_kinds(space: Space) -> tuple[str, ...]:
    """What a search of the space finds, as `cells` names it."""
    return ("cell",) if space.name == "nas-bench-201" else ("normal cell", "reduction cell")


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


def describe(cell: Cell) -> dict[str, float]:
    """What Section F speaks of; the shares are of the operations other than `none`, nan without one.

    The depth is that of the deepest node which is joined to the output. Skip-connections count, the joining itself
    does not, and `none` is no path. The paper defines no depth; with this one DARTS's two published normal cells
    have 2, within its "mostly 1 or 2" of DARTS.
    """
    names, depths = [operation for operation, *_ in cell.operations], node_depths(cell)
    skips, pools = (sum(kind in name for name in names) for kind in ("skip", "pool"))
    return {
        "depth": max(depths.get(node, 0) for node in cell.outputs),
        "skip %": 100 * skips / (len(names) or math.nan),
        "without parameters %": 100 * (skips + pools) / (len(names) or math.nan),
        "convolutions": sum("conv" in name for name in names),
        "5×5": sum("5x5" in name for name in names),
    }


def short_name(operation: str) -> str:
    """An operation's name for a small space.

    >>> [short_name(name) for name in ("sep_conv_3x3", "nor_conv_1x1", "max_pool_3x3", "skip_connect")]
    ['sep 3×3', 'conv 1×1', 'max 3×3', 'skip']
    """
    name = re.sub("nor_|_connect", "", operation)
    return re.sub("_(conv|pool)_|_", " ", re.sub(r"(\d)x(\d)", r"\1×\2", name))


def operation_color(operation: str) -> str:
    """By kind: skip-connection, pooling, convolution of a kernel."""
    return next(color for kind, color in COLORS.items() if kind in operation)


# --- drawn: left to right by depth, readable on light and dark pages ------------------------------

GAP, TAIL, NODE, INPUT = 34, 6, 24, 36  # px: curves, from name to node, widths of nodes
ROW, SPACE = 26, 8  # px: heights


def draw_cells(found: Genotype | str, name: str = "") -> HTML:
    """A genotype's cells beside each other, or NAS-Bench-201's one."""
    figures = [_figure(", ".join(filter(None, (name, kind))), cell) for kind, cell in cells(found).items()]
    row = f'<div style="display: flex; flex-wrap: wrap; gap: 16px 28px; align-items: start">{"".join(figures)}</div>'
    return HTML(row)


def _figure(title: str, cell: Cell) -> str:
    """SVG with a caption; it shrinks a little before it wraps, and more before it scrolls: a phone shows depth 3."""
    shapes, width, height = _draw(cell)
    facts, n = describe(cell), len(cell.operations)
    free = f", {facts['without parameters %']:.0f}% without parameters" if n else ""
    words = "; ".join(f"{name} {cell.label(source)} to {cell.label(to)}" for name, source, to in cell.operations)
    return (
        f'<figure style="margin: 0; flex: 1 1 {0.9 * width:.0f}px; max-width: {width}px; overflow-x: auto">'
        f'<svg viewBox="0 0 {width} {height}" width="100%" style="min-width: {0.72 * width:.0f}px" role="img" '
        f'aria-label="{html.escape(f"{title}: {words}")}" font-size="12" text-anchor="middle" fill="none" '
        f'stroke="currentColor">{shapes}</svg><figcaption style="font-size: 0.875rem"><b>{html.escape(title)}</b>: '
        f"depth {facts['depth']}, {n} operation{'s' * (n != 1)}{free}</figcaption></figure>"
    )


def _draw(cell: Cell) -> tuple[str, int, int]:
    """Shapes, width and height: nodes in columns by depth and rows by number, before each what leads to it.

    Each operation has a row of its own, so that no line meets a name or a node on its way.
    """
    depths, height, shapes = node_depths(cell), SPACE, []
    label = 14 + 7 * max((len(short_name(operation)) for operation, *_ in cell.operations), default=1)
    inner = range(cell.n_inputs, cell.n_nodes)
    rows = {node: sorted((at, operation) for operation, at, to in cell.operations if to == node) for node in inner}
    total = SPACE + sum(max(len(row), 1) * ROW + SPACE for row in rows.values())
    places = {at: (1, total * (2 * at + 1) // (2 * cell.n_inputs), INPUT - 1) for at in range(cell.n_inputs)}
    for node, row in rows.items():  # a place: left edge, middle, width
        x, size = INPUT + depths.get(node, 1) * (GAP + label + TAIL + NODE) - NODE, max(len(row), 1) * ROW
        places[node] = (x, height + size // 2, NODE)
        for at, (source, operation) in enumerate(row):
            y, color, left = height + ROW * at + ROW // 2, operation_color(operation), x - TAIL - label
            path = f"{_line(places[source], sum(places[source][::2]), y)}H{left}M{x - TAIL} {y}L{x} {places[node][1]}"
            shapes.append(f'<path d="{path}" stroke="{color}" stroke-width="2"/>')
            style = f'rx="5" stroke="{color}" fill="{color}" fill-opacity="0.18"'
            shapes.append(_box((left, y, label), 20, short_name(operation), style))
        height += size + SPACE
    right = max(x + width for x, _, width in places.values())
    if cell.n_inputs > 1:  # NAS-Bench-201's last node is the output
        lines = [_line(places[node], right, total // 2) for node in cell.outputs]
        shapes += [f'<path d="{line}" opacity="0.5"/>' for line in lines]
        places[cell.n_nodes] = (right + GAP, total // 2, NODE)
        right += GAP + NODE
    shapes += [_box(place, 24, cell.label(node), 'rx="12"') for node, place in places.items()]
    return "".join(shapes), right + 1, total


def _line(place: tuple[int, int, int], bend: int, y: int) -> str:
    """A path that leaves a node, and changes its height within GAP after the bend."""
    x, start, width = place
    return f"M{x + width} {start}H{bend}c20 0 14 {y - start} {GAP} {y - start}"


def _box(place: tuple[int, int, int], height: int, text: str, style: str) -> str:
    """A rectangle around a text in the page's color."""
    (x, y, width), shown = place, re.sub(r"_\{(.*)\}", r'<tspan dy="3" font-size="9">\1</tspan>', html.escape(text))
    return (
        f'<rect x="{x}" y="{y - height // 2}" width="{width}" height="{height}" {style}/>'
        f'<text x="{x + width / 2}" y="{y + 4}" fill="currentColor" stroke="none">{shown}</text>'
    )
