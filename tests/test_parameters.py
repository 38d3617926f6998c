"""Checked notebook parameters: sees a misspelt or mistyped parameter that a run would pass over."""

import contextlib
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path

import pytest

from flatlib.neighborhoods import neighborhood_size
from flatlib.parameters import Assumption, NaDarts, RandomSearch, Variants, check
from flatlib.run.config import ParameterError
from flatlib.search.config import SearchConfig
from flatlib.settings import Settings, resolve_reports_dir

MODELS = (Assumption, RandomSearch, NaDarts, Variants)
CELL = "# Notebook parameters\nd: int = 1  # distance\nseed: int = 0  # random\n"
SEED = "seed: int = 0\n"  # a parameters cell of any notebook


def run(*cells: str, model: type[Settings] = RandomSearch, **values: object) -> Settings:
    """Check the namespace that a kernel has after executing the cells; values are set on top."""
    namespace: dict[str, object] = {}
    for cell in cells:
        with contextlib.suppress(SyntaxError):
            exec(cell, namespace)
    return check(model, {**namespace, "In": ["", *cells, "settings = parameters.check(...)"], **values})


def message(*cells: str, model: type[Settings] = RandomSearch, **values: object) -> str:
    with pytest.raises(ParameterError) as error:
        run(*cells, model=model, **values)
    assert error.value._render_traceback_() == str(error.value).splitlines()
    return str(error.value)


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_defaults_pass_their_own_limits(model):
    """Sees a default outside its limits, a field without help, or a limit that cannot be described."""
    settings = model()
    assert settings == run(SEED, model=model)
    for field in fields(model):
        assert field.metadata["help"]
        assert f"did you mean '{field.name}'? (" in message(CELL + f"{field.name}_ = 1\n", model=model)
    with pytest.raises(FrozenInstanceError):
        settings.d = settings.d


@pytest.mark.parametrize(
    ("model", "name", "value", "line"),
    [
        (Assumption, "d", "six", "d = 'six': allowed: int at least 1 and at most 6 (distance threshold of Eq. 3)"),
        (Assumption, "d", 6.5, "d = 6.5: allowed: int at least 1 and at most 6 ("),
        (Assumption, "d", True, "d = True: allowed: int at least 1 and at most 6 ("),
        (Assumption, "d", None, "d = None: allowed: int at least 1 and at most 6 ("),
        (Assumption, "d", 7, "d = 7: allowed: int at least 1 and at most 6 ("),
        (Assumption, "d", 0, "d = 0: allowed: int at least 1 and at most 6 ("),
        (Assumption, "lam", -0.5, "lam = -0.5: allowed: float at least 0 ("),
        (Assumption, "lam", True, "lam = True: allowed: float at least 0 ("),
        (
            Assumption,
            "lam",
            "1e-3",
            "lam = '1e-3': allowed: float at least 0 (lambda of the variance aggregator, Sec. A",
        ),
        (Assumption, "lam", float("nan"), "lam = nan: allowed: float at least 0 ("),
        (Assumption, "lam", float("inf"), "lam = inf: allowed: float at least 0 ("),
        (Assumption, "trial", "last", "trial = 'last': allowed: first, mean ("),
        (Assumption, "epoch", -2, "epoch = -2: allowed: int at least -1 ("),
        (Assumption, "seed", -1, "seed = -1: allowed: int at least 0 ("),
        (Assumption, "seed", 2**63, "seed = 9223372036854775808: allowed: int at least 0 and below 2 ** 63 ("),
        (Assumption, "n_top", 2, "n_top = 2: allowed: int at least 4 and at most 15624 and a multiple of 2 ("),
        (Assumption, "n_top", 5, "n_top = 5: allowed: int at least 4 and at most 15624 and a multiple of 2 ("),
        (Assumption, "n_sample", 2, "n_sample = 2: allowed: int at least 3 and at most 15625 ("),
        (Assumption, "repeats", 1, "repeats = 1: allowed: int at least 2 ("),
        (Assumption, "table", 201, "table = 201: allowed: str ('digits201' or the path of a .npz table)"),
        (Assumption, "reports_dir", __file__, f"reports_dir = {__file__!r}: {__file__} cannot be written (File exi"),
        (RandomSearch, "steps", 0, "steps = 0: allowed: int at least 1 ("),
        (RandomSearch, "runs", 1, "runs = 1: allowed: int at least 2 ("),
        (RandomSearch, "n_nbr", 1, "n_nbr = 1: allowed: int at least 2 ("),
        (RandomSearch, "aggregator", "median ", "aggregator = 'median ': allowed: mean, median, max, variance ("),
        (
            NaDarts,
            "d",
            15,
            "d = 15: allowed: int at least 0 and at most 14 (edges perturbed in each cell type, Sec. D.1",
        ),
        (NaDarts, "eps", 0.0, "eps = 0.0: allowed: float above 0 and below 1 (noise threshold, Sec. D.1)"),
        (NaDarts, "eps", 1.0, "eps = 1.0: allowed: float above 0 and below 1 ("),
        (NaDarts, "lam", float("inf"), "lam = inf: allowed: float at least 0 ("),
        (NaDarts, "channels", 3, "channels = 3: allowed: int at least 2 and a multiple of 2 ("),
        (NaDarts, "order", 3, "order = 3: allowed: int at least 1 and at most 2 (1: first order, 2: unrolled (without"),
        (NaDarts, "aggregator", "median", "aggregator = 'median': allowed: mean, max, variance"),
        (NaDarts, "space", "S3", "space = 'S3': allowed: nas-bench-201, darts, s3"),
        (NaDarts, "beside", "na-foo", "beside = 'na-foo': allowed: none, na-darts, darts, "),
        (NaDarts, "runs", 0, "runs = 0: allowed: int at least 1 ("),
        (Variants, "methods", "", "methods = '': no method; allowed: each run as it is and with na-; of darts"),
        (Variants, "methods", "na-darts", "methods = 'na-darts': na-darts: no such method; allowed: each run"),
        (Variants, "methods", "darts, snas", "methods = 'darts, snas': darts,: no such method; allowed: each run"),
    ],
)
def test_a_wrong_value_is_one_line(model, name, value, line):
    """Sees a wrong type or range that passes, is coerced, or is reported without what is allowed."""
    got = message(CELL, model=model, **{name: value})
    assert got.startswith(line)
    assert len(got.splitlines()) == 1


