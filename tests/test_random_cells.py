"""Sees random cells that are not uniform."""

from collections import Counter
from math import comb

import numpy as np
import pytest
from scipy.stats import chisquare

from flatlib.search.derive import random_cell
from flatlib.spaces import DARTS, NAS_BENCH_201, S3, genotype, string_to_arch

GENOTYPES = pytest.mark.parametrize("space", [DARTS, S3], ids=lambda space: space.name)
NODES = (2, 3, 4, 5)


def unlikely(counts: Counter, kinds: int) -> bool:
    """Whether a uniform draw of so many kinds gives such counts once in 10,000 times; a kind never drawn counts."""
    observed = [*counts.values(), *[0] * (kinds - len(counts))]
    return len(counts) > kinds or chisquare(observed).pvalue < 1e-4


@GENOTYPES
def test_random_genotypes_are_uniform(space):
    """Sees one input twice, `none`, an operation or a pair of inputs drawn too often, or the two cells drawn as one."""
    rng = np.random.default_rng(0)
    drawn = [random_cell(space, rng) for _ in range(400)]
    names, pairs = Counter(), {node: Counter() for node in NODES}
    for cell in drawn:
        assert genotype(cell.to_json(), space) == cell and len(cell.normal) == len(cell.reduce) == 8
        assert cell.normal_concat == cell.reduce_concat == NODES
        for half in (cell.normal, cell.reduce):
            names.update(name for name, _ in half)
            for node in NODES:
                (_, first), (_, second) = half[2 * (node - 2) : 2 * (node - 1)]
                assert first < second
                pairs[node][first, second] += 1
    assert "none" not in names and not unlikely(names, len(space.operations) - 1)
    for node, counts in pairs.items():
        assert len(counts) == comb(node, 2) and not unlikely(counts, comb(node, 2))
    assert sum(cell.normal == cell.reduce for cell in drawn) == 0


def test_random_strings_are_uniform():
    """Sees `none` or the last operation never drawn on an edge of NAS-Bench-201, or edges drawn alike."""
    rng = np.random.default_rng(0)
    archs = np.array([string_to_arch(random_cell(NAS_BENCH_201, rng)) for _ in range(1000)])
    for edge in range(6):
        assert not unlikely(Counter(archs[:, edge].tolist()), 5)
    for edge in range(1, 6):
        assert not unlikely(Counter(zip(archs[:, 0].tolist(), archs[:, edge].tolist(), strict=True)), 25)


@pytest.mark.parametrize("space", [DARTS, S3, NAS_BENCH_201], ids=lambda space: space.name)
def test_random_cells_follow_the_generator(space):
    """Sees a global random state, or a generator that does not move on."""
    one, two = np.random.default_rng(7), np.random.default_rng(7)
    ours, theirs = [random_cell(space, one) for _ in range(3)], [random_cell(space, two) for _ in range(3)]
    assert ours == theirs and len(set(ours)) == 3
    assert random_cell(space, np.random.default_rng(8)) != ours[0]
