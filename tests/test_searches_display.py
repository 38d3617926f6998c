"""Sees searches summed up or drawn with other numbers than their runs hold."""

import math
from dataclasses import replace
from pathlib import Path

from synthetic_search import synthetic_trace

from flatlib.display import searches
from flatlib.run.folder import Result
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.spaces import SPACES, Genotype

CELL = (("skip_connect", 0), ("sep_conv_3x3", 1)) * 3 + (("max_pool_3x3", 0), ("skip_connect", 4))
FOUND = Genotype(CELL, (2, 3, 4, 5), (("max_pool_3x3", 0), ("max_pool_3x3", 1)) * 4, (2, 3, 4, 5))
PLAIN = Genotype((("sep_conv_3x3", 0), ("sep_conv_3x3", 1)) * 4, (2, 3, 4, 5), FOUND.reduce, (2, 3, 4, 5))
NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|"
SPREAD = "spread over neighbors (nats)"
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
    assert frame.epochs.tolist() == [6, 4, 6, 6]
    assert frame["validation loss (nats)"].tolist() == [1.0, 2.0, 0.5, 0.5]
    assert frame.seconds.tolist() == [10, 20, 10, 20]
    # 4 skips and 1 pooling of 8 operations; node 5 reads node 4, which reads the inputs
    assert frame["normal cell: skip %"].tolist() == [50, 0, 50, 50]
    assert frame["normal cell: without parameters %"].tolist() == [62.5, 0, 62.5, 62.5]
    assert frame["normal cell: depth"].tolist() == [2, 1, 2, 2]
    assert frame["reduction cell: skip %"].tolist() == [0] * 4
    assert frame["reduction cell: without parameters %"].tolist() == [100] * 4
    assert frame["reduction cell: depth"].tolist() == [1] * 4


def test_spread_of_one_neighbor_is_empty():
    """Sees the spread over one neighbor, 0, shown beside a neighborhood's as if it were flatter."""
    frame = searches.summary_frame(TWO_SEEDS)
    assert frame[SPREAD][:2].tolist() == [0.02, 0.06] and frame[SPREAD][2:].isna().all()
    alone = made_run("na-darts")
    alone = replace(alone, config=replace(alone.config, n_nbr=1))
    assert math.isnan(searches.summary_frame({"na-darts": [alone]})[SPREAD][0])


def test_summary_is_mean_and_population_std():
    """Sees the sample standard deviation, a wrong n, an empty number written as nan, or methods reordered."""
    table = searches.summary(TWO_SEEDS).data
    assert list(table.columns) == ["na-darts (n = 2)", "darts (n = 2)"]
    ours, theirs = table["na-darts (n = 2)"], table["darts (n = 2)"]
    assert ours["validation loss (nats)"] == "1.5 ± 0.5" and ours["validation accuracy (%)"] == "82 ± 2"
    assert ours["spread over neighbors (nats)"] == "0.04 ± 0.02" and theirs["spread over neighbors (nats)"] == ""
    assert ours["epochs"] == "5 ± 1" and ours["normal cell: skip %"] == "25 ± 25" and ours["seconds"] == "15 ± 5"
    assert theirs["validation loss (nats)"] == "0.5 ± 0" and theirs["seconds"] == "15 ± 5"


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
    """Sees a panel that is never drawn, or a seed left out."""
    calls = []
    monkeypatch.setattr(searches, "search", lambda *arguments, **options: calls.append((arguments, options)) or "run")
    config = made_run("darts").config
    assert searches.run_searches({"darts": config}, 2, "here") == {"darts": ["run"] * 2}
    drawn = {"on_epoch": searches.show_live}
    assert calls == [((replace(config, seed=seed), "here"), drawn) for seed in (0, 1)]


def test_first_traces():
    """Sees another seed's trace under a name, or a name without the seed."""
    found = {"na-darts": TWO_SEEDS["na-darts"][::-1], "darts": TWO_SEEDS["darts"]}
    traces = searches.first_traces(found)
    assert list(traces) == ["na-darts, seed 1", "darts, seed 0"]
    assert traces["na-darts, seed 1"] is TWO_SEEDS["na-darts"][1].trace
    assert traces["darts, seed 0"] is TWO_SEEDS["darts"][0].trace
