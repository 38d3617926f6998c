"""Sees a preset that does not load, is read otherwise by the command line, or is not the paper's search."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from flatlib.evaluation.__main__ import Options as EvaluationOptions
from flatlib.evaluation.config import EvaluationConfig
from flatlib.parameters import Evaluation, LossLandscape, NaDarts, Variants, check
from flatlib.run.command_line import read_arguments
from flatlib.search.__main__ import Options
from flatlib.search.config import SearchConfig, recipe

PRESETS = {path.stem: path for path in sorted((Path(__file__).parents[1] / "notebooks" / "params").glob("*.yaml"))}
NOTEBOOKS = {"03": NaDarts, "04": Evaluation, "05": Variants, "06": LossLandscape}
SEARCHES = [name for name in PRESETS if name.startswith("03_")]
PAPER = {  # Sec. D.1 and Table 3
    "space": "darts",
    "dataset": "cifar10",
    "n_train": 0,  # all 50,000, in two halves
    "method": "na-darts",
    "order": 1,
    "aggregator": "mean",
    "representation": "auto",
    "d": 6,
    "n_nbr": 10,
    "eps": 0.1,
    "lam": 1.0,
    "channels": 16,
    "cells": 8,
    "epochs": 50,
    "batch_size": 64,
    "arch_learning_rate": 0.0,
    "hessian_batches": 1,
    "precision": "float32",
    "device": "auto",
    "seed": 0,
}
RECIPE = {
    "learning_rate": 0.025,
    "learning_rate_end": 0.001,
    "momentum": 0.9,
    "weight_decay": 3e-4,
    "gradient_clip": 5.0,
    "arch_learning_rate": 3e-4,
    "arch_betas": (0.5, 0.999),
    "arch_weight_decay": 1e-3,
    "warm_up": 0.0,
    "partial": 1,
}
ABLATIONS = {  # Table F, and the second order of Table 3, which has no neighborhood
    **{f"03_d{d}": {"d": d} for d in (2, 4, 8, 10, 14)},
    **{f"03_{aggregator}": {"aggregator": aggregator} for aggregator in ("max", "variance")},
    "03_darts_second_order": {"method": "darts", "order": 2},
}


def settings(name: str):
    """As papermill -f leaves it: the notebook's own cell, then one that overrides it."""
    values = yaml.safe_load(PRESETS[name].read_text())
    injected = "# Parameters\n" + "".join(f"{key} = {value!r}\n" for key, value in values.items())
    return check(NOTEBOOKS[name[:2]], values | {"In": ["", "seed: int = 0", injected]})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_passes_the_notebooks_check(name):
    """Sees a misspelt or mistyped line (YAML takes 1e-3 for text), or one that papermill would pass over."""
    values = yaml.safe_load(PRESETS[name].read_text())
    assert values.items() <= asdict(settings(name)).items()
    if name[:2] != "04":
        assert all(config.dataset == "cifar10" and config.epochs == 50 for config in settings(name).configs().values())


@pytest.mark.parametrize("name", SEARCHES)
def test_the_command_line_reads_the_same_search(name):
    """Sees a line that the two readers of YAML understand differently, such as a comment or a number."""
    config, options = read_arguments([str(PRESETS[name])], SearchConfig, Options)
    assert config == settings(name).configs()[settings(name).method]
    assert options == Options()


def test_the_papers_search():
    """Sees a number of 03_paper.yaml, a default under it or the recipe that is not the paper's."""
    config = settings("03_paper").configs()["na-darts"]
    assert asdict(config) == PAPER
    assert RECIPE.items() <= asdict(recipe(config)).items()
    assert list(settings("03_paper").configs()) == ["na-darts", "darts"]


def test_the_ablations():
    """Sees an ablation that differs from the paper's search in something else too, or not at all."""
    assert {"03_paper", *ABLATIONS} == set(SEARCHES)
    paper = asdict(settings("03_paper"))
    for name, change in ABLATIONS.items():
        own = asdict(settings(name))
        assert {key: value for key, value in own.items() if value != paper[key]} == change
    assert settings("03_max").configs()["na-darts"].multiplicative  # Sec. A.2.1
    assert not settings("03_variance").configs()["na-darts"].multiplicative


def test_the_searches_on_s3():
    """Sees a method of Table 6 left out, or searched at another size or with another rate than its own."""
    configs = settings("05_paper").configs() | settings("05_paper_pc_darts").configs()
    assert list(configs) == ["darts", "na-darts", "darts-es", "na-darts-es", "pc-darts", "na-pc-darts"]
    for method, config in configs.items():
        size = {"batch_size": 256} if "pc-" in method else {}
        assert config == SearchConfig(**PAPER | {"space": "s3", "method": method} | size)
        rates = (0.1, 0.0, 6e-4) if "pc-" in method else (0.025, 0.001, 3e-4)
        own = recipe(config)
        assert (own.learning_rate, own.learning_rate_end, own.arch_learning_rate) == rates


# --- the trainings of notebook 04 -----------------------------------------------------------------

CIFAR = {  # Sec. D.1, and DARTS's public code where the paper says "the same procedure as DARTS"
    "n_train": 0,
    "n_classes": 0,
    "channels": 36,
    "cells": 20,
    "epochs": 600,
    "batch_size": 96,
    "optimizer": "sgd",
    "learning_rate": 0.025,
    "schedule": "cosine",
    "weight_decay": 3e-4,
    "gradient_clip": 5.0,
    "label_smoothing": 0.0,
    "cutout": 16,
    "drop_path": 0.2,
    "auxiliary": 0.4,
    "precision": "float32",
    "device": "auto",
    "seed": 0,
}
IMAGENET = CIFAR | {
    "channels": 48,
    "cells": 14,
    "epochs": 250,
    "batch_size": 128,
    "learning_rate": 0.1,
    "schedule": "exponential",
    "weight_decay": 3e-5,
    "label_smoothing": 0.1,
    "cutout": 0,
    "drop_path": 0.0,
}


def training(name: str) -> EvaluationConfig:
    config, options = read_arguments([str(PRESETS[name])], EvaluationConfig, EvaluationOptions)
    assert options == EvaluationOptions()
    return config


@pytest.mark.parametrize(
    ("name", "own"),
    [("04_cifar10", CIFAR), ("04_cifar100", CIFAR), ("04_imagenet", IMAGENET)],
)
def test_the_papers_trainings(name, own):
    """Sees a number of a preset, or a default under it, that is not the paper's."""
    values = asdict(training(name))
    assert values.pop("dataset") == name[3:]
    assert {key: value for key, value in values.items() if key != "cell"} == own


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("04_")])
def test_the_notebook_trains_what_the_command_trains(name):
    """Sees a line that the two readers of YAML understand differently."""
    assert settings(name).configs({})["DARTS_V2"] == training(name)
