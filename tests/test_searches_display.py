"""Sees searches summed up or drawn with other numbers than their runs hold."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from synthetic_search import synthetic_trace

from flatlib.display import searches
from flatlib.evaluation.catalogue import cell_key
from flatlib.run.folder import Result
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.spaces import SPACES, Genotype

CELL = (("skip_connect", 0), ("sep_conv_3x3", 1)) * 3 + (("max_pool_3x3", 0), ("skip_connect", 4))
FOUND = Genotype(CELL, (2, 3, 4, 5), (("max_pool_3x3", 0), ("max_pool_3x3", 1)) * 4, (2, 3, 4, 5))
PLAIN = Genotype((("sep_conv_3x3", 0), ("sep_conv_3x3", 1)) * 4, (2, 3, 4, 5), FOUND.reduce, (2, 3, 4, 5))
NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|"
FINAL = {"valid_loss": 1.0, "valid_accuracy": 80.0, "spread": 0.04, "entropy": 2.0, "train_loss": 99.0}


def made_run(method: str, seed: int = 0, cell=FOUND, *, epoch: int = 6, space: str = "darts", **final: float) -> Run:
    config = SearchConfig(space=space, method=method, seed=seed, epochs=6, cells=3, channels=8)
    trace = synthetic_trace(SPACES[space], seed=seed)
    first, *others = (line._replace(seconds=0.0) for line in trace.epochs)
    trace = replace(trace, epochs=(first._replace(seconds=10.0 * (seed + 1)), *others))
    return Run(Path("nowhere"), config, trace, Result(cell, epoch, FINAL | final))


TWO_SEEDS = {
    "na-darts": [
        made_run("na-darts", 0, valid_loss=1.0, valid_accuracy=80.0, spread=0.02),
        made_run("na-darts", 1, PLAIN, valid_loss=2.0, valid_accuracy=84.0, spread=0.06, epoch=4),
    ],
    "darts": [made_run("darts", 0, valid_loss=0.5), made_run("darts", 1, valid_loss=0.5)],
}


# --- the table ------------------------------------------------------------------------------------


def test_summary_frame():
    """Sees a run under another method, the last epoch for the one that was taken, cells exchanged, a share as such."""
    frame = searches.summary_frame(TWO_SEEDS)
    assert frame.method.tolist() == ["na-darts", "na-darts", "darts", "darts"]
    assert frame.seed.tolist() == [0, 1, 0, 1] and frame.epochs.tolist() == [6, 4, 6, 6]
    assert frame.valid_loss.tolist() == [1.0, 2.0, 0.5, 0.5]
    assert frame.seconds.tolist() == [10, 20, 10, 20]
    # 4 skips and 1 pooling of 8 operations; node 5 reads node 4, which reads the inputs
    assert frame["normal: skip %"].tolist() == [50, 0, 50, 50]
    assert frame["normal: without parameters %"].tolist() == [62.5, 0, 62.5, 62.5]
    assert frame["normal: depth"].tolist() == [2, 1, 2, 2]
    assert frame["reduction: skip %"].tolist() == [0] * 4
    assert frame["reduction: without parameters %"].tolist() == [100] * 4
    assert frame["reduction: depth"].tolist() == [1] * 4
    assert "train_loss" not in frame  # of the mixture on its own batches: no measure of a cell


def test_spread_of_one_neighbor_is_empty():
    """Sees the spread over one neighbor, 0, shown beside a neighborhood's as if it were flatter."""
    frame = searches.summary_frame(TWO_SEEDS)
    assert frame.spread[:2].tolist() == [0.02, 0.06] and frame.spread[2:].isna().all()
    alone = made_run("na-darts")
    alone = replace(alone, config=replace(alone.config, n_nbr=1))
    assert math.isnan(searches.summary_frame({"na-darts": [alone]}).spread[0])


def test_summary_is_mean_and_population_std():
    """Sees the sample standard deviation, a wrong n, an empty number written as nan, or methods reordered."""
    table = searches.summary(TWO_SEEDS).data
    assert list(table.columns) == ["na-darts (n = 2)", "darts (n = 2)"]
    ours, theirs = table["na-darts (n = 2)"], table["darts (n = 2)"]
    assert ours["validation loss (nats)"] == "1.5 ± 0.5" and ours["validation accuracy (%)"] == "82 ± 2"
    assert ours["spread over neighbors (nats)"] == "0.04 ± 0.02" and theirs["spread over neighbors (nats)"] == ""
    assert ours["epochs"] == "5 ± 1" and ours["normal: skip %"] == "25 ± 25" and ours["seconds"] == "15 ± 5"
    assert theirs["validation loss (nats)"] == "0.5 ± 0" and theirs["seconds"] == "15 ± 5"
    assert "seed" not in table.index


def test_summary_of_one_run_has_no_spread_over_seeds():
    """Sees '± 0' after a single run, as if it had been repeated."""
    table = searches.summary({"na-darts": TWO_SEEDS["na-darts"][:1], "darts": TWO_SEEDS["darts"]}).data
    assert table["na-darts (n = 1)"]["validation loss (nats)"] == "1"
    assert table["darts (n = 2)"]["validation loss (nats)"] == "0.5 ± 0"
    assert not table["na-darts (n = 1)"].str.contains("±").any()


def test_summary_of_nas_bench_201():
    """Sees a table that takes two cells a search for granted."""
    table = searches.summary({"na-darts": [made_run("na-darts", cell=NB201, space="nas-bench-201")]}).data
    column = table["na-darts (n = 1)"]
    assert column["cell: depth"] == "3" and column["cell: skip %"] == "40"  # two skips of five operations
    assert column["cell: without parameters %"] == "60"
    assert not [name for name in table.index if name.startswith(("normal", "reduction"))]


