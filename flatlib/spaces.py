"""Search spaces: cells, edges, operations and genotypes as plain data (Sec. 3.1).

NAS-Bench-201 is complete here: architecture strings, operation indices, isomorphism classes.
DARTS and S3 give their operations, their edges and validated genotypes.
"""

import ast
import itertools
import json
import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Space:
    """A cell search space: every edge of a fixed DAG takes one of `operations`."""

    name: str
    operations: tuple[str, ...]  # in the order of operation indices
    edges: tuple[tuple[int, int], ...]  # (source node, target node), in the order of arch columns

    @property
    def n_cells(self) -> int:
        """Number of one-hot cells, m ** E."""
        return len(self.operations) ** len(self.edges)


NAS_BENCH_201 = Space(
    "nas-bench-201",
    ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)),
)
_DARTS_EDGES = tuple((source, node) for node in range(2, 6) for source in range(node))
DARTS = Space(
    "darts",
    (
        *("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    ),
    _DARTS_EDGES,
)
S3 = Space("s3", ("none", "skip_connect", "sep_conv_3x3"), _DARTS_EDGES)
# What the cells of Tables 4 and 5 are written in; no search takes it, so it is not one of SPACES.
PUBLISHED = Space("the evaluation phase", (*DARTS.operations, "sep_conv_7x7", "conv_7x1_1x7"), _DARTS_EDGES)
SPACES = {space.name: space for space in (NAS_BENCH_201, DARTS, S3)}


def all_archs(space: Space = NAS_BENCH_201) -> np.ndarray:  # (m ** E, E) operation indices
    """Every cell of a space, the last edge changing fastest."""
    return np.stack(np.unravel_index(np.arange(space.n_cells), [len(space.operations)] * len(space.edges)), axis=1)


# --- NAS-Bench-201: strings and isomorphism -----------------------------------------------------


def arch_to_string(arch: np.ndarray) -> str:  # arch (6,)
    """Operation indices to the benchmark's string.

    >>> arch_to_string(np.array([3, 0, 1, 2, 4, 1]))
    '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|'
    """
    words = [f"{NAS_BENCH_201.operations[op]}~{edge[0]}|" for op, edge in zip(arch, NAS_BENCH_201.edges, strict=True)]
    return f"|{words[0]}+|{''.join(words[1:3])}+|{''.join(words[3:])}"


def string_to_arch(text: str) -> np.ndarray:  # (6,)
    """The benchmark's string to operation indices; ValueError, one line, for anything else."""
    text = text[:200]  # longer than any cell
    words = re.findall(r"([a-z_0-9]+)~(\d)", text)
    sources = [str(source) for source, _ in NAS_BENCH_201.edges]
    arch = [NAS_BENCH_201.operations.index(op) if op in NAS_BENCH_201.operations else -1 for op, _ in words]
    if [source for _, source in words] != sources or -1 in arch or arch_to_string(np.array(arch)) != text:
        raise ValueError(
            f"{text[:80]!r} is no NAS-Bench-201 cell; expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2| "
            f"with op one of {', '.join(NAS_BENCH_201.operations)}"
        )
    return np.array(arch)


def prune_dead_edges(arch: np.ndarray) -> np.ndarray:  # (6,) -> (6,)
    """Set to `none` every edge that lies on no path from the input to the output."""
    edges = NAS_BENCH_201.edges
    reached, useful = {0}, {3}
    for op, (source, node) in zip(arch, edges, strict=True):
        if op and source in reached:
            reached.add(node)
    for op, (source, node) in sorted(zip(arch, edges, strict=True), key=lambda item: -item[1][0]):
        if op and node in useful:
            useful.add(source)
    alive = [source in reached and node in useful for source, node in edges]
    return np.where(alive, arch, 0)


def _output_terms(arch: np.ndarray, label: dict[int, int]) -> list[tuple]:
    """Per edge the term that it adds, per node the flattened sum; convolutions carry labels."""
    nodes: list[tuple] = [("x",), (), (), ()]
    terms: list[tuple] = []
    for edge, (op, (source, node)) in enumerate(zip(arch, NAS_BENCH_201.edges, strict=True)):
        term = nodes[source] if op == 1 else ((int(op), label.get(edge, 0), nodes[source]),) if op else ()
        nodes[node] = tuple(sorted(nodes[node] + term, key=repr))
        terms.append(term)
    return [*terms, nodes[3]]


def network_form(arch: np.ndarray) -> str:
    """The exact isomorphism key of the graph (5,260 classes): equal keys are the same network.

    Dead edges are pruned, skips contracted and sums flattened. A convolution has weights of its
    own, so one convolution used twice stays different from two: convolutions with equal inputs
    are labeled, and the smallest form over all labelings is the key.
    """
    arch = prune_dead_edges(arch)
    twins = defaultdict(list)
    for edge, term in enumerate(_output_terms(arch, {})[:-1]):
        if arch[edge] in (2, 3):
            twins[term].append(edge)
    labelings = itertools.product(*(itertools.permutations(range(len(group))) for group in twins.values()))
    edges = [edge for group in twins.values() for edge in group]
    return min(
        repr(_output_terms(arch, dict(zip(edges, itertools.chain(*labels), strict=True)))[-1]) for labels in labelings
    )


def isomorphism_classes(archs: np.ndarray) -> np.ndarray:  # (A, 6) -> (A,)
    """For each cell the row of the first cell of its class: the class's representative."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(network_form(arch), row) for row, arch in enumerate(archs)])


# --- DARTS genotypes ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Genotype:
    """A found cell pair: per node two (operation, source) pairs, and the nodes that are joined."""

    normal: tuple[tuple[str, int], ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[tuple[str, int], ...]
    reduce_concat: tuple[int, ...]

    def to_json(self) -> dict[str, list]:
        """The project's JSON form of a genotype."""
        return json.loads(json.dumps(asdict(self)))  # lists for tuples


def _cell(pairs: Any, concat: Any, space: Space, kind: str) -> tuple[tuple, tuple]:
    """Validate one cell; two inputs a node, sources that exist, operations of the space."""
    if not (isinstance(pairs, (list, tuple)) and len(pairs) and len(pairs) % 2 == 0):
        raise ValueError(f"genotype: {kind} needs an even number of (operation, source) pairs, two a node")
    for at, pair in enumerate(pairs):
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and type(pair[1]) is int):
            raise ValueError(f"genotype: {kind}[{at}] = {pair!r:.80} is not an (operation, source) pair")
        if pair[0] not in space.operations:
            raise ValueError(
                f"genotype: {kind}[{at}] has operation {pair[0]!r:.80}; {space.name} has {', '.join(space.operations)}"
            )
        if not 0 <= pair[1] < 2 + at // 2:
            raise ValueError(f"genotype: {kind}[{at}] reads node {pair[1]!r:.80}; allowed are 0 to {1 + at // 2}")
    nodes = range(2 + len(pairs) // 2)
    listed = isinstance(concat, (list, tuple)) and len(concat)
    if not listed or not all(type(node) is int and node in nodes for node in concat):
        raise ValueError(f"genotype: {kind}_concat = {concat!r:.80}; expected some of the nodes 0 to {nodes[-1]}")
    return tuple((op, source) for op, source in pairs), tuple(concat)


def genotype(data: Any, space: Space = DARTS) -> Genotype:
    """A validated genotype from its JSON form; ValueError, one line, for anything else."""
    fields = ("normal", "normal_concat", "reduce", "reduce_concat")
    if not isinstance(data, dict) or set(data) != set(fields):
        raise ValueError(f"genotype: expected exactly the fields {', '.join(fields)}")
    cells = [_cell(data[kind], data[f"{kind}_concat"], space, kind) for kind in ("normal", "reduce")]
    return Genotype(*cells[0], *cells[1])


def parse_genotype(text: str, space: Space = DARTS) -> Genotype:
    """Pasted `Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)`.

    The text is parsed, never evaluated: only literals and `range` are understood.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"):
            raise ValueError
        values = {str(field.arg): _literal(field.value) for field in call.keywords}
        if call.args or len(values) < len(call.keywords):  # a field twice
            raise ValueError
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        expected = "expected Genotype(normal=[...], normal_concat=[...], reduce=[...], reduce_concat=[...])"
        raise ValueError(f"genotype {text[:60]!r}: {expected}") from None
    return genotype(values, space)


def _literal(node: ast.expr) -> Any:
    """A literal, or `range(...)` of integers as a list of at most 100 numbers, also as `list(range(...))`."""
    match node:
        case ast.Call(ast.Name("list"), [inner], []):
            return _literal(inner)
        case ast.Call(ast.Name("range"), bounds, []):
            return list(range(*map(ast.literal_eval, bounds))[:100])
    return ast.literal_eval(node)