def test_an_int_serves_as_a_float():
    """Sees a check too strict for `-p lam 1`."""
    assert run(CELL, lam=1).lam == 1.0


@pytest.mark.parametrize("d", range(1, 7))
def test_n_nbr_is_held_against_the_neighborhood(d):
    """Sees a wrong neighborhood size in the contradiction of n_nbr and d."""
    size = neighborhood_size(6, 5, d)
    assert run(CELL, d=d, n_nbr=size).n_nbr == size
    line = f"n_nbr = {size + 1}: only {size} cells within d = {d}; allowed: 2 to {size}"
    assert message(CELL, d=d, n_nbr=size + 1) == line


def test_reports_dir_is_the_checkouts(tmp_path, monkeypatch):
    """Sees reports written beside the notebook, or an explicit folder or FLATLIB_REPORTS passed over."""
    monkeypatch.delenv("FLATLIB_REPORTS", raising=False)
    checkout, inner = tmp_path / "checkout", tmp_path / "checkout" / "notebooks" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert resolve_reports_dir("auto") == inner / "reports"
    (checkout / "pyproject.toml").touch()
    assert resolve_reports_dir("auto") == checkout / "reports"
    monkeypatch.setenv("FLATLIB_REPORTS", str(tmp_path / "elsewhere"))
    assert resolve_reports_dir("auto") == tmp_path / "elsewhere"
    assert resolve_reports_dir("here") == Path("here")


# --- searches -------------------------------------------------------------------------------------


def test_searches_have_the_defaults_of_search_config():
    """Sees a default that drifts from the command line's, or a parameter of a search that a notebook lacks."""
    config, shared = asdict(SearchConfig()), {"runs", "runs_dir", "reports_dir"}
    na_darts, variants = run(SEED, model=NaDarts).__dict__, run(SEED, model=Variants).__dict__
    assert na_darts.keys() == config.keys() | shared | {"beside"}
    assert variants.keys() == (config.keys() | shared | {"methods"}) - {"method", "order"}
    assert {name: na_darts[name] for name in config} == config
    own = {"space": "s3", "n_train": 400, "channels": 8, "cells": 3, "epochs": 12}
    assert {name: variants[name] for name in variants.keys() & config.keys()} == {
        name: value for name, value in (config | own).items() if name in variants
    }


