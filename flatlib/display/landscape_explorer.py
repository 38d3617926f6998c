"""Hands on lambda0 and lambda1: the loss over the plane and the cell that alpha' would give, live and in pages."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets

from flatlib.display.cell import cell_kinds, short_name
from flatlib.display.explorer import module, packed, style
from flatlib.landscape.landscape import Landscape
from flatlib.landscape.plane import step_on_plane
from flatlib.spaces import SPACES

Evaluate = Callable[[int, np.ndarray], Iterable[float]]  # run, alpha' (T, E, O) -> loss (nats), accuracy (percent)


class LandscapeExplorer(anywidget.AnyWidget):
    """Of landscapes of one space and reach: `run` is a search's number, `at` the point (l0, l1), `answer` Python's.

    ValueError, one line, for none or for different ones.
    """

    _esm, _css = module("landscape_explorer"), style("landscape_explorer")
    data = traitlets.Dict().tag(sync=True)
    run = traitlets.Int().tag(sync=True)
    at = traitlets.List(traitlets.Float(), [0.0, 0.0], minlen=2, maxlen=2).tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)

    def __init__(self, landscapes: Sequence[Landscape], evaluate: Evaluate | None = None) -> None:
        kinds = {(one.space, float(one.plane.lambdas[-1])) for one in landscapes}
        if len(kinds) != 1:  # the point stays where it is when the run changes
            raise ValueError(f"landscapes of {len(kinds)} spaces and reaches {sorted(kinds)}: choose those of one")
        self.landscapes, self.evaluate = landscapes, evaluate
        super().__init__(data=state(landscapes))

    @traitlets.observe("run", "at")
    def _evaluate(self, _: Any) -> None:
        """The loss with the model at hand, where there is one; the browser shows the grid's meanwhile."""
        if self.evaluate:
            plane = self.landscapes[self.run].plane
            neighbors, _, _ = step_on_plane(plane.alphas, plane.directions, np.array([self.at]))
            loss, accuracy = map(float, self.evaluate(self.run, neighbors[0]))
            self.answer = {"run": self.run, "at": self.at, "loss": loss, "accuracy": accuracy}


def state(landscapes: Sequence[Landscape]) -> dict[str, Any]:
    """All that the browser needs, some 40 KB a run."""
    space, of, runs = SPACES[landscapes[0].space], landscapes[0].of_alpha, []
    for one in landscapes:
        arrays = {name: getattr(one.plane, name) for name in ("lambdas", "losses", "accuracy", "alphas", "directions")}
        arrays["edge_weights"] = np.ones(arrays["alphas"].shape[:2]) if one.edge_weights is None else one.edge_weights
        runs.append({"name": one.name} | {name: packed(array) for name, array in arrays.items()})
    return {
        "setting": f"{of.images} validation images in batches of {of.batch_size}",
        "operations": [short_name(name) for name in space.operations],
        "none": space.operations.index("none"),
        "edges": space.edges,
        "kinds": cell_kinds(space),  # where there are two, a node keeps two edges, without none
        "runs": runs,
    }
