"""A neighborhood to walk in: an explorer of all cells, live in JupyterLab and in exported pages."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from flatlib.spaces import NAS_BENCH_201
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.table import arch_number


def module(name: str) -> str:
    """An explorer's JavaScript module: the shared parts, its numbers, its drawing."""
    return _text("explorer_parts.js", f"{name}_numbers.js", f"{name}.js")


def style(name: str) -> str:
    return _text("explorer_parts.css", f"{name}.css")


def _text(*files: str) -> str:
    return "".join(Path(__file__).with_name(file).read_text(encoding="utf-8") for file in files)


def packed(array: np.ndarray, kind: str = "<f4") -> str:
    """Little-endian numbers in base64, as the browser reads them."""
    return base64.b64encode(array.astype(kind).tobytes()).decode()


class Explorer(anywidget.AnyWidget):
    """A walk from the best cell by f: rows of the table, `path` ends at `cell`."""

    _esm, _css = module("explorer"), style("explorer")
    data = traitlets.Dict().tag(sync=True)
    cell = traitlets.Int().tag(sync=True)
    path = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, experiment: Experiment) -> None:
        start = int(experiment.best(experiment.f, 1)[0])
        super().__init__(data=state(experiment), cell=start, path=[start])


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
        "tests": [(name, packed(errors)) for name, errors in experiment.targets.items()],  # files sort a dict's keys
    }
