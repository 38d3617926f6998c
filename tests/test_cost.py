"""Sees a count that is not the network's, a budget that is missed, or a cell that is not the one asked for."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell, name_of
from flatlib.evaluation.cost import cost, solve_channels
from flatlib.evaluation.costs import costs
from flatlib.evaluation.plan import IMAGES, network_plan
from flatlib.published import table
from flatlib.spaces import Genotype, genotype

DARTS_V2 = catalogue()["DARTS_V2"].cell
ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"


def flatlib(*arguments: str) -> subprocess.CompletedProcess:
    code = "import sys; sys.modules['torch'] = sys.modules['pandas'] = sys.modules['plotly'] = None; "
    code += "from flatlib.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, "cost", *arguments], capture_output=True, text=True)


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


@pytest.mark.parametrize("name", [*catalogue()])
def test_solved_channels_meet_the_budget(name):
    """Sees a solver that stops one step early or late: compared with all even numbers around."""
    cell = catalogue()[name].cell

    def spent(images, channels, cells):
        return cost(network_plan(cell, IMAGES[images], channels=channels, cells=cells))

    found = solve_channels(cell, IMAGES["imagenet"], cells=14, multi_adds=600e6)
    assert spent("imagenet", found, 14).multi_adds < 600e6 <= spent("imagenet", found + 2, 14).multi_adds
    found = solve_channels(cell, IMAGES["cifar10"], cells=20, params=3e6)
    misses = {c: abs(spent("cifar10", c, 20).params - 3e6) for c in (found - 2, found, found + 2)}
    assert min(misses, key=misses.get) == found


def test_a_budget_too_small_is_one_line():
    """Sees a loop without end, or a network above the budget."""
    with pytest.raises(ValueError, match="1,000 multiply-adds: the smallest network has"):
        solve_channels(DARTS_V2, IMAGES["cifar10"], cells=20, multi_adds=1000)


# --- the catalogue --------------------------------------------------------------------------------


def test_the_catalogue_covers_the_tables():
    """Sees a row of Table 4 or 5 without a cell (but NA-DARTS's, a picture only), or a row that no table has."""
    for number in "345":
        rows = {cell.row for cell in table(number)}
        covered = {known.rows[number] for known in catalogue().values() if number in known.rows}
        assert rows - covered == {"NA-DARTS (Ours)"} and covered <= rows
    assert all(known.source for known in catalogue().values())
    for name in ("ENAS", "DARTS+"):
        assert catalogue()[name].doubt


def test_names_and_other_names():
    """Sees a name that finds another cell, or one that two cells share."""
    for known in catalogue().values():
        for name in (known.name, *known.also):
            assert find_cell(f" {name.lower()} ") == (known.name, known.cell)
    names = [name.lower() for known in catalogue().values() for name in (known.name, *known.also)]
    assert len(names) == len(set(names)) and len({cell_key(known.cell) for known in catalogue().values()}) == 17


def test_a_cell_as_it_is_handed_over(tmp_path):
    """Sees a file, a run folder or a pasted text that is read as another cell."""
    other = replace(DARTS_V2, normal=DARTS_V2.reduce)
    (tmp_path / "mine.json").write_text(json.dumps(other.to_json()))
    run = tmp_path / "na-darts-1a2b"
    run.mkdir()
    (run / "result.json").write_text(json.dumps({"genotype": other.to_json(), "epoch": 3}))
    own = name_of(other)
    assert own.startswith("cell-") and len(own) == 13
    assert find_cell(str(tmp_path / "mine.json")) == ("mine", other)
    assert find_cell(str(run)) == find_cell(str(run / "result.json")) == ("na-darts-1a2b", other)
    assert find_cell(str(other)) == find_cell(json.dumps(other.to_json())) == (own, other)
    (run / "result.json").write_text(json.dumps({"arch": ARCH}))
    assert find_cell(str(run)).cell == find_cell(ARCH).cell == ARCH
    assert find_cell(cell_key(other)).cell == genotype(json.loads(cell_key(other)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("DARTS_V3", "no such published cell; did you mean DARTS_V"),
        ("", "no such published cell"),
        ("absent.json", "no cell there (No such file or directory)"),
        ("Genotype(normal=__import__('os').system('x'))", "expected Genotype(normal="),
        ('{"normal": [["sep_conv_9x9", 0], ["none", 1]], "normal_concat": [2], "reduce": [], "reduce_concat": []}',
         "operation 'sep_conv_9x9'"),
        ("{", "not valid JSON"),
        ("|nor_conv_3x3~0|", "is no NAS-Bench-201 cell"),
    ],
)  # fmt: skip
def test_what_is_no_cell_is_one_line(text, says):
    """Sees a traceback, or code in a pasted text that runs."""
    with pytest.raises(ValueError) as error:
        find_cell(text)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_no_cell(tmp_path):
    """Sees a binary, huge, empty or unrelated file, or a folder without a result, read as a cell."""
    contents = {
        "binary.json": b"\xff\xfe\x00",
        "empty.json": b"",
        "list.json": b"[1, 2]",
        "huge.json": b" " * 1_000_001,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name) as error:
            find_cell(str(tmp_path / name))
        assert "\n" not in str(error.value) and len(str(error.value)) < 500
    with pytest.raises(ValueError, match="no cell there"):
        find_cell(str(tmp_path))


@given(st.text(max_size=60))
def test_any_text_is_a_cell_or_one_line(text):
    """Sees an exception of another kind for a name that somebody mistypes."""
    try:
        assert find_cell(text).name
    except ValueError as error:
        assert len(str(error).splitlines()) == 1


def test_the_order_of_a_nodes_inputs_does_not_matter():
    """Sees one network under two keys, or two networks under one."""
    turned = replace(DARTS_V2, normal=(DARTS_V2.normal[1], DARTS_V2.normal[0], *DARTS_V2.normal[2:]))
    moved = replace(DARTS_V2, normal=(*DARTS_V2.normal[2:4], *DARTS_V2.normal[:2], *DARTS_V2.normal[4:]))
    assert turned != DARTS_V2 and cell_key(turned) == cell_key(DARTS_V2)
    other = replace(DARTS_V2, normal=(("sep_conv_5x5", 0), *DARTS_V2.normal[1:]))
    assert cell_key(other) != cell_key(DARTS_V2) and (cell_key(moved) == cell_key(DARTS_V2)) == (moved == DARTS_V2)


# --- the command ----------------------------------------------------------------------------------


def test_many_cells_in_one_call_without_torch():
    """Sees a command that waits for torch, skips a cell, or prints another size than it counted."""
    done = flatlib("all", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
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
    assert costs(["DARTS_V2"], "cifar10", channels=0, budget=3.35)[0]["channels"] == 36
    assert costs(["DARTS_V2"], "imagenet", channels=0, budget=530)[0]["channels"] == 48


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("DARTS_V3",), "did you mean DARTS_V"),
        (("DARTS_V2", "absent.json"), "absent.json"),
        (("DARTS_V2", "--dataset", "cifar"), "--dataset cifar: there are digits, cifar10, cifar100, imagenet"),
        (("DARTS_V2", "--budget", "3"), "together with --channels 0"),
        (("DARTS_V2", "--channels", "7"), "channels = 7: allowed: even numbers"),
        (
            ("DARTS_V2", "--cells", "40", "--dataset", "digits", "--channels", "0", "--budget", "0.001"),
            "smallest network",
        ),
    ],
)
def test_a_mistake_is_one_line_and_no_output(words, says):
    """Sees a line printed before a later genotype turns out to be broken."""
    done = flatlib(*words)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") == 1 and says in done.stderr
