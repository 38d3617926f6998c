"""Sees trainings of different settings in one mean, cells under another search's name, or noise that is wrong."""

import math
from dataclasses import replace

import pytest
from synthetic_search import finished_search as search
from synthetic_training import CIFAR, DIGITS, FOUND, run

from flatlib import published
from flatlib.display import evaluations
from flatlib.evaluation.catalogue import catalogue, cell_key
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.tables import (
    found_how,
    group_names,
    rows_of_search,
    seed_noise,
    setting,
    trained,
)
from flatlib.search.config import SearchConfig


def test_groups_are_cells_under_one_setting():
    """Sees settings mixed in a mean, seeds apart, or searches of other parameters together."""
    other = replace(FOUND, normal=catalogue()["GDAS_V1"].cell.normal)
    searches = [search(FOUND, 3), search(other, 4)]
    runs = [
        run(DIGITS, 2.0),
        run(DIGITS, 4.0, seed=1),
        run(replace(DIGITS, epochs=3), 1.0),
        run(DIGITS, 5.0, cell=cell_key(FOUND)),
        run(DIGITS, 7.0, cell=cell_key(other), seed=1),
    ]
    groups = {(group.name, len(group.runs)): group for group in trained(runs, searches)}
    assert set(groups) == {("DARTS_V2", 2), ("DARTS_V2", 1), ("na-darts, found on digits", 2)}
    assert groups["DARTS_V2", 2].errors.tolist() == [2.0, 4.0]
    assert groups["na-darts, found on digits", 2].errors.tolist() == [5.0, 7.0]
    assert groups["DARTS_V2", 2].origin == "published cells"
    assert groups["na-darts, found on digits", 2].origin == "cells found on digits"


def test_a_cell_that_several_found_counts_for_each():
    """Sees a published cell, or one kind of search, that loses its number to another that found the same cell."""
    cell = catalogue()["P-DARTS"].cell
    searches = [search(cell, method="darts"), search(cell), search(cell, 1)]
    groups = trained([run(DIGITS, 3.0, "P-DARTS"), run(DIGITS, 5.0, "P-DARTS", 1)], searches)
    assert [(group.name, len(group.runs)) for group in groups] == [
        ("P-DARTS", 2), ("darts, found on digits", 2), ("na-darts, found on digits", 2)
    ]  # fmt: skip
    assert ("4", "P-DARTS") in groups[0].rows
    frame = evaluations.summary(groups).data
    assert frame["noise of the mean"].tolist() == [pytest.approx(1)] * 3  # each training once: 1.41 points


def test_every_parameter_is_in_the_setting():
    """Sees two settings under one name: all but cell, seed, device and classes must show."""
    changes = {
        "dataset": "cifar100", "n_train": 100, "channels": 6, "cells": 5, "epochs": 9, "batch_size": 8,
        "optimizer": "nesterov", "learning_rate": 0.01, "schedule": "exponential", "weight_decay": 0.0,
        "gradient_clip": 0.0, "label_smoothing": 0.1, "cutout": 2, "drop_path": 0.1, "precision": "float64",
    }  # fmt: skip
    own = setting(run(DIGITS, 1.0))
    for name, value in changes.items():
        assert setting(run(replace(DIGITS, **{name: value}), 1.0)) != own, name
    assert setting(run(replace(CIFAR, auxiliary=0.4), 1.0)) != setting(run(CIFAR, 1.0))
    imagenet = EvaluationConfig(dataset="imagenet", cells=14)
    assert setting(run(replace(imagenet, n_classes=10), 1.0)) != setting(run(imagenet, 1.0))
    told = {*changes, "auxiliary", "cell", "seed", "device", "n_classes"}
    assert told == set(EvaluationConfig.__dataclass_fields__)
    assert setting(run(DIGITS, 1.0, cell="GDAS_V1", seed=5)) == own


