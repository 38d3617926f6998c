"""Sees an explorer whose state is too large or not the landscape's, that asks Python for the wrong point."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_landscape import synthetic_landscape
from test_explorer import page_of

from flatlib.display.landscape_explorer import LandscapeExplorer
from flatlib.landscape.plane import step_on_plane
from flatlib.spaces import SPACES


@pytest.fixture(scope="module")
def landscapes():
    return [synthetic_landscape(SPACES["darts"], seed) for seed in range(4)]


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_the_state_is_small_and_the_landscapes(landscapes):
    """Sees more than 1 MB for four runs, an array left out, another byte order."""
    data = LandscapeExplorer(landscapes).data
    assert len(json.dumps(data)) < 300_000
    for run, one in zip(data["runs"], landscapes, strict=True):
        assert run["name"] == one.name
        for name in ("lambdas", "losses", "accuracy", "alphas", "directions"):
            np.testing.assert_allclose(unpacked(run[name]), getattr(one.plane, name).ravel(), rtol=1e-6, atol=1e-7)
        assert (unpacked(run["edge_weights"]) == 1).all()
    weighted = synthetic_landscape(SPACES["s3"], method="pc-darts")
    packed = LandscapeExplorer([weighted]).data["runs"][0]["edge_weights"]
    np.testing.assert_allclose(unpacked(packed), weighted.edge_weights.ravel(), rtol=1e-6)


def test_python_answers_the_point_that_was_asked(landscapes):
    """Sees another run, another alpha' or an answer without its point."""
    asked = []
    walk = LandscapeExplorer(landscapes, lambda run, alphas: asked.append((run, alphas)) or (1.5, 60.0))
    walk.run = 2
    walk.at = [0.3, -0.7]
    assert walk.answer == {"run": 2, "at": [0.3, -0.7], "loss": 1.5, "accuracy": 60.0}
    plane = landscapes[2].plane
    expected = step_on_plane(plane.alphas, plane.directions, np.array([[0.3, -0.7]]))[0][0]
    assert asked[-1][0] == 2 and np.array_equal(asked[-1][1], expected)
    silent = LandscapeExplorer(landscapes)
    silent.at = [1.0, 1.0]
    assert silent.answer == {}


def test_mistakes_are_one_line(landscapes):
    """Sees landscapes that do not go together."""
    with pytest.raises(ValueError, match="landscapes of 2 spaces and reaches"):
        LandscapeExplorer([landscapes[0], synthetic_landscape(SPACES["s3"])])
    shorter = replace(landscapes[1].plane, lambdas=landscapes[1].plane.lambdas / 2)
    with pytest.raises(ValueError, match=r"0\.5\), \('darts', 1\.0\)\]: choose"):
        LandscapeExplorer([landscapes[0], replace(landscapes[1], plane=shorter)])


def test_the_page_holds_its_own_module_only(landscapes):
    """Sees the other explorer's code in the page, state lost, or a network address in the code."""
    walk = LandscapeExplorer(landscapes)
    page = page_of(walk.get_state())
    assert page.count("export default { render };") == 1 and "lx-point" in page and "fx-plot" not in page
    assert 'data-module="landscape_explorer"' in page and walk.data["runs"][3]["losses"] in page
    assert "</script" not in walk._esm and "</style" not in walk._css
    assert not re.search(
        r"https?:|url\(http|@import", (walk._esm + walk._css).replace("http://www.w3.org/2000/svg", "")
    )
