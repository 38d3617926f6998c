"""Sees a landscape of another point, other batches or other weights than the search left; a plane or Hessian wrong."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from naive_supernet import NaiveSupernet

from flatlib.landscape import landscape
from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.found import Source
from flatlib.landscape.landscape import curvatures, discrete_neighbors, known_landscape, look_around
from flatlib.landscape.plane import losses, plane, random_directions, step_on_plane
from flatlib.neighborhoods import cell_distance
from flatlib.run.checkpoint import RunError
from flatlib.run.workers import workers
from flatlib.search.config import SearchConfig
from flatlib.search.curvature import (
    gradient,
    hessian,
    hessian_of_logits,
    hessian_vector_product,
    loss_of_alphas,
    loss_of_logits,
)
from flatlib.search.derive import derive, one_hot_alphas
from flatlib.search.runs import Run
from flatlib.search.search import search
from flatlib.spaces import SPACES

TINY = {"n_train": 100, "batch_size": 16, "channels": 2, "cells": 3, "epochs": 2, "precision": "float64", "n_nbr": 2}
SMALL = LandscapeConfig(n_valid=32, grid=5, distance=2, n_discrete=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def nb201(folder):
    """A finished search on NAS-Bench-201: 30 entries of alpha."""
    return search(SearchConfig(space="nas-bench-201", method="darts", **TINY), folder)


@pytest.fixture(scope="module")
def pc(folder):
    """PC-DARTS on S3, with edge weights and two cell types."""
    return search(SearchConfig(space="s3", method="pc-darts", **TINY | {"channels": 8}), folder)


def naive_losses(found, alphas):
    """Loss and accuracy of each architecture, one at a time, as modules."""
    naive = NaiveSupernet(found.net, found.weights)
    rows = []
    for one in torch.from_numpy(alphas):
        outputs = [(naive(images, one, found.edge_weights), labels) for images, labels in found.batches]
        loss = sum(F.cross_entropy(logits, labels).item() for logits, labels in outputs) / len(outputs)
        hits = sum((logits.argmax(1) == labels).double().mean().item() for logits, labels in outputs) / len(outputs)
        rows.append((loss, 100 * hits))
    return np.array(rows).T


@pytest.mark.parametrize("run", ["nb201", "pc"])
def test_the_plane_is_the_naive_one(run, request):
    """Sees a transposed grid, edge weights left out, neighbors that mix, a batch forgotten: one point at a time."""
    source = Source(str(request.getfixturevalue(run).folder), 32)
    found = source.open()
    directions = random_directions(tuple(found.alphas.shape), 3)
    seen = plane(source, directions, grid=3, reach=0.5)
    expected = np.empty((2, 3, 3))
    for i, l1 in enumerate((-0.5, 0, 0.5)):
        for j, l0 in enumerate((-0.5, 0, 0.5)):
            moved = np.maximum(found.alphas.numpy() + l0 * directions[0] + l1 * directions[1], 0)
            total = moved.sum(-1, keepdims=True)
            neighbor = np.where(total > 0, moved / np.where(total, total, 1), found.alphas.numpy())
            expected[:, i, j] = naive_losses(found, neighbor[None])[:, 0]
    np.testing.assert_allclose(seen.losses, expected[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(seen.accuracy, expected[1], rtol=0, atol=1e-10)
    assert seen.loss == seen.losses[1, 1] and seen.lambdas[1] == 0


def test_a_step_on_the_plane():
    """Sees entries below 0, an edge that leaves the simplex, one that divides by 0, an unmoved edge that moves."""
    alphas = np.array([[[0.2, 0.8], [0.5, 0.5], [0.3, 0.7]]])
    v0 = np.array([[[-1.0, 0.0], [-1.0, -1.0], [0.0, 0.0]]])
    neighbors, clipped, kept = step_on_plane(alphas, np.stack([v0, 0 * v0]), np.array([[0.5, 9.0], [1.0, 0.0]]))
    np.testing.assert_allclose(neighbors[0], [[[0, 1], [0.5, 0.5], [0.3, 0.7]]])
    np.testing.assert_allclose(neighbors[1], neighbors[0])
    np.testing.assert_array_equal(neighbors[:, 0, 2], [[0.3, 0.7]] * 2)
    np.testing.assert_allclose(clipped, [1 / 6, 3 / 6])
    np.testing.assert_allclose(kept, [1 / 3, 1 / 3])


def test_the_point_is_what_the_search_left(nb201, pc):
    """Sees another alpha or weights, augmented images, training images, a batch that is not whole."""
    found = Source(str(nb201.folder), 0).open()
    state = torch.load(nb201.folder / "checkpoint.pt", weights_only=True)["state"]
    torch.testing.assert_close(found.weights, state["learner"]["weights"], rtol=0, atol=0)
    torch.testing.assert_close(found.alphas, state["learner"]["logits"].softmax(-1), rtol=1e-14, atol=0)
    assert [len(labels) for _, labels in found.batches] == [16] * 3  # 50 validation images
    assert Source(str(pc.folder), 0).open().edge_weights.shape == (2, 14)


@pytest.mark.parametrize("space", SPACES)
def test_the_logits_hessian_follows_from_alphas(space):
    """Sees a term of the chain rule lost: the gradient's, or an edge's Jacobian at another edge's place."""
    from test_curvature import tiny

    net, weights, logits, batches = tiny(space)
    alphas, loss_on = logits.softmax(-1), loss_of_alphas(net, weights)
    of_alphas = hessian(loss_on, alphas, batches)
    found = hessian_of_logits(of_alphas, gradient(loss_on, alphas, batches), alphas.numpy())
    vectors = torch.randn(7, *logits.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direct = hessian_vector_product(loss_of_logits(net, weights), logits, vectors, batches)
    np.testing.assert_allclose(vectors.flatten(1).numpy() @ found, direct.flatten(1), rtol=0, atol=1e-10)


def test_curvatures(nb201):
    """Sees batches or halves mixed up, eigenpairs of one batch."""
    source = Source(str(nb201.folder), 0)
    found = source.open()
    logits = found.alphas.log()  # the search's but for a constant an edge, which no derivative sees
    parts = [hessian(loss_of_logits(found.net, found.weights), logits, [batch]) for batch in found.batches]
    exact = curvatures(source)
    assert [one.of for one in exact] == ["alpha", "logits"] and exact[0].images == 48 and exact[0].batch_size == 16
    ascending = [np.linalg.eigvalsh(np.mean(some, 0))[::-1][:2] for some in (parts, parts[:1], parts[1:])]
    np.testing.assert_allclose([exact[1].pairs.values, *exact[1].halves], ascending, rtol=1e-8, atol=1e-10)
    assert max(one.pairs.residuals.max() for one in exact) < 1e-10
    assert np.isnan(curvatures(Source(str(nb201.folder), 16))[0].halves).all()  # one batch has no halves


def test_processes_give_the_same_numbers(nb201, two_threads):
    """Sees results in the order of their ends, or a network that does not survive the way to another process."""
    source = Source(str(nb201.folder), 0)
    cells = np.eye(5)[np.random.default_rng(0).integers(0, 5, (4, 1, 6))]
    with workers(2) as pool:
        assert pool
        apart = losses(source, cells, pool=pool)
    np.testing.assert_allclose(apart, losses(source, cells), rtol=0, atol=1e-12)


def test_discrete_neighbors_lie_at_their_distance(pc):
    """Sees a start that is not the derived cell, or cells nearer or further than Eq. 2 says."""
    space, alphas, weights = SPACES["s3"], pc.trace.alphas[-1], pc.trace.edge_weights[-1]
    cells = discrete_neighbors(space, alphas, weights, LandscapeConfig(distance=14, n_discrete=5), 0)
    assert cells.shape == (15, 5, 2, 14, 3)
    start = one_hot_alphas(space, derive(space, alphas, weights))
    np.testing.assert_array_equal(cell_distance(cells, start), np.arange(15)[:, None, None] * np.ones((1, 5, 2)))
    assert (discrete_neighbors(space, alphas, weights, LandscapeConfig(distance=14, n_discrete=5), 0) == cells).all()


@pytest.mark.parametrize("run", ["nb201", "pc"])
def test_a_landscape_is_kept_and_read_again(run, request, monkeypatch):
    """Sees a field lost or exchanged on the way to the file, another config's file taken, work done twice."""
    finished = request.getfixturevalue(run)
    first = look_around(finished, SMALL)
    assert first.name.startswith(finished.config.method) and len(list(finished.folder.glob("landscape-*.npz"))) == 1
    monkeypatch.setattr(landscape, "curvatures", None)
    again = look_around(finished, SMALL)
    for name in ("plane", "random"):
        for field, value in vars(getattr(first, name)).items():
            np.testing.assert_array_equal(getattr(getattr(again, name), field), value)
    for name in ("of_alpha", "of_logits"):
        one, other = getattr(first, name), getattr(again, name)
        assert (one.of, one.images, one.batch_size, one.pairs.trace) == (other.of, other.images, 16, other.pairs.trace)
        np.testing.assert_array_equal(one.pairs.vectors, other.pairs.vectors)
        np.testing.assert_array_equal(one.halves, other.halves)
    np.testing.assert_array_equal(first.discrete, again.discrete)
    assert (first.edge_weights is None) == (again.edge_weights is None) == (run == "nb201")
    assert first.plane.losses.shape == (5, 5) and first.random.losses.shape == (3, 3)
    np.testing.assert_array_equal(first.plane.directions, first.of_alpha.pairs.vectors)
    assert known_landscape(finished, replace(SMALL, grid=7)) is None


# --- mistakes -------------------------------------------------------------------------------------


def copied(run, folder):
    target = folder / run.folder.name
    shutil.copytree(run.folder, target, ignore=shutil.ignore_patterns("landscape*"))
    return target


def test_another_runs_checkpoint_is_refused(nb201, pc, tmp_path):
    """Sees weights of another space poured into this one's network, or a traceback for what is missing."""
    folder = copied(nb201, tmp_path)
    shutil.copy(pc.folder / "checkpoint.pt", folder)
    with pytest.raises(RunError, match="belongs to another run"):
        Source(str(folder), 0).open()
    (folder / "checkpoint.pt").unlink()
    with pytest.raises(RunError, match=r"no checkpoint.pt, so the weights are lost; run the search again$"):
        Source(str(folder), 0).open()
    (folder / "result.json").unlink()
    with pytest.raises(RunError, match="not finished; the same run goes on"):
        Source(str(folder), 0).open()


def test_a_diverged_search_is_one_line(nb201, tmp_path):
    """Sees eigenvalues of nan, or nothing said of why."""
    folder = copied(nb201, tmp_path)
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    content["state"]["learner"]["weights"][:] = torch.nan
    torch.save(content, folder / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"nan or inf: did the search diverge\?$"):
        look_around(Run.read(folder), SMALL)
    assert not list(folder.glob("landscape*"))


def test_a_damaged_file_is_one_line(nb201, tmp_path):
    """Sees a traceback of numpy's, or a damaged landscape silently computed over."""
    run = Run.read(copied(nb201, tmp_path))
    look_around(run, SMALL)
    (path,) = (path for path in run.folder.glob("landscape-*.npz") if known_landscape(run, SMALL))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match="cannot be read as a run"):
        look_around(run, SMALL)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"grid": 1}, "grid = 1: allowed: int at least 3"),
        ({"grid": 8}, "grid = 8: allowed: 3, 5, 7"),
        ({"reach": 0.0}, "reach = 0.0: allowed: float above 0"),
    ],
)
def test_config_mistakes(change, line):
    """Sees a grid of one point, without a middle, or without size."""
    with pytest.raises(ValueError, match=f"^{line}"):
        LandscapeConfig(**change)


def test_too_few_images_for_a_batch(nb201):
    """Sees a Hessian over no batches."""
    with pytest.raises(ValueError, match=r"n_valid = 10: less than a batch of 16; allowed: 16 to 48, or 0: all$"):
        Source(str(nb201.folder), 10).open()


def test_the_stored_config_needs_no_landscape(nb201):
    """Sees a landscape that changes the search's own files."""
    assert "landscape" not in json.dumps(json.loads((nb201.folder / "config.json").read_text()))
    assert Run.read(nb201.folder).result.cell == nb201.result.cell
