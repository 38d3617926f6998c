"""Cells, archives and pages, spoiled at random: sees a traceback, or nonsense that is read."""

import copy
import gzip
import json
import pickle
import string
from contextlib import contextmanager, suppress
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official_file import ARCHS, cell, official, save
from test_images import write_cifar

from flatlib.data.cifar import read_cifar
from flatlib.display.card import Card, json_for_script, read_card
from flatlib.display.report import write_index
from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell
from flatlib.spaces import genotype
from flatlib.tabular.importers import import_table
from flatlib.tabular.table import TableError

seeded = settings(max_examples=80, deadline=None, derandomize=True, database=None)
numbers = st.one_of(st.integers(), st.sampled_from([10**400, -(10**400), 2**63, 1e308, -0.0]), st.floats())
texts = st.one_of(st.text(max_size=20), st.sampled_from(["\ud800", "a\nb", "\0", "<script>", "~nobody/x", "[" * 2000]))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
damage = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3)), min_size=1, max_size=3)


def damaged(content: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    """Some bytes overwritten; where there are none, cut off there."""
    for share, put in changes:
        at = int(share * len(content))
        content = content[:at] + put + content[at + len(put) :] if put else content[:at]
    return content


@contextmanager
def refuses_in_one_line(*kinds: type[Exception], mistakes: int = 1):
    """Nothing, or one of these errors with a line for each of at most so many mistakes; else it comes through."""
    try:
        yield
    except kinds as error:
        assert 1 <= len(str(error).splitlines()) <= mistakes, str(error)[:300]
        str(error).encode()  # no half a character, which no terminal can show


def put(data: dict, at: int, value: object) -> dict:
    """A value in place of another, at any depth."""
    data = copy.deepcopy(data)
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    walk(data)
    node, key = places[at % len(places)]
    node[key] = value
    return data


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
        found = find_cell(json.dumps(data)).cell
        assert cell_key(find_cell(cell_key(found)).cell) == cell_key(found)
    with refuses_in_one_line(ValueError):
        genotype(value)


@seeded
@given(st.sampled_from([*catalogue()]), st.integers(0, 12), st.text(string.printable + "é\u2028\0", max_size=2))
def test_nearly_a_published_name(name, at, text):
    """Sees a slip in a name that finds another cell in silence, or that is no line."""
    slip = name[:at] + text + name[at + len(text) :]
    with refuses_in_one_line(ValueError):
        found = find_cell(slip).name
        also = {word.lower() for word in (found, *catalogue()[found].also)}
        assert slip.strip().lower() in also


# --- archives and pages -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cifar")
    write_cifar(folder, "cifar10", packed=True, n=1)
    return folder / "cifar-10-binary.tar.gz", gzip.decompress((folder / "cifar-10-binary.tar.gz").read_bytes())


@seeded
@given(changes=damage, at=st.integers(0, 7), inside=st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255))))
def test_a_spoiled_cifar_archive(archive, changes, at, inside):
    """Sees what tarfile and gzip raise for a header that is damaged, in the archive or inside of it."""
    path, whole = archive
    header = bytearray(whole)
    for where, byte in inside:
        header[(at * 4096 + where) % len(header)] = byte  # each member: a header of 512 bytes, a record in 7 blocks
    for content in (gzip.compress(bytes(header), 1), gzip.compress(damaged(whole, changes), 1)):
        path.write_bytes(content)
        with refuses_in_one_line(ValueError):
            read_cifar("cifar10", path.parent)


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
