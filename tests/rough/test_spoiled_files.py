"""Cells, archives and pages, spoiled at random: sees a traceback, or nonsense that is read."""

import json
import pickle
import string
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official_file import ARCHS, cell, official, save
from spoiled import damage, damaged, put, refuses_in_one_line, seeded, values

from flatlib.display.card import Card, json_for_script, read_card
from flatlib.display.report import write_index
from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell, name_of
from flatlib.spaces import genotype
from flatlib.tabular.importers import import_table
from flatlib.tabular.table import TableError


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


# --- cells ------------------------------------------------------------------------------------------

GENOTYPE = catalogue()["DARTS_V2"].cell.to_json()


@seeded
@given(st.integers(0, 100), values, st.booleans())
def test_genotypes_as_json(at, value, in_a_result):
    """Sees a field of any value, at any depth, that is taken or that breaks the check."""
    data = put({"genotype": GENOTYPE} if in_a_result else GENOTYPE, at, value)
    with refuses_in_one_line(ValueError):
        found = find_cell(json.dumps(data))
        assert cell_key(find_cell(cell_key(found))) == cell_key(found)
    with refuses_in_one_line(ValueError):
        genotype(value)


@seeded
@given(st.sampled_from([*catalogue()]), st.integers(0, 12), st.text(string.printable + "é\u2028\0", max_size=2))
def test_nearly_a_published_name(name, at, text):
    """Sees a slip in a name that finds another cell in silence, or that is no line."""
    slip = name[:at] + text + name[at + len(text) :]
    with refuses_in_one_line(ValueError):
        assert slip.strip().lower() == name_of(find_cell(slip)).lower()


# --- archives and pages -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["legacy", "zip"])
def benchmark(request, tmp_path_factory):
    data = official({2: cell(np.random.default_rng(0), 2)}, ARCHS[:5])
    path = save(data, tmp_path_factory.mktemp("official") / "whole.pth", request.param)
    return path, path.read_bytes()


@settings(seeded, max_examples=40)
@given(changes=damage)
def test_a_spoiled_benchmark(benchmark, changes):
    """Sees what an opcode in a wrong place raises; or takes minutes, or the memory, to find out."""
    path, whole = benchmark
    path.write_bytes(damaged(whole, changes))
    with refuses_in_one_line(TableError), suppress(UserWarning):
        import_table(path)


HEAD = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
OPCODES = b"()0120NKMJGXU}]{ls.uabetq\x85\x86\x87\x88\x89\x8e\x8c\x90\x91\x94\x95hjgprRcVIFSLdo\x80\x93"


@settings(seeded, max_examples=300)
@given(st.lists(st.sampled_from([OPCODES[at : at + 1] for at in range(len(OPCODES))]) | st.binary(max_size=4)))
def test_any_opcodes(scratch, parts):
    """Sees a program for the unpickler end in another error than the table's, or not at all."""
    path = scratch / "program.pth"
    path.write_bytes(HEAD + b"".join(parts))
    with pytest.raises(TableError) as error:
        import_table(path)
    assert len(str(error.value).splitlines()) == 1


@settings(seeded, max_examples=15)
@given(st.lists(values, min_size=7, max_size=7), st.binary(max_size=30))
def test_cards_of_foreign_pages(scratch, parts, noise):
    """Sees a page beside the reports whose card, of any values, ends the index or breaks out of its script."""
    folder = scratch / "pages"
    folder.mkdir(exist_ok=True)
    text = json_for_script(asdict(Card(*parts))).encode("utf8", "replace")
    assert b"<" not in text
    (folder / "page.html").write_bytes(b'<script type="application/json" id="flatlib-card">' + text + b"</script>")
    (folder / "noise.html").write_bytes(b'<script id="flatlib-card">' + noise + b"</script>")
    index = write_index(folder).read_text()
    assert "<script>alert" not in index and index.rstrip().endswith("</html>")
    assert read_card((folder / "noise.html").read_text(errors="replace")) is None


def test_the_spoiled_files_are_whole_before():
    """Sees helpers that spoil nothing, so that every test above passes for nothing."""
    assert damaged(b"abcdef", [(0.5, b"X")]) == b"abcXef" and damaged(b"abcdef", [(0.5, b"")]) == b"abc"
    assert put({"a": {"b": [1, 2]}}, 3, 9) == {"a": {"b": [1, 9]}}
