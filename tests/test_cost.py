"""Sees a count that is not the network's, a budget that is missed, or a command that waits, skips or stops halfway."""

import json
import subprocess
import sys

import pytest

from flatlib.cli import main
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.cost import cost, costs, solve_channels
from flatlib.evaluation.plan import IMAGES, network_plan
from flatlib.published import table
from flatlib.spaces import Genotype

DARTS_V2 = catalogue()["DARTS_V2"].cell
ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dataset", "channels", "cells", "params", "multi_adds"),
    [
        ("DARTS_V2", "cifar10", 36, 20, 3_349_342, None),  # its public network
        ("DARTS_V1", "cifar10", 36, 20, 3_169_414, None),
        ("DARTS_V2", "imagenet", 48, 14, 4_718_752, 529_911_552),
    ],
)
def test_known_sizes(name, dataset, channels, cells, params, multi_adds):
    """Sees any layer counted wrongly at the paper's sizes."""
    found = cost(network_plan(catalogue()[name].cell, IMAGES[dataset], channels=channels, cells=cells))
    assert found.params == params and (multi_adds is None or found.multi_adds == multi_adds)


def test_a_small_network_by_hand():
    """Sees a wrong formula: one cell of C = 2 with a 3 x 3 separable convolution, skips and a pooling."""
    pairs = (("sep_conv_3x3", 0), ("skip_connect", 1), ("max_pool_3x3", 0), ("skip_connect", 2))
    cell = Genotype(pairs, (2, 3), pairs, (2, 3))
    c, stem, pixels = 2, 6, 32 * 32
    convolutions = 3 * 9 * stem + 2 * stem * c + 2 * (9 * c + c * c)
    norms = 2 * stem + 2 * 2 * c + 2 * 2 * c
    head = (2 * c + 1) * 10
    found = cost(network_plan(cell, IMAGES["cifar10"], channels=c, cells=1))
    assert found.params == convolutions + norms + head
    assert found.multi_adds == convolutions * pixels + 2 * c * 10


@pytest.mark.parametrize(
    ("number", "column", "rows"),
    [
        ("4", "Params", ("ENAS", "P-DARTS", "PC-DARTS", "SDARTS-ADV")),
        ("5", "Params", ("DARTS", "P-DARTS", "PC-DARTS", "SDARTS-ADV")),
    ],
)
def test_published_sizes_of_the_cells_that_have_them(number, column, rows):
    """Sees a wrong operation in a cell whose parameters are the published ones, to the last digit printed."""
    dataset, channels, cells = ("cifar10", 36, 20) if number == "4" else ("imagenet", 48, 14)
    printed = {entry.row: entry.value for entry in table(number) if entry.column == column}
    by_row = {known.rows[number]: known.cell for known in catalogue().values() if number in known.rows}
    for row in rows:
        found = cost(network_plan(by_row[row], IMAGES[dataset], channels=channels, cells=cells))
        assert round(found.params / 1e6, 1) == printed[row], row


@pytest.mark.parametrize("name", [*catalogue()])
def test_solved_channels_meet_the_budget(name):
    """Sees a solver that stops one step early or late: compared with all even numbers around."""
    cell = catalogue()[name].cell

    def spent(images, channels, cells):
        return cost(network_plan(cell, IMAGES[images], channels=channels, cells=cells))

    found = solve_channels(cell, "imagenet", 14)
    assert spent("imagenet", found, 14).multi_adds < 600e6 <= spent("imagenet", found + 2, 14).multi_adds
    found = solve_channels(cell, "cifar10", 20)
    misses = {c: abs(spent("cifar10", c, 20).params - 3e6) for c in (found - 2, found, found + 2)}
    assert min(misses, key=misses.get) == found


@pytest.mark.parametrize("cell", [DARTS_V2, ARCH])
def test_solved_channels_beside_all_others(cell):
    """Sees a count that is no quadratic in the channels: small budgets, where each even number is tried."""
    for dataset, number in (("digits", "params"), ("imagenet", "multi_adds")):
        found = {c: cost(network_plan(cell, IMAGES[dataset], channels=c, cells=6)) for c in range(2, 42, 2)}
        counts = {c: getattr(one, number) for c, one in found.items()}
        for budget in (counts[2] + 1, counts[8] + 1000, (counts[10] + counts[12]) // 2, counts[30], counts[30] + 1):
            nearest = min(counts, key=lambda c: abs(counts[c] - budget))
            below = max(c for c in counts if counts[c] < budget)
            assert solve_channels(cell, dataset, 6, budget) == (nearest if number == "params" else below)


def test_a_budget_too_small_is_one_line():
    """Sees a loop without end, or a network above the budget."""
    with pytest.raises(ValueError, match="1,000 multi_adds: the smallest network has"):
        solve_channels(DARTS_V2, "imagenet", 20, 1000)
    with pytest.raises(ValueError, match="1,000 params: the smallest network has 20,776"):
        solve_channels(DARTS_V2, "cifar10", 20, 1000)


# --- the command ----------------------------------------------------------------------------------


def test_many_cells_in_one_call_without_torch():
    """Sees a command that waits for torch, skips a cell, or prints another size than it counted."""
    code = "import sys; sys.modules['torch'] = sys.modules['pandas'] = sys.modules['plotly'] = None; "
    arguments = ["cost", "all", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"]
    code += "from flatlib.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in lines[:-1]] == [*catalogue()]
    by_name = {line["name"]: line for line in lines}
    size = {"channels": 36, "cells": 20, "dataset": "cifar10"}
    assert by_name["DARTS_V2"] == {"name": "DARTS_V2", "params": 3349342, "multi_adds": 528359040} | size
    assert (lines[-1]["channels"], lines[-1]["cells"]) == (16, 15)


def test_solved_sizes():
    """Sees a budget of another data set, or one that is not passed on."""
    assert costs(["DARTS_V2"], "imagenet", channels=0)[0]["channels"] == 50
    assert costs(["DARTS_V2"], "cifar10", channels=0)[0]["channels"] == 34


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("DARTS_V3",), "no such published cell"),
        (("DARTS_V2", "absent.json"), "absent.json"),
        (("DARTS_V2", "--dataset", "cifar"), "--dataset cifar: there are digits, cifar10, cifar100, imagenet"),
        (("DARTS_V2", "--channels", "7"), "channels = 7: allowed: even numbers"),
        ((ARCH, "--cells", "4"), "cells = 4: a NAS-Bench-201 network has three stages"),
        (("DARTS_V2", "--cells", "4000", "--channels", "0"), "smallest network"),
    ],
)
def test_a_mistake_is_one_line_and_no_output(words, says, monkeypatch, capsys):
    """Sees a line printed before a later genotype turns out to be broken."""
    monkeypatch.setattr(sys, "argv", ["flatlib", "cost", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    assert stop.value.code == 1 and not told.out
    assert told.err.count("\n") == 1 and says in told.err
