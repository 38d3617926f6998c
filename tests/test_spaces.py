"""Search spaces: against the official API, path enumeration, and a numeric network for every cell of the space."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flatlib.spaces import (
    DARTS,
    NAS_BENCH_201,
    S3,
    SPACES,
    all_archs,
    arch_to_string,
    isomorphism_classes,
    network_form,
    prune_dead_edges,
    string_to_arch,
)

ROOT = Path(__file__).parents[1]
seeded = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))

NONE, SKIP, CONV1, CONV3, POOL = range(5)
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")  # the benchmark's own order
PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))  # edges of 0-3, 0-1-3, 0-2-3, 0-1-2-3
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|"

archs_201 = st.lists(st.integers(0, 4), min_size=6, max_size=6).map(np.array)


def refusal(function, *arguments):
    with pytest.raises(ValueError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def outputs(archs, weights, *, linear_pool=True):
    """The output node (R,) of cells (R, 6) with a scalar weight an edge; a convolution maps 0 to 0, none to 0."""
    nodes = [np.full(len(archs), 0.7), *np.zeros((3, len(archs)))]
    for edge, (source, node) in enumerate(NAS_BENCH_201.edges):
        x, op = nodes[source], archs[:, edge]
        pool = 0.45 * (x if linear_pool else np.sin(x))
        convolution = np.sinh(weights[:, edge] * x)
        nodes[node] = nodes[node] + np.select([op == SKIP, op == POOL, op >= CONV1], [x, pool, convolution], 0.0)
    return nodes[3]


def live_edges(arch):
    """The edges of all paths without a `none`."""
    return sorted({edge for path in PATHS if all(arch[edge] for edge in path) for edge in path})


def matchings(arch):
    """Every assignment of the weights of two kinds of convolutions to the live convolution edges, (R, 6)."""
    kinds = [[e for e in live_edges(arch) if arch[e] == kind] for kind in (CONV1, CONV3)]
    stores = ((0.37, -0.61, 0.83, -1.13, 0.29, 1.41), (-0.53, 0.71, -0.97, 0.41, 1.27, -0.19))
    for order in itertools.product(*(itertools.permutations(range(len(kind))) for kind in kinds)):
        weights = np.zeros(6)
        for edges, store, labels in zip(kinds, stores, order, strict=True):
            weights[edges] = [store[label] for label in labels]
        yield weights


@pytest.fixture(scope="module")
def archs():
    return all_archs()


@pytest.fixture(scope="module")
def networks(archs):
    return isomorphism_classes(archs)


@pytest.fixture(scope="module")
def matched(archs):
    """Cells (R,) and the weights (R, 6) of all their matchings."""
    pairs = [(row, weights) for row, arch in enumerate(archs) for weights in matchings(arch)]
    return np.array([row for row, _ in pairs]), np.array([weights for _, weights in pairs])


def smallest_outputs(archs, matched, **options):
    """The smallest output over all matchings: equal for two cells iff they agree for some matching."""
    rows, weights = matched
    smallest = np.full(len(archs), np.inf)
    np.minimum.at(smallest, rows, outputs(archs[rows], weights, **options))
    return smallest


# --- Spaces ---------------------------------------------------------------------------------------


def test_spaces_are_the_published_ones():
    """Sees operations or edges in another order than NAS-Bench-201's and DARTS's, and a lost S3 operation."""
    assert NAS_BENCH_201.operations == OPERATIONS
    assert NAS_BENCH_201.edges == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert set(DARTS.operations) == {
        *("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    }
    assert set(S3.operations) == {"none", "skip_connect", "sep_conv_3x3"}
    assert DARTS.edges == S3.edges == tuple((j, 2 + i) for i in range(4) for j in range(2 + i))
    assert [SPACES[name].n_cells for name in ("nas-bench-201", "darts", "s3")] == [5**6, 8**14, 3**14]


def test_all_archs_in_order(archs):
    """Sees a lost or doubled cell, and the first edge changing fastest."""
    assert archs.tolist() == [list(arch) for arch in itertools.product(range(5), repeat=6)]


# --- NAS-Bench-201's strings ----------------------------------------------------------------------


def test_every_string_round_trips(archs):
    """Sees two cells with one string, or a string that is read back as another cell."""
    strings = [arch_to_string(arch) for arch in archs]
    assert len(set(strings)) == 15_625
    assert ([string_to_arch(text) for text in strings] == archs).all()
    assert (string_to_arch(CELL) == [3, 0, 1, 2, 4, 1]).all() and arch_to_string(np.array([3, 0, 1, 2, 4, 1])) == CELL


def test_strings_against_the_official_api():
    """Sees operations on other edges than the official API reads them on."""
    api = pytest.importorskip("nats_bench.api_topology", reason="nats-bench, an oracle, is not installed")
    for arch in all_archs()[::31]:
        nodes = api.NATStopology.str2lists(arch_to_string(arch))
        assert [[source for _, source in node] for node in nodes] == [[0], [0, 1], [0, 1, 2]]
        assert [OPERATIONS.index(op) for node in nodes for op, _ in node] == arch.tolist()


@pytest.mark.parametrize(
    "text",
    [
        *("", "|", "none", CELL + "\n", " " + CELL, CELL[:-1], CELL + "|", CELL * 2, CELL.upper()),
        *(CELL.replace("~2", "~3"), CELL.replace("~1", "~0"), CELL.replace("~2", "~\u0662"), CELL.replace("+", "")),
        *(CELL.replace("nor_conv_1x1", "nor_conv_7x7"), CELL.replace("none", ""), CELL.replace("none~0|", "")),
        *("|none~0|" * 6, "\n" * 9, "\x00", "\ud800", "|0~0|+|0~0|0~1|+|0~0|0~1|0~2|"),
    ],
)
def test_other_strings_are_refused(text):
    """Sees a near miss that is read as a cell, another exception, or a message of several lines."""
    assert "NAS-Bench-201" in refusal(string_to_arch, text)


@seeded
@given(st.one_of(st.text(), st.text("|+~_0123xnorecvaglpskit")), archs_201, st.integers(0, 90), st.integers(0, 9))
def test_any_string_is_read_back_or_refused(noise, arch, start, length):
    """Sees anything but a ValueError for arbitrary text, alone or pasted over a part of a valid string."""
    valid = arch_to_string(arch)
    for text in (noise, valid[:start] + noise + valid[start + length :]):
        try:
            assert arch_to_string(string_to_arch(text)) == text
        except ValueError as error:
            assert "NAS-Bench-201" in str(error) and "\n" not in str(error)


@pytest.mark.realdata
def test_official_strings():
    """Sees a space that is not the benchmark's own: every string of the real table is one cell of it, once."""
    path = Path(os.environ.get("FLATLIB_DATA", ROOT.parent / "shared" / "data")) / "nb201" / "nb201_table.npz"
    if not path.is_file():
        pytest.skip(f"{path} is missing; set FLATLIB_DATA to the folder that holds nb201/")
    with np.load(path, allow_pickle=False) as table:
        strings = table["arch_str"].tolist()
    official = np.array([string_to_arch(text) for text in strings])
    assert [arch_to_string(arch) for arch in official] == strings
    assert sorted(official.tolist()) == all_archs().tolist()