def test_every_parameter_reaches_the_searches():
    """Sees a parameter that is checked and then left out of the config, or a method that gets another's numbers."""
    other = SearchConfig(
        "s3", "cifar10", 512, "darts-es", 2, "variance", "multiplicative", 3, 4, 0.2, 0.5, 8, 6, 2, 16, 0.0, 3,
        "float64", "cpu", 7,
    )  # fmt: skip
    assert not [name for name, value in asdict(other).items() if value == asdict(SearchConfig())[name]]
    settings = run(SEED, model=NaDarts, **asdict(other))
    assert settings.configs() == {"darts-es": other, "darts": SearchConfig(**asdict(other) | {"method": "darts"})}
    values = {name: value for name, value in asdict(other).items() if name not in ("method", "order")}
    found = run(SEED, model=Variants, methods="snas darts", **values).configs()
    assert list(found) == ["snas", "na-snas", "darts", "na-darts"]
    for method, config in found.items():
        assert config == SearchConfig(**asdict(other) | {"method": method, "order": 1})


def test_which_methods_are_run():
    """Sees a method run twice, left out or in another order, or 'none' taken for a method."""
    assert run(SEED, model=NaDarts).methods_to_run == ["na-darts", "darts"]
    assert run(SEED, model=NaDarts, beside="none").methods_to_run == ["na-darts"]
    assert run(SEED, model=NaDarts, method="darts").methods_to_run == ["darts"]
    assert run(SEED, model=NaDarts, beside="na-snas").methods_to_run == ["na-darts", "na-snas"]
    assert run(SEED, model=Variants).methods_to_run == [
        "darts", "na-darts", "darts-es", "na-darts-es", "pc-darts", "na-pc-darts"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "values", "line"),
    [
        (
            NaDarts,
            {"order": 2},
            "order = 2 with method = na-darts: only darts and darts-es unroll; use order = 1",
        ),
        (NaDarts, {"order": 2, "method": "snas", "beside": "none"}, "order = 2 with method = snas: only darts and"),
        (NaDarts, {"order": 2, "method": "darts", "beside": "na-darts"}, "order = 2 with method = na-darts: only"),
        (NaDarts, {"space": "nas-bench-201", "cells": 3, "d": 7}, "d = 7: a cell of nas-bench-201 has 6 edges; allow"),
        (NaDarts, {"space": "nas-bench-201"}, "cells = 4: nas-bench-201 has three stages; allowed: 3, 6, 9, ..."),
        (
            NaDarts,
            {"beside": "pc-darts"},
            "channels = 4 with method = pc-darts: allowed: multiples of 8, of which 1 / 4 ",
        ),
        (Variants, {"channels": 12}, "channels = 12 with method = pc-darts: allowed: multiples of 8"),
    ],
)
def test_searches_that_cannot_be(model, values, line):
    """Sees a contradiction, of the first method or of the one beside it, that the check lets through to a search."""
    got = message(SEED, model=model, **values)
    assert got.startswith(line) and len(got.splitlines()) == 1


def test_searches_that_can_be():
    """Sees a check of contradictions that is too strict: the last value that still serves."""
    run(SEED, model=NaDarts, order=2, method="darts", beside="darts-es")
    run(SEED, model=NaDarts, d=14, n_nbr=1, channels=2, cells=3, epochs=1, batch_size=2)
    run(SEED, model=NaDarts, space="nas-bench-201", cells=3, d=6)
    run(SEED, model=Variants, channels=2, methods="darts")


def test_where_run_folders_go(tmp_path, monkeypatch):
    """Sees runs written among the kept reports, into the notebooks' folder, or `runs_dir` passed over."""

    def folder(**values: object) -> Path:
        (there,) = {run(SEED, model=model, **values).runs_folder for model in (NaDarts, Variants)}
        return there

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FLATLIB_REPORTS", raising=False)
    (tmp_path / "checkout" / "notebooks").mkdir(parents=True)
    (tmp_path / "checkout" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "checkout" / "notebooks")
    assert folder() == tmp_path / "checkout" / "runs"
    assert folder(reports_dir=str(tmp_path / "elsewhere")) == tmp_path / "elsewhere" / "runs"
    assert folder(reports_dir=str(tmp_path / "reports")) == tmp_path / "runs"
    assert folder(reports_dir="reports") == tmp_path / "checkout" / "notebooks" / "runs"
    assert folder(runs_dir="here") == Path("here")
    assert folder(runs_dir="~/mine", reports_dir=str(tmp_path / "elsewhere")) == tmp_path / "mine"
    monkeypatch.setenv("FLATLIB_REPORTS", str(tmp_path / "set" / "reports"))
    assert folder() == tmp_path / "set" / "runs"