def test_a_cell_of_none_has_no_share():
    """Sees nan in the table for a NAS-Bench-201 cell without operations."""
    nothing = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    column = searches.summary({"darts": [made_run("darts", cell=nothing, space="nas-bench-201")]}).data["darts (n = 1)"]
    assert column["cell: skip %"] == "" and column["cell: depth"] == "0"


def test_searches_are_drawn_while_they_run(monkeypatch):
    """Sees a panel that is never drawn, a seed left out, or a stack instead of one line after an interrupt."""
    calls = []
    monkeypatch.setattr(searches, "search", lambda *arguments, **options: calls.append((arguments, options)) or "run")
    config = made_run("darts").config
    assert searches.run_searches({"darts": config}, 2, "here") == {"darts": ["run"] * 2}
    drawn = {"on_epoch": searches.show_live}
    assert calls == [((replace(config, seed=seed), "here"), drawn) for seed in (0, 1)]

    def interrupted(*_, **__):
        raise KeyboardInterrupt("stopped; the same command goes on")

    monkeypatch.setattr(searches, "search", interrupted)
    with pytest.raises(searches.SearchInterrupted, match="stopped; this cell, run again, goes on") as told:
        searches.run_searches({"darts": config}, 1, "here")
    assert told.value._render_traceback_() == [str(told.value)]


def test_first_traces():
    """Sees another seed's trace under a name, or a name without the seed."""
    found = {"na-darts": TWO_SEEDS["na-darts"][::-1], "darts": TWO_SEEDS["darts"]}
    traces = searches.first_traces(found)
    assert list(traces) == ["na-darts, seed 1", "darts, seed 0"]
    assert traces["na-darts, seed 1"] is TWO_SEEDS["na-darts"][1].trace
    assert traces["darts, seed 0"] is TWO_SEEDS["darts"][0].trace


# --- trained cells --------------------------------------------------------------------------------


def test_train_cells(monkeypatch):
    """Sees an accuracy beside another cell, a run left out, or random cells that do not follow the seed."""
    calls = []

    def trained(cell, own, **options):
        calls.append((cell, own, options))
        return float(len(calls))

    monkeypatch.setattr(searches, "trained_accuracy", trained)
    frame = searches.train_cells(TWO_SEEDS, random_cells=2, epochs=5, seed=7)
    assert frame.kind.tolist() == ["na-darts", "na-darts", "darts", "darts", "random", "random"]
    assert frame.number.tolist() == [0, 1, 0, 1, 0, 1] and frame.accuracy.tolist() == [1, 2, 3, 4, 5, 6]
    found = [cell for cell, *_ in calls]
    assert found[:4] == [FOUND, PLAIN, FOUND, FOUND] and found[4] != found[5]
    assert all(
        own == TWO_SEEDS["na-darts"][0].config and options == {"epochs": 5, "seed": 7} for _, own, options in calls
    )
    searches.train_cells(TWO_SEEDS, random_cells=2, epochs=5, seed=7)
    searches.train_cells(TWO_SEEDS, random_cells=2, epochs=5, seed=8)
    again, other = ([cell for cell, *_ in calls[at : at + 6]] for at in (6, 12))
    assert again == found and other[:4] == found[:4] and other[4] != found[4]


@pytest.mark.parametrize("cell", [FOUND, NB201], ids=["darts", "nas-bench-201"])
def test_cells_are_trained_on_the_images_of_the_search(monkeypatch, cell):
    """Sees n_train passed over, another cell or size trained, no step made, or accuracy as a share."""
    own, plain, seen = replace(made_run("darts").config, n_train=64), searches.Trainer.end_epoch, []
    monkeypatch.setattr(
        searches.Trainer, "end_epoch", lambda trainer: seen.append((trainer.config, trainer.at)) or plain(trainer)
    )
    accuracy = searches.trained_accuracy(cell, own, epochs=2, seed=3)
    assert accuracy * 597 / 100 == pytest.approx(round(accuracy * 597 / 100)) and accuracy > 1  # of 597 test images
    (config, _), _ = seen
    assert [steps for _, steps in seen] == [64 // 32] * 2
    assert (cell_key(config.genotype), config.channels, config.cells, config.seed) == (cell_key(cell), 8, 3, 3)
    assert searches.trained_accuracy(cell, own, epochs=2, seed=3) == accuracy


def test_no_epochs_train_no_cell(monkeypatch):
    """Sees cells judged untrained, or a frame without the columns that the figure reads."""
    monkeypatch.setattr(searches, "trained_accuracy", None)
    frame = searches.train_cells(TWO_SEEDS, random_cells=2, epochs=0, seed=0)
    assert frame.empty and frame.columns.tolist() == ["kind", "number", "accuracy"]
    assert not any(len(points.x) for points in searches.plot_trained(frame, "0 epochs on digits").data)


def test_plot_trained():
    """Sees a kind left out once the colors run out, or a point under another kind."""
    kinds = ["darts", "na-darts", "darts-es", "na-darts-es", "pc-darts", "na-pc-darts", "random"]
    lines = [(kind, number, 50 + 10 * number + at) for at, kind in enumerate(kinds) for number in range(2)]
    figure = searches.plot_trained(pd.DataFrame(lines, columns=["kind", "number", "accuracy"]), "3 epochs on digits")
    assert [points.name for points in figure.data] == kinds
    for at, points in enumerate(figure.data):
        assert list(points.x) == [kinds[at]] * 2 and list(points.y) == [50 + at, 60 + at]
        assert list(points.hovertext) == [0, 1]
    assert "3 epochs on digits" in figure.layout.title.text and "(%)" in figure.layout.yaxis.title.text