def test_seed_noise_is_the_pooled_deviation():
    """Sees a spread between cells in the seed noise, or the wrong degrees of freedom: a closed form."""
    runs = [run(DIGITS, error, seed=at) for at, error in enumerate((1.0, 3.0))]
    runs += [run(DIGITS, error, "GDAS_V1", at) for at, error in enumerate((10.0, 10.0, 16.0))]
    runs.append(run(DIGITS, 50.0, "P-DARTS"))
    noise = seed_noise(runs)
    assert noise == (pytest.approx(math.sqrt((2 + 24) / 3)), 2, 5)
    assert math.isnan(seed_noise(runs[-1:]).std)


def test_noise_is_of_one_setting():
    """Sees noise pooled over settings of which one begins like the other."""
    runs = [run(DIGITS, error, seed=seed) for seed, error in enumerate((30.0, 30.1))]
    runs += [run(replace(DIGITS, cutout=2), error, seed=seed) for seed, error in enumerate((20.0, 20.1))]
    groups = trained(runs, [])
    assert groups[1].setting.startswith(groups[0].setting)
    for group in groups:
        assert "0.07 points (2 trainings of 1 cells)" in str(group.noise)


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        (SearchConfig(method="darts"), {("3", "DARTS 1st"), ("4", "DARTS 1st")}),
        (SearchConfig(method="darts", order=2), {("3", "DARTS 2nd"), ("4", "DARTS 2nd"), ("5", "DARTS")}),
        (SearchConfig(), {*((t, "NA-DARTS (Ours)") for t in "345"), ("Fa", "mean"), ("Fb", "d = 6")}),
        (SearchConfig(d=2), {("Fb", "d = 2")}),
        (SearchConfig(aggregator="max"), {("Fa", "max")}),
        (SearchConfig(aggregator="variance"), set()),
        (SearchConfig(d=8), set()),
        (SearchConfig(space="s3", method="na-pc-darts", channels=8), {("6", "NA-PC-DARTS (Ours)")}),
        (SearchConfig(space="s3", method="snas"), set()),
        (SearchConfig(space="nas-bench-201", cells=3, d=2), set()),
    ],
)
def test_a_searchs_rows(config, rows):
    """Sees a found cell in the row of another method, order, aggregator or radius."""
    assert set(rows_of_search(config)) == rows
    for table, row in rows:
        assert row in {cell.row for cell in published.table(table)}


def test_names_tell_searches_apart():
    """Sees cells of different searches under one name, or told by what only other methods' differ in."""
    changes = {
        "space": "s3", "n_train": 100, "method": "darts", "aggregator": "max", "representation": "multiplicative",
        "d": 2, "n_nbr": 3, "eps": 0.2, "lam": 2.0, "channels": 8, "cells": 3, "epochs": 9, "batch_size": 16,
        "arch_learning_rate": 0.1, "hessian_batches": 2, "precision": "float64", "dataset": "cifar10",
    }  # fmt: skip
    assert {*changes, "order", "seed", "device"} == set(SearchConfig.__dataclass_fields__)
    for name, value in changes.items():
        both = [SearchConfig(), SearchConfig(seed=4, **{name: value})]
        assert len({*group_names(both).values()}) == 2 and len({found_how(one) for one in both}) == 1 + (
            name != "method"
        )
    assert [*group_names([SearchConfig(d=2, seed=9, epochs=9)]).values()] == ["na-darts, d 2, found on digits"]
    darts = [SearchConfig(method="darts", d=2), SearchConfig(method="darts", order=2)]
    assert [*group_names(darts).values()] == ["darts, found on digits", "darts, order 2, found on digits"]
    apart = [SearchConfig(epochs=9), SearchConfig(method="darts", channels=8), SearchConfig(space="s3", cells=3)]
    short = ["na-darts, found on digits", "darts, found on digits", "na-darts, space s3, found on digits"]
    assert [*group_names(apart).values()] == short
    same = [SearchConfig(epochs=9), SearchConfig(epochs=9, seed=1), SearchConfig()]
    assert [*group_names(same).values()] == ["na-darts, epochs 9, found on digits"] * 2 + ["na-darts, found on digits"]
