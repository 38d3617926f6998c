"""A cell as a graph: its depth (Sec. F), what it is made of, and the names and colors of operations in figures."""

import math
import re
from collections import Counter
from typing import Any, NamedTuple

from flatlib.display.plots import PALETTE
from flatlib.spaces import NAS_BENCH_201, Genotype, string_to_arch

# Without parameters warm, convolutions cool, by their kernel.
COLORS = {"skip": PALETTE[2], "pool": PALETTE[4], "1": PALETTE[6], "3": PALETTE[1], "5": PALETTE[3]}


class Cell(NamedTuple):
    """One cell as a graph; its nodes are numbered as in a genotype, inputs first."""

    n_inputs: int  # DARTS 2, NAS-Bench-201 1
    n_nodes: int  # inputs included
    edges: tuple[tuple[str, int, int], ...]  # (operation, source, target)
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
    for node in range(cell.n_inputs, cell.n_nodes):
        if paths := [depths[at] + 1 for _, at, target in cell.operations if target == node and at in depths]:
            depths[node] = max(paths)
    return depths


def depth(cell: Cell) -> int:
    """Operations on the longest path from an input to a node that is joined to the output; 0 without a path.

    Skip-connections count, the joining itself does not, and `none` is no path. The paper (Sec. F) defines no
    depth; with this one DARTS's two published normal cells have 2, within its "mostly 1 or 2" of DARTS.
    """
    depths = node_depths(cell)
    return max((depths[node] for node in cell.outputs if node in depths), default=0)


class Counts(NamedTuple):
    """What a cell is made of; the shares are of its operations other than `none`, nan without one."""

    operations: dict[str, int]
    skip_share: float
    parameter_free_share: float  # skip-connections and pooling, in reduction cells too


def count_operations(cell: Cell) -> Counts:
    """How often each operation is in the cell, and the shares of skip-connections and of parameter-free ones."""
    n = len(cell.operations)
    skips = sum(operation == "skip_connect" for operation, *_ in cell.operations)
    free = skips + sum("_pool_" in operation for operation, *_ in cell.operations)
    counts = Counter(operation for operation, *_ in cell.edges)
    return Counts(dict(counts), skips / n if n else math.nan, free / n if n else math.nan)


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
