"""Searches as a notebook runs and compares them: what they found as a table, the cells trained."""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from IPython import get_ipython
from IPython.display import Markdown, clear_output
from pandas.io.formats.style import Styler

from flatlib.display.cell import cells, count_operations, depth
from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.search_figures import show_live
from flatlib.display.tables import by_method, estimates_of, mean_and_std
from flatlib.evaluation.batches import batches_of
from flatlib.evaluation.catalogue import cell_key
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.training import Trainer
from flatlib.run.config import seeds
from flatlib.run.hardware import keep_freed_memory, resolve_device
from flatlib.search.config import SearchConfig
from flatlib.search.derive import random_cell
from flatlib.search.runs import Run, SearchTrace
from flatlib.search.search import estimate, search
from flatlib.spaces import SPACES, Genotype

LABELS = {
    "valid_loss": "validation loss (nats)",
    "valid_accuracy": "validation accuracy (%)",
    "spread": "spread over neighbors (nats)",
    "entropy": "entropy of alpha (nats)",
}
Found = dict[str, list[Run]]  # method -> a run for each seed


def source(*functions: Callable) -> Markdown:
    """The lines of some functions, to stand beside their equations."""
    return Markdown("\n\n".join(f"```python\n{textwrap.dedent(inspect.getsource(f)).rstrip()}\n```" for f in functions))


class SearchInterrupted(RuntimeError):  # noqa: N818  # what the user asked for is no error
    """The kernel was interrupted; one line says what is kept."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]  # in a notebook the line, not the stack


@contextmanager
def one_line_interrupt() -> Iterator[None]:
    """SearchInterrupted for an interrupted search or training."""
    try:
        yield
    except KeyboardInterrupt as stop:
        kept = str(stop).replace("the same command", "this cell, run again,")
        raise SearchInterrupted(kept or "interrupted; this cell, run again, goes on") from None


def estimates(configs: Mapping[str, SearchConfig], runs: int, runs_dir: Any) -> Styler:
    """What each method's searches will take on this machine; finished ones are read, not repeated."""
    return estimates_of(configs, runs, partial(Run.finished, runs_dir), estimate)


def run_searches(configs: Mapping[str, SearchConfig], runs: int, runs_dir: Any) -> Found:
    """Search with each method from each seed, drawn while it runs; SearchInterrupted, one line, on an interrupt."""
    keep_freed_memory()
    found: Found = {}
    for method, config in configs.items():
        for one in seeds(config, runs):
            with one_line_interrupt():
                found.setdefault(method, []).append(search(one, runs_dir, on_epoch=show_live))
    if get_ipython():
        clear_output()  # the notebook's figures follow
    return found


def first_traces(found: Found) -> dict[str, SearchTrace]:
    """The trace of each method's first seed, by a name for legends."""
    return {f"{method}, seed {runs[0].config.seed}": runs[0].trace for method, runs in found.items()}


def summary_frame(found: Found) -> pd.DataFrame:
    """One line a run: its last numbers and what its cells are made of."""
    lines = []
    for method, runs in found.items():
        for run in runs:
            result = run.result
            line: dict[str, Any] = {"method": method, "seed": run.config.seed, "epochs": result.epoch}
            line |= {name: result.final[name] for name in LABELS}
            if run.config.neighbors == 1:
                line["spread"] = np.nan  # of one neighbor
            for kind, cell in cells(result.cell).items():
                counts, name = count_operations(cell), kind.removesuffix(" cell")
                line |= {f"{name}: depth": depth(cell), f"{name}: skip %": 100 * counts.skip_share}
                line |= {f"{name}: without parameters %": 100 * counts.parameter_free_share}
            lines.append(line | {"seconds": run.trace.column("seconds").sum()})
    return pd.DataFrame(lines)


def summary(found: Found) -> Styler:
    """Mean ± population standard deviation over the seeds of each method, a line a number."""
    frame = summary_frame(found).drop(columns="seed")
    labels = {name: LABELS.get(name, name) for name in frame.columns.drop("method")}
    return by_method(frame, labels, partial(mean_and_std, digits=3))


# --- the cells trained from new weights ---------------------------------------------------------------


def train_cells(found: Found, *, random_cells: int, epochs: int, seed: int) -> pd.DataFrame:
    """Test accuracy (%) of every found cell and of random ones, each trained alone; no lines with epochs = 0."""
    own = next(iter(found.values()))[0].config
    chosen = [(method, run.config.seed, run.result.cell) for method, runs in found.items() for run in runs]
    rng = np.random.default_rng([seed, 4])
    chosen += [("random", number, random_cell(SPACES[own.space], rng)) for number in range(random_cells)]
    lines = [
        (kind, number, trained_accuracy(cell, own, epochs=epochs, seed=seed))
        for kind, number, cell in (chosen if epochs else [])
    ]
    return pd.DataFrame(lines, columns=["kind", "number", "accuracy"])


def trained_accuracy(cell: Genotype | str, own: SearchConfig, *, epochs: int, seed: int) -> float:  # percent
    """Of one cell on the test images, trained from new weights on the search's images, at its size."""
    shared = {name: getattr(own, name) for name in ("dataset", "n_train", "channels", "cells", "batch_size", "device")}
    config = EvaluationConfig(cell_key(cell), **shared, epochs=epochs, learning_rate=0.025, seed=seed)
    trainer = Trainer(config, batches_of(config), resolve_device(own.device))
    while not trainer.finished:
        for _ in range(trainer.steps):
            trainer.step()
        trainer.end_epoch()
    return trainer.done[-1].test_accuracy


def plot_trained(frame: pd.DataFrame, setting: str) -> go.Figure:
    """One point a trained cell, beside each other by method."""
    place = {"x": "kind", "y": "accuracy", "color": "kind", "hover_name": "number"}
    figure = px.scatter(frame, **place, color_discrete_sequence=PALETTE[1:]).update_traces(marker_size=11)
    figure.update_xaxes(title_text="").update_yaxes(title_text="test accuracy (%)").update_layout(showlegend=False)
    return lay_out(figure, f"Cells trained from new weights ({setting})", 360)
