"""Sees a published cell that is wrong or missing, or a cell that is not the one asked for."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell, name_of
from flatlib.published import table
from flatlib.spaces import genotype

DARTS_V2 = catalogue()["DARTS_V2"].cell
ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"
CELLS = (ARCH, "DARTS_V2", str(DARTS_V2), json.dumps(DARTS_V2.to_json()))


def test_the_catalogue_covers_the_tables():
    """Sees a row of Table 4 or 5 without a cell (but NA-DARTS's, a picture only), or a row that no table has."""
    for number in "345":
        rows = {cell.row for cell in table(number)}
        covered = {known.rows[number] for known in catalogue().values() if number in known.rows}
        assert rows - covered == {"NA-DARTS (Ours)"} and covered <= rows
    assert all(known.source for known in catalogue().values())
    for name in ("ENAS", "DARTS+"):
        assert catalogue()[name].doubt


def test_names():
    """Sees a name that finds another cell, or one that two cells share."""
    for name, known in catalogue().items():
        assert find_cell(f" {name.lower()} ") == known.cell and name_of(known.cell) == known.name == name
    assert len({name.lower() for name in catalogue()}) == 17


def test_a_cell_as_it_is_handed_over(tmp_path):
    """Sees a file, a run folder or a pasted text that is read as another cell."""
    other = replace(DARTS_V2, normal=DARTS_V2.reduce)
    (tmp_path / "mine.json").write_text(json.dumps(other.to_json()))
    run = tmp_path / "na-darts-1a2b"
    run.mkdir()
    (run / "result.json").write_text(json.dumps({"genotype": other.to_json(), "epoch": 3}))
    assert name_of(other).startswith("cell-") and len(name_of(other)) == 13
    (tmp_path / "pasted.txt").write_text(f"{other}\n")
    for text in (str(tmp_path / "mine.json"), str(run), str(run / "result.json"), str(tmp_path / "pasted.txt")):
        assert find_cell(text) == other
    assert find_cell(str(other)) == find_cell(json.dumps(other.to_json())) == other
    (run / "result.json").write_text(json.dumps({"arch": ARCH}))
    assert find_cell(str(run)) == find_cell(ARCH) == ARCH
    assert find_cell(cell_key(other)) == genotype(json.loads(cell_key(other)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("DARTS_V3", "no such published cell, JSON file or run folder (No such file or directory); there are"),
        ("", "no such published cell"),
        ("absent.json", "JSON file or run folder (No such file or directory); there are"),
        ("Genotype(normal=__import__('os').system('x'))", "expected Genotype(normal="),
        ('{"normal": [["sep_conv_9x9", 0], ["none", 1]], "normal_concat": [2], "reduce": [], "reduce_concat": []}',
         "operation 'sep_conv_9x9'"),
        ("Genotype(normal=[('none', 0and 1)])", "expected Genotype(normal="),
        ("{", "not valid JSON"),
        ("|nor_conv_3x3~0|", "is no NAS-Bench-201 cell"),
    ],
)  # fmt: skip
def test_what_is_no_cell_is_one_line(text, says):
    """Sees a traceback, or code in a pasted text that runs."""
    with pytest.raises(ValueError) as error:
        find_cell(text)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_places_without_a_cell(tmp_path, monkeypatch):
    """Sees a folder's name that breaks the line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two\nlines").mkdir()
    (tmp_path / "two\nlines" / "result.json").write_text('{"test_error": 3.0}')
    with pytest.raises(ValueError, match=r"two\\nlines': genotype: expected exactly the fields") as error:
        find_cell("two\nlines")
    assert "\n" not in str(error.value)


def test_files_that_are_no_cell(tmp_path):
    """Sees a binary, empty or unrelated file, or a folder without a result, read as a cell."""
    contents = {
        "binary.json": b"\xff\xfe\x00",
        "empty.json": b"",
        "list.json": b"[1, 2]",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name) as error:
            find_cell(str(tmp_path / name))
        assert "\n" not in str(error.value) and len(str(error.value)) < 500
    with pytest.raises(ValueError, match=r"no such .* run folder \(No such file"):
        find_cell(str(tmp_path))


@given(st.text(max_size=60))
def test_any_text_is_a_cell_or_one_line(text):
    """Sees an exception of another kind for a name that somebody mistypes."""
    try:
        assert name_of(find_cell(text))
    except ValueError as error:
        assert len(str(error).splitlines()) == 1


@given(
    st.sampled_from(CELLS), st.integers(0, 400), st.integers(0, 12), st.text("0123456789[](){},'\"~|+_ae ", max_size=4)
)
def test_nearly_a_cell_is_a_cell_or_one_line(text, at, cut, put):
    """Sees a slip in a pasted cell that ends in another exception, or in a cell that its own key does not find."""
    try:
        cell = find_cell(text[:at] + put + text[at + cut :])
    except ValueError as error:
        assert len(str(error).splitlines()) == 1 and str(error).isprintable()
    else:
        assert cell_key(find_cell(cell_key(cell))) == cell_key(cell)


def test_the_order_of_a_nodes_inputs_does_not_matter():
    """Sees one network under two keys, or two networks under one."""
    turned = replace(DARTS_V2, normal=(DARTS_V2.normal[1], DARTS_V2.normal[0], *DARTS_V2.normal[2:]))
    moved = replace(DARTS_V2, normal=(*DARTS_V2.normal[2:4], *DARTS_V2.normal[:2], *DARTS_V2.normal[4:]))
    assert turned != DARTS_V2 and cell_key(turned) == cell_key(DARTS_V2)
    joined = replace(DARTS_V2, reduce_concat=DARTS_V2.reduce_concat[::-1])
    assert cell_key(joined) == cell_key(DARTS_V2) != cell_key(replace(DARTS_V2, reduce_concat=(2, 3, 4)))
    other = replace(DARTS_V2, normal=(("sep_conv_5x5", 0), *DARTS_V2.normal[1:]))
    assert cell_key(other) != cell_key(DARTS_V2) and (cell_key(moved) == cell_key(DARTS_V2)) == (moved == DARTS_V2)
