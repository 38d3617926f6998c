"""Hands on lambda0 and lambda1: the loss over the plane and the cell that alpha' would give, live and in pages."""

from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets

from flatlib.display.cell import short_name
from flatlib.display.search_figures import cell_kinds
from flatlib.display.widget import module, packed, style
from flatlib.landscape.landscape import Landscape
from flatlib.landscape.plane import step_on_plane
from flatlib.spaces import SPACES

Evaluate = Callable[[int, np.ndarray], tuple[float, float]]  # run, alpha' (T, E, O) -> loss (nats), accuracy (percent)


class LandscapeExplorer(anywidget.AnyWidget):
    """The widget: `run` is the number of the search, `at` the point (l0, l1), `answer` what Python found there."""

    _esm, _css = module("landscape_explorer"), style("landscape_explorer")
    data = traitlets.Dict().tag(sync=True)
    run = traitlets.Int().tag(sync=True)
    at = traitlets.List(traitlets.Float(), [0.0, 0.0], minlen=2, maxlen=2).tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)

    def __init__(self, landscapes: Sequence[Landscape], evaluate: Evaluate | None = None) -> None:
        self.landscapes, self.evaluate = landscapes, evaluate
        super().__init__(data=state(landscapes))

    @traitlets.validate("run")
    def _is_a_run(self, proposal: Any) -> int:
        most = len(self.landscapes) - 1
        if not 0 <= proposal.value <= most:
            raise traitlets.TraitError(f"run = {proposal.value}: choose 0 to {most}, the landscapes' numbers")
        return proposal.value

    @traitlets.validate("at")
    def _is_on_the_plane(self, proposal: Any) -> list[float]:
        reach = self.landscapes[self.run].plane.lambdas[-1]
        if not all(abs(value) <= reach * (1 + 1e-6) for value in proposal.value):  # nan too; browsers keep float32
            raise traitlets.TraitError(f"at = {proposal.value}: lambda0 and lambda1 lie between {-reach} and {reach}")
        return proposal.value

    @traitlets.observe("run", "at")
    def _evaluate(self, _: Any) -> None:
        """The loss with the model at hand, where there is one; the browser shows the grid's meanwhile."""
        if self.evaluate:
            plane = self.landscapes[self.run].plane
            neighbors, _, _ = step_on_plane(plane.alphas, plane.directions, np.array([self.at]))
            loss, accuracy = self.evaluate(self.run, neighbors[0])
            self.answer = {"run": self.run, "at": self.at, "loss": loss, "accuracy": accuracy}


def landscape_explorer(landscapes: Sequence[Landscape], evaluate: Evaluate | None = None) -> LandscapeExplorer:
    """The explorer of landscapes of one space and reach; ValueError, one line, for none or for different ones."""
    spaces = {one.space for one in landscapes}
    if len(spaces) != 1:
        raise ValueError(f"landscapes of {len(spaces)} spaces: the explorer shows those of one; choose some")
    reaches = sorted({float(one.plane.lambdas[-1]) for one in landscapes})
    if len(reaches) != 1:  # the point stays where it is when the run changes
        raise ValueError(
            f"landscapes of {len(reaches)} reaches, {' and '.join(map(str, reaches))}: choose those of one"
        )
    return LandscapeExplorer(landscapes, evaluate)


def state(landscapes: Sequence[Landscape]) -> dict[str, Any]:
    """All that the browser needs, some 40 KB a run."""
    space, of = SPACES[landscapes[0].space], landscapes[0].of_alpha
    return {
        "setting": f"{of.images} validation images in batches of {of.batch_size}",
        "operations": [short_name(name) for name in space.operations],
        "none": space.operations.index("none"),
        "edges": space.edges,
        "kinds": cell_kinds(space),
        "two": len(cell_kinds(space)) == 2,  # a node keeps two edges, without none
        "runs": [_run_state(one) for one in landscapes],
    }


def _run_state(one: Landscape) -> dict[str, str]:
    weights = np.ones(one.plane.alphas.shape[:2]) if one.edge_weights is None else one.edge_weights
    arrays = {name: getattr(one.plane, name) for name in ("lambdas", "losses", "accuracy", "alphas", "directions")}
    arrays["edge_weights"] = weights
    return {"name": one.name} | {name: packed(array.astype(np.float32)) for name, array in arrays.items()}
