"""A cell drawn as in the paper's Figure B: left to right by depth, readable on light and dark pages."""

import html
from dataclasses import dataclass
from typing import NamedTuple

from flatlib.display.cell import Cell, cells, count_operations, depth, node_depths, operation_color, short_name
from flatlib.spaces import Genotype

GAP, TAIL, NODE, INPUT, ROW = 34, 6, 24, 36, 26  # px: curves, name to node, widths of nodes, height of a row
FIGURE = """<figure style="margin: 0; flex: 1 1 {basis}px; max-width: {width}px; min-width: min({least}px, 100%)">\
<div style="overflow-x: auto"><svg viewBox="0 0 {width} {height}" width="100%" style="min-width: {least}px" \
role="img" aria-label="{words}" font-size="12" text-anchor="middle" fill="none" stroke="currentColor">{shapes}</svg>\
</div><figcaption style="font-size: 0.875rem"><b>{title}</b>: {facts}</figcaption></figure>"""


class Box(NamedTuple):
    """A node, or the name of an operation."""

    x: float  # left edge
    y: float  # middle
    width: float


class Layout(NamedTuple):
    """Each node has rows of its own: what leads to it, or from it to the output, meets no name on its way."""

    nodes: list[Box]
    names: list[tuple[tuple[str, int, int], Box]]  # of the cell's operations, each left of its target node
    output: Box | None  # NAS-Bench-201 has none beside its nodes
    width: float
    height: float


def lay_out_cell(cell: Cell) -> Layout:
    """Nodes in columns by depth, in rows by number; before each the names of its operations, in rows by source."""
    depths, rows = node_depths(cell), 0.3 + 0.7 * sum(node < cell.n_inputs for node in cell.outputs)
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


# --- the picture ----------------------------------------------------------------------------------


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
    named = {_title(name, kind): cell for kind, cell in cells(found).items()}
    figures = "".join(_figure(title, cell) for title, cell in named.items())
    below = f'<p style="font-size: 0.875rem; margin: 4px 0 0; opacity: 0.8">{html.escape(note)}</p>' if note else ""
    words = [in_words(title, cell) for title, cell in named.items()]
    return CellGraph(
        f'<div style="display: flex; flex-wrap: wrap; gap: 16px 28px; align-items: start">{figures}</div>{below}',
        "\n".join([*words, *([note] if note else [])]),
    )


def _title(name: str, kind: str) -> str:
    """NAS-Bench-201's one cell needs no kind beside a name."""
    return kind if not name else name if kind == "cell" else f"{name}, {kind}"


def in_words(title: str, cell: Cell) -> str:
    """The cell as a sentence, for those who do not see it."""
    sums = []
    for node in range(cell.n_inputs, cell.n_nodes):
        terms = [f"{operation}({cell.label(source)})" for operation, source, to in cell.operations if to == node]
        sums.append(f"{cell.label(node)} = {' + '.join(terms) or 'nothing'}")
    joined = [f"c_{{k}} joins {', '.join(map(cell.label, cell.outputs))}"] if cell.n_inputs > 1 else []
    return f"{title}, depth {depth(cell)}: {'; '.join([*sums, *joined])}"


def _figure(title: str, cell: Cell) -> str:
    """SVG in the color of the text, with a caption; it shrinks a little before it wraps, and more before it scrolls.

    A cell of depth 3 fits a phone without scrolling.
    """
    layout, counts, n = lay_out_cell(cell), count_operations(cell), len(cell.operations)
    facts = [f"depth {depth(cell)}", f"{n} operation{'s' * (n != 1)}"]
    if n:
        facts.append(f"{counts.parameter_free_share:.0%} without parameters")
    return FIGURE.format(
        basis=round(0.9 * layout.width),
        width=round(layout.width),
        least=round(0.72 * layout.width),
        height=round(layout.height),
        words=html.escape(in_words(title, cell)),
        title=html.escape(title),
        facts=", ".join(facts),
        shapes="".join([*_joins(cell, layout), *_operations(cell, layout), *_nodes(cell, layout)]),
    )


def _line(start: Box, y: float, end: float, style: str) -> str:
    """From a box's right side: within GAP to the height y, then straight on."""
    x, rise = start.x + start.width, y - start.y
    curve = f"c{GAP * 0.6:.1f} 0 {GAP * 0.4:.1f} {rise:.1f} {GAP} {rise:.1f}"
    return f'<path d="M{x:.1f} {start.y:.1f}{curve}H{end:.1f}" {style}/>'


def _joins(cell: Cell, layout: Layout) -> list[str]:
    """From the joined nodes to the output: straight on, and a curve in the last gap."""
    output = layout.output
    if output is None:
        return []
    start = output.x - GAP
    lines = []
    for at, node in enumerate(cell.outputs):
        box = layout.nodes[node]
        if node < cell.n_inputs:  # along a row of its own, above all nodes
            lane = (0.5 + 0.7 * at) * ROW
            lines.append(_line(box, lane, start, 'opacity="0.5"'))
            box = Box(start, lane, 0)
        else:
            lines.append(f'<path d="M{box.x + box.width:.1f} {box.y:.1f}H{start:.1f}" opacity="0.5"/>')
            box = Box(start, box.y, 0)
        lines.append(_line(box, output.y, output.x, 'opacity="0.5"'))
    return lines


def _operations(cell: Cell, layout: Layout) -> list[str]:
    shapes = []
    for (operation, source, target), box in layout.names:
        color, node, right = operation_color(operation), layout.nodes[target], box.x + box.width
        style = f'stroke="{color}" stroke-width="2"'
        hover = html.escape(f"{operation} from {cell.label(source)} to {cell.label(target)}")
        shapes += [
            _line(layout.nodes[source], box.y, box.x, style),
            f'<path d="M{right:.1f} {box.y:.1f}L{node.x:.1f} {node.y:.1f}" {style}/>',
            f"<g><title>{hover}</title>",
            f'<rect x="{box.x:.1f}" y="{box.y - 10:.1f}" width="{box.width:.1f}" height="20" rx="5" '
            f'stroke="{color}" fill="{color}" fill-opacity="0.18"/>',
            _text(box, html.escape(short_name(operation))),
            "</g>",
        ]
    return shapes


def _nodes(cell: Cell, layout: Layout) -> list[str]:
    labels = [cell.label(node) for node in range(cell.n_nodes)] + ["c_{k}"]
    boxes = [*layout.nodes, layout.output] if layout.output else layout.nodes
    shapes = []
    for label, box in zip(labels, boxes, strict=False):
        letter, _, index = label.rstrip("}").partition("_{")
        low = f'<tspan dy="3" font-size="9">{index.replace("-", "−")}</tspan>' if index else ""
        shapes.append(
            f'<rect x="{box.x:.1f}" y="{box.y - 12:.1f}" width="{box.width}" height="24" rx="12"/>'
            + _text(box, letter + low)
        )
    return shapes


def _text(box: Box, content: str) -> str:
    return (
        f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + 4:.1f}" fill="currentColor" stroke="none">{content}</text>'
    )
