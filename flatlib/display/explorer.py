"""A neighborhood to walk in: an explorer of all cells, live in JupyterLab and in exported pages."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from flatlib.spaces import NAS_BENCH_201, string_to_arch
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.table import arch_number

# --- what the explorers share ---------------------------------------------------------------------


def module(name: str) -> str:
    """An explorer's JavaScript module: the shared parts, its numbers, its drawing."""
    return "".join(_text(f"{part}.js") for part in ("explorer_parts", f"{name}_numbers", name))


def style(name: str) -> str:
    return _text("explorer_parts.css") + _text(f"{name}.css")


def _text(file: str) -> str:
    return Path(__file__).with_name(file).read_text(encoding="utf-8")


def packed(array: np.ndarray, kind: str = "<f4") -> str:
    """Little-endian numbers in base64, as the browser reads them."""
    return base64.b64encode(array.astype(kind).tobytes()).decode()


# --- cells of NAS-Bench-201 -----------------------------------------------------------------------


class Explorer(anywidget.AnyWidget):
    """A walk from a row of the table or an architecture string, or from the best cell by f; `path` ends at `cell`."""

    _esm, _css = module("explorer"), style("explorer")
    data = traitlets.Dict().tag(sync=True)
    cell = traitlets.Int(min=0, max=NAS_BENCH_201.n_cells - 1).tag(sync=True)
    path = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, experiment: Experiment, cell: int | str | None = None) -> None:
        if isinstance(cell, str):
            cell = experiment.table.row(string_to_arch(cell))
        start = int(experiment.best(experiment.f, 1)[0] if cell is None else cell)
        super().__init__(data=state(experiment), cell=start, path=[start])

    @traitlets.observe("cell")
    def _start_anew(self, change: Any) -> None:
        """A cell set from Python begins a walk; a move in the browser brings its path along."""
        if self.path[-1:] != [change.new]:
            self.path = [change.new]


def state(experiment: Experiment) -> dict[str, Any]:
    """What the browser needs, in the table's order; neighborhoods are those of d = 1, whatever the experiment's d."""
    spread = replace(experiment, neighbors=experiment.table.neighbors(1)).spread
    return {
        "setting": experiment.setting,
        "operations": NAS_BENCH_201.operations,
        "edges": NAS_BENCH_201.edges,
        "numbers": packed(arch_number(experiment.table.archs), "<u2"),  # in `spaces.all_archs`
        "f": packed(experiment.f),  # percent
        "flatness": packed(1 + spread.argsort(kind="stable").argsort(), "<u2"),  # rank of sigma(f(N)), 1 the flattest
        "tests": [
            (column, packed(errors)) for column, errors in experiment.targets.items()
        ],  # files sort a dict's keys
    }
