"""A cell as a graph: its depth (Sec. F), what it is made of, and how it is drawn, as in the paper's Figure B."""

import html
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from flatlib.display.plots import PALETTE
from flatlib.spaces import NAS_BENCH_201, Genotype, string_to_arch

# Without parameters warm, convolutions cool, by their kernel.
COLORS = {"skip": PALETTE[2], "pool": PALETTE[4], "1": PALETTE[6], "3": PALETTE[1], "5": PALETTE[3]}


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
    name = operation.replace("nor_conv", "conv").replace("skip_connect", "skip")
    name = re.sub(r"(?<=[a-z])_(?:conv|pool)(?=_)", "", name)
    return re.sub(r"(\d)x(\d)", r"\1×\2", name).replace("_", " ")


def operation_color(operation: str) -> str:
    """By kind: skip-connection, pooling, convolution of a kernel."""
    kernel = re.search(r"(\d)x\d", operation)
    kind = next((kind for kind in ("skip", "pool") if kind in operation), kernel[1] if kernel else "")
    return COLORS.get(kind, "#999999" if operation == "none" else PALETTE[5])


def bar_style(operation: str) -> dict[str, Any]:
    """Of an operation in stacked bars; hatched where another operation has its color."""
    hatch = {"dil": "/", "avg": "."}.get(operation[:3], "")
    marker = {"color": operation_color(operation), "line": {"width": 0}, "pattern": {"shape": hatch}}
    return {"name": short_name(operation), "legendgroup": operation, "marker": marker}


# --- drawn: left to right by depth, readable on light and dark pages ------------------------------

GAP, TAIL, NODE, INPUT, ROW = 34, 6, 24, 36, 26  # px: curves, name to node, widths of nodes, height of a row


class Box(NamedTuple):
    """A node, or the name of an operation."""

    x: float  # left edge
    y: float  # middle
    width: float

    def draw(self, text: str, height: int, style: str = 'rx="12"') -> str:
        """A rounded rectangle around a text in the page's color, `_{...}` set lower."""
        text = re.sub(r"_\{(.*)\}", r'<tspan dy="3" font-size="9">\1</tspan>', text)
        return (
            f'<rect x="{self.x:.1f}" y="{self.y - height / 2:.1f}" width="{self.width:.1f}" height="{height}" '
            f'{style}/><text x="{self.x + self.width / 2:.1f}" y="{self.y + 4:.1f}" '
            f'fill="currentColor" stroke="none">{text}</text>'
        )

    def curve_to(self, y: float) -> str:
        """The beginning of a path: from the right side to height y, within GAP."""
        rise = y - self.y
        curve = f"c{GAP * 0.6:.1f} 0 {GAP * 0.4:.1f} {rise:.1f} {GAP} {rise:.1f}"
        return f"M{self.x + self.width:.1f} {self.y:.1f}{curve}"


class Layout(NamedTuple):
    """Each node has rows of its own: what leads to it, or from it to the output, meets no name on its way."""

    nodes: list[Box]
    names: list[tuple[tuple[str, int, int], Box]]  # of the cell's operations, each left of its target node
    output: Box | None  # NAS-Bench-201 has none beside its nodes
    width: float
    height: float


def lay_out_cell(cell: Cell) -> Layout:
    """Nodes in columns by depth, in rows by number; before each the names of its operations, in rows by source."""
    depths, rows = node_depths(cell), 0.3
    label = 14 + 6.6 * max((len(short_name(operation)) for operation, *_ in cell.operations), default=1)
    step = GAP + label + TAIL + NODE
    inner, names = [], []
    for node in range(cell.n_inputs, cell.n_nodes):
        incoming = sorted((edge for edge in cell.operations if edge[2] == node), key=lambda edge: edge[1])
        x, n_rows = INPUT + depths.get(node, 1) * step - NODE, max(len(incoming), 1)
        names += [(edge, Box(x - TAIL - label, (rows + at + 0.5) * ROW, label)) for at, edge in enumerate(incoming)]
        inner.append(Box(x, (rows + n_rows / 2) * ROW, NODE))
        rows += n_rows + 0.3
    height, right = rows * ROW, INPUT + max(1, *depths.values()) * step
    inputs = [Box(1, height * (at + 0.5) / cell.n_inputs, INPUT - 1) for at in range(cell.n_inputs)]
    output = Box(right + GAP, height / 2, NODE) if cell.n_inputs > 1 else None
    return Layout([*inputs, *inner], names, output, (right + GAP + NODE if output else right) + 1, height)


@dataclass(frozen=True)
class CellGraph:
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
    free = f", {count_operations(cell).parameter_free_share:.0%} without parameters" if n else ""
    size = f'viewBox="0 0 {layout.width:.0f} {layout.height:.0f}" width="100%"'
    look = 'font-size="12" text-anchor="middle" fill="none" stroke="currentColor"'
    return (
        f'<figure style="margin: 0; flex: 1 1 {0.9 * layout.width:.0f}px; max-width: {layout.width:.0f}px; '
        f'overflow-x: auto"><svg {size} style="min-width: {0.72 * layout.width:.0f}px" role="img" '
        f'aria-label="{html.escape(in_words(title, cell))}" {look}>{"".join(_shapes(cell, layout))}</svg>'
        f'<figcaption style="font-size: 0.875rem"><b>{html.escape(title)}</b>: depth {depth(cell)}, '
        f"{n} operation{'s' * (n != 1)}{free}</figcaption></figure>"
    )


def _shapes(cell: Cell, layout: Layout) -> list[str]:
    """Operations in their colors, from node through name to node; lines of the joined nodes; nodes."""
    shapes, nodes = [], layout.nodes
    for (operation, source, target), name in layout.names:
        color = operation_color(operation)
        tail = f"M{name.x + name.width:.1f} {name.y:.1f}L{nodes[target].x:.1f} {nodes[target].y:.1f}"
        path = f"{nodes[source].curve_to(name.y)}H{name.x:.1f}{tail}"
        shapes.append(f'<path d="{path}" stroke="{color}" stroke-width="2"/>')
        style = f'rx="5" stroke="{color}" fill="{color}" fill-opacity="0.18"'
        shapes.append(name.draw(html.escape(short_name(operation)), 20, style))
    if output := layout.output:
        for node in cell.outputs:
            turn = Box(output.x - GAP, nodes[node].y, 0)
            path = f"M{nodes[node].x + nodes[node].width:.1f} {turn.y:.1f}H{turn.x:.1f}{turn.curve_to(output.y)}"
            shapes.append(f'<path d="{path}" opacity="0.5"/>')
        shapes.append(output.draw("c_{k}", 24))
    return shapes + [box.draw(cell.label(node), 24) for node, box in enumerate(nodes)]
