"""Sees an archive, a benchmark or a page of any bytes end in another error than its reader's, or in several lines."""

import gzip
import pickle
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official_file import ARCHS, cell, official, save
from spoiled import damage, damaged, refuses_in_one_line, seeded, values
from test_images import write_cifar

from flatlib.data.cifar import read_cifar
from flatlib.display.card import Card, json_for_script, read_card
from flatlib.display.report import write_index
from flatlib.tabular.importers import import_table
from flatlib.tabular.table import TableError


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


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
