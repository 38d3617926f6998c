"""A neighborhood to walk in: an explorer of all cells, live in JupyterLab and in exported pages."""

from dataclasses import dataclass, replace
from typing import Any

import anywidget
import numpy as np
import traitlets

from flatlib.display.widget import module, packed, style
from flatlib.spaces import NAS_BENCH_201, string_to_arch
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.table import arch_number


@dataclass(frozen=True)
class Explorable:
    """What the explorer shows of each cell, in the table's order."""

    numbers: np.ndarray  # (A,) uint16, the cell's number in `spaces.all_archs`
    f: np.ndarray  # (A,) float32 validation error, percent
    flatness: np.ndarray  # (A,) uint16, 1 is the flattest: the least sigma(f(N)) at d = 1
    tests: dict[str, np.ndarray]  # column label -> (A,) float32 test error, percent


def explorable(experiment: Experiment) -> Explorable:
    """The explorer's numbers; its neighborhoods are those of d = 1, whatever the experiment's d."""
    order = np.argsort(replace(experiment, neighbors=experiment.table.neighbors(1)).spread, kind="stable")
    flatness = np.empty(len(order), dtype=np.uint16)
    flatness[order] = np.arange(1, len(order) + 1)
    return Explorable(
        numbers=arch_number(experiment.table.archs).astype(np.uint16),
        f=experiment.f.astype(np.float32),
        flatness=flatness,
        tests={column: errors.astype(np.float32) for column, errors in experiment.targets.items()},
    )


class Explorer(anywidget.AnyWidget):
    """The widget: `cell` is the row it stands on, `path` the rows walked, `cell` the last."""

    _esm, _css = module("explorer"), style("explorer")
    data = traitlets.Dict().tag(sync=True)
    cell = traitlets.Int(min=0, max=NAS_BENCH_201.n_cells - 1).tag(sync=True)
    path = traitlets.List(traitlets.Int()).tag(sync=True)

    @traitlets.observe("cell")
    def _start_anew(self, change: Any) -> None:
        """A cell set from Python begins a walk; a move in the browser brings its path along."""
        if self.path[-1:] != [change.new]:
            self.path = [change.new]


def explorer(experiment: Experiment, cell: int | str | None = None) -> anywidget.AnyWidget:
    """The explorer, standing on a row of the table or an architecture string; None: the best cell by f."""
    start = experiment.table.row(string_to_arch(cell)) if isinstance(cell, str) else cell
    start = int(experiment.best(experiment.f, 1)[0]) if start is None else int(start)
    return Explorer(data=_state(explorable(experiment), experiment.setting), cell=start, path=[start])


def _state(numbers: Explorable, setting: str) -> dict[str, Any]:
    """What the browser needs; the cells' order is left out where it is that of `all_archs`."""
    in_order = np.array_equal(numbers.numbers, np.arange(len(numbers.numbers)))
    return {
        "setting": setting,
        "operations": NAS_BENCH_201.operations,
        "edges": NAS_BENCH_201.edges,
        "numbers": "" if in_order else packed(numbers.numbers),
        "f": packed(numbers.f),
        "flatness": packed(numbers.flatness),
        "tests": [(column, packed(errors)) for column, errors in numbers.tests.items()],  # files sort a dict's keys
    }
