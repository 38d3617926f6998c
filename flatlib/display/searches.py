"""Searches as a notebook runs and compares them: the live panel, the table of what was found, the cells trained."""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from flatlib.display.cell import cells, count_operations, depth
from flatlib.display.live import LivePanel
from flatlib.display.plots import lay_out
from flatlib.display.tables import by_method, estimates_of, mean_and_std
from flatlib.evaluation.catalogue import cell_key
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.evaluate import batches_of
from flatlib.evaluation.training import Trainer
from flatlib.memory import keep_freed_memory
from flatlib.run.config import seeds
from flatlib.run.hardware import resolve_device
from flatlib.search.config import SearchConfig
from flatlib.search.derive import random_cell
from flatlib.search.runs import Run, SearchTrace, finished_run
from flatlib.search.search import estimate, load_for, search
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


def estimates(configs: Mapping[str, SearchConfig], runs: int, runs_dir: Any) -> Styler:
    """What each method's searches will take on this machine; finished ones are read, not repeated."""

    def each(config: SearchConfig) -> str:
        return estimate(config, load_for(config).to(resolve_device(config.device)))

    return estimates_of(configs, runs, partial(finished_run, runs_dir), each)


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


def run_searches(configs: Mapping[str, SearchConfig], runs: int, runs_dir: Any, *, panel: bool = True) -> Found:
    """Search with each method from each seed, drawn while it runs; SearchInterrupted, one line, on an interrupt."""
    keep_freed_memory()
    found: Found = {}
    drawn: list[dict[str, Any]] = []
    for method, config in configs.items():
        space = SPACES[config.space]
        for one in seeds(config, runs):
            title = f"{method} on {config.dataset}, seed {one.seed}"
            live = LivePanel(space, config.epochs, title, drawn) if panel else None
            with one_line_interrupt():
                run = search(one, runs_dir, on_epoch=partial(_draw, live))
            _draw(live, one, run.trace)  # of a finished search nothing was drawn
            drawn = [*drawn, live.bundle] if live and live.bundle else drawn
            found.setdefault(method, []).append(run)
    return found


def _draw(panel: LivePanel | None, _: SearchConfig, trace: SearchTrace) -> None:
    if panel:
        panel.update(trace)


def first_traces(found: Found) -> dict[str, SearchTrace]:
    """The trace of each method's first seed, by a name for legends."""
    return {f"{method}, seed {runs[0].config.seed}": runs[0].trace for method, runs in found.items()}


def cell_of(run: Run) -> Genotype | str:
    assert run.result is not None  # `search` returns finished runs only
    return run.result.cell


def summary_frame(found: Found) -> pd.DataFrame:
    """One line a run: its last numbers and what its cells are made of."""
    lines = []
    for method, runs in found.items():
        for run in runs:
            assert run.result is not None
            final, kinds = run.result.final, cells(run.result.cell)
            line: dict[str, Any] = {"method": method, "seed": run.config.seed, "epochs": run.result.epoch}
            line |= {name: final[name] for name in ("valid_loss", "valid_accuracy", "spread", "entropy")}
            if run.config.neighbors == 1:
                line["spread"] = np.nan  # of one neighbor
            for kind, cell in kinds.items():
                counts, name = count_operations(cell), kind.removesuffix(" cell")
                line |= {f"{name}: depth": depth(cell), f"{name}: skip %": 100 * counts.skip_share}
                line |= {f"{name}: without parameters %": 100 * counts.parameter_free_share}
            lines.append(line | {"seconds": run.result.seconds})
    return pd.DataFrame(lines)


def summary(found: Found) -> Styler:
    """Mean ± population standard deviation over the seeds of each method, a line a number."""
    frame = summary_frame(found).drop(columns="seed")
    labels = {name: LABELS.get(name, name) for name in frame.columns.drop("method")}
    return by_method(frame, labels, partial(mean_and_std, digits=3))


def plot_eigenvalues(traces: Mapping[str, SearchTrace]) -> go.Figure:
    """The largest eigenvalue of the Hessian with respect to the logits, after each epoch (DARTS-ES)."""
    figure = go.Figure()
    for name, trace in traces.items():
        if np.isfinite(values := trace.column("eigenvalue")).any():
            figure.add_scatter(x=trace.column("epoch"), y=values, mode="lines+markers", name=name)
    figure.update_xaxes(title_text="epoch").update_yaxes(title_text="largest eigenvalue", rangemode="tozero")
    found = "one fixed validation batch" if figure.data else "no method that was run takes it"
    return lay_out(figure, f"Curvature of the validation loss at alpha ({found})", 340)


# --- the cells trained from new weights ---------------------------------------------------------------


def train_cells(found: Found, *, random_cells: int, epochs: int, seed: int) -> pd.DataFrame:
    """Test accuracy (%) of every found cell and of random ones, each trained alone; no lines with epochs = 0."""
    own = next(iter(found.values()))[0].config
    chosen = [(method, run.config.seed, cell_of(run)) for method, runs in found.items() for run in runs]
    rng = np.random.default_rng([seed, 4])
    chosen += [("random", number, random_cell(SPACES[own.space], rng)) for number in range(random_cells)]
    lines = [
        {"kind": kind, "number": number, "accuracy": trained_accuracy(cell, own, epochs=epochs, seed=seed)}
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
    figure = go.Figure()
    for kind, rows in frame.groupby("kind", sort=False):
        figure.add_scatter(x=rows.kind, y=rows.accuracy, text=rows.number, mode="markers", name=kind, marker_size=11)
    figure.update_yaxes(title_text="test accuracy (%)")
    return lay_out(figure.update_layout(showlegend=False), f"Cells trained from new weights ({setting})", 360)