# --- Dead edges and isomorphism -------------------------------------------------------------------


def test_dead_edges_lie_on_no_path(archs):
    """Sees a live edge that is pruned, or a dead one (before or behind a `none`) that stays."""
    pruned = np.array([prune_dead_edges(arch) for arch in archs])
    for arch, kept in zip(archs, pruned, strict=True):
        assert kept.tolist() == [op if edge in live_edges(arch) else NONE for edge, op in enumerate(arch.tolist())]
    assert (pruned == NONE).all(1).sum() == 341  # cells with no path from input to output
    weights = np.random.default_rng(0).uniform(-1, 1, archs.shape)
    assert (outputs(pruned, weights) == outputs(archs, weights)).all()


def test_number_of_classes(archs, networks):
    """Sees a rule that merges or splits more than the 5,260 networks."""
    assert len(np.unique(networks)) == 5_260
    assert (networks[networks] == networks).all() and (networks <= np.arange(len(archs))).all()


def test_one_network_is_one_function(archs, networks, matched):
    """Sees cells of one class that compute different functions however their convolutions are matched."""
    for linear_pool in (True, False):
        smallest = smallest_outputs(archs, matched, linear_pool=linear_pool)
        assert np.allclose(smallest, smallest[networks], rtol=0, atol=1e-12)


def test_other_networks_are_other_functions(archs, networks, matched):
    """Sees cells of two classes that compute one function for some matching of their convolutions.

    The pool is a fixed nonlinear map here: that average pooling distributes over sums is no isomorphism of cells.
    """
    smallest = smallest_outputs(archs, matched, linear_pool=False)[np.unique(networks)]
    assert np.diff(np.sort(smallest)).min() > 1e-9


def test_linear_pool_merges_further_networks(archs, matched):
    """Sees a change of what `network_form` leaves apart: pool(x + y) = pool(x) + pool(y) would make it 5,044."""
    smallest = np.sort(smallest_outputs(archs, matched))
    assert 1 + (np.diff(smallest) > 1e-9).sum() == 5_044
    after, before = np.array([CONV3, SKIP, SKIP, NONE, NONE, POOL]), np.array([CONV3, NONE, NONE, POOL, POOL, NONE])
    assert outputs(after[None], np.ones((1, 6))) == pytest.approx(outputs(before[None], np.ones((1, 6))), rel=1e-14)
    assert network_form(after) != network_form(before)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        # Nodes 1 and 2 change places.
        ((CONV1, CONV3, NONE, NONE, POOL, SKIP), (CONV3, CONV1, NONE, NONE, SKIP, POOL), True),
        # A convolution whose output goes nowhere.
        ((CONV3, NONE, NONE, SKIP, NONE, NONE), (NONE, NONE, NONE, SKIP, NONE, NONE), True),
        # One convolution used twice, 2 c(x), and two, c(x) + c'(x).
        ((CONV3, NONE, SKIP, NONE, SKIP, SKIP), (CONV3, CONV3, NONE, NONE, SKIP, SKIP), False),
        # A dead sum: c(0 + x) and c(x).
        ((NONE, SKIP, CONV1, NONE, NONE, CONV3), (SKIP, NONE, NONE, NONE, CONV3, NONE), True),
        # Another operation.
        ((NONE, NONE, NONE, CONV1, NONE, NONE), (NONE, NONE, NONE, CONV3, NONE, NONE), False),
    ],
)
def test_isomorphism_by_hand(one, other, same):
    """Sees a rule that loses a known case: swapped nodes, dead ends, one convolution used twice."""
    assert (network_form(np.array(one)) == network_form(np.array(other))) == same
