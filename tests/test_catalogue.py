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


def test_names_and_other_names():
    """Sees a name that finds another cell, or one that two cells share."""
    for known in catalogue().values():
        for name in (known.name, *known.also):
            assert find_cell(f" {name.lower()} ") == (known.name, known.cell)
    names = [name.lower() for known in catalogue().values() for name in (known.name, *known.also)]
    assert len(names) == len(set(names)) and len({cell_key(known.cell) for known in catalogue().values()}) == 17


def test_a_line_of_a_genotypes_file():
    """Sees a pasted line refused for the name before it."""
    own = catalogue()["GDAS_V1"]
    assert find_cell(f"GDAS_V1 = {own.cell}") == ("GDAS_V1", own.cell)


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
    (tmp_path / "pasted.txt").write_text(f"{other}\n")
    assert find_cell(str(tmp_path / "pasted.txt")) == ("pasted", other)
    assert find_cell(cell_key(other)).cell == genotype(json.loads(cell_key(other)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("DARTS_V3", "no such published cell, JSON file or run folder (No such file or directory); did you mean"),
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


def test_a_file_takes_no_published_name(tmp_path):
    """Sees another cell listed under a published cell's name, or a published cell that lost its own."""
    other = replace(DARTS_V2, normal=DARTS_V2.reduce)
    (tmp_path / "DARTS_V1.json").write_text(json.dumps(other.to_json()))
    assert find_cell(str(tmp_path / "DARTS_V1.json")) == (name_of(other), other)
    (tmp_path / "mine.json").write_text(json.dumps(DARTS_V2.to_json()))
    assert find_cell(str(tmp_path / "mine.json")) == ("DARTS_V2", DARTS_V2)


def test_places_without_a_cell(tmp_path, monkeypatch):
    """Sees a folder taken for a run, or a folder's name that breaks the line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ValueError, match=r"^'empty': no such .* run folder \(a folder without result.json\); there are"
    ):
        find_cell("empty")
    (tmp_path / "two\nlines").mkdir()
    (tmp_path / "two\nlines" / "result.json").write_text('{"test_error": 3.0}')
    with pytest.raises(ValueError, match=r"two\\nlines/result.json': genotype: expected exactly the fields") as error:
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
    with pytest.raises(ValueError, match=r"a folder without result.json"):
        find_cell(str(tmp_path))


@given(st.text(max_size=60))
def test_any_text_is_a_cell_or_one_line(text):
    """Sees an exception of another kind for a name that somebody mistypes."""
    try:
        assert find_cell(text).name
    except ValueError as error:
        assert len(str(error).splitlines()) == 1


@given(
    st.sampled_from(CELLS), st.integers(0, 400), st.integers(0, 12), st.text("0123456789[](){},'\"~|+_ae ", max_size=4)
)
def test_nearly_a_cell_is_a_cell_or_one_line(text, at, cut, put):
    """Sees a slip in a pasted cell that ends in another exception, or in a cell that its own key does not find."""
    try:
        cell = find_cell(text[:at] + put + text[at + cut :]).cell
    except ValueError as error:
        assert len(str(error).splitlines()) == 1 and str(error).isprintable()
    else:
        assert cell_key(find_cell(cell_key(cell)).cell) == cell_key(cell)


def test_the_order_of_a_nodes_inputs_does_not_matter():
    """Sees one network under two keys, or two networks under one."""
    turned = replace(DARTS_V2, normal=(DARTS_V2.normal[1], DARTS_V2.normal[0], *DARTS_V2.normal[2:]))
    moved = replace(DARTS_V2, normal=(*DARTS_V2.normal[2:4], *DARTS_V2.normal[:2], *DARTS_V2.normal[4:]))
    assert turned != DARTS_V2 and cell_key(turned) == cell_key(DARTS_V2)
    joined = replace(DARTS_V2, reduce_concat=DARTS_V2.reduce_concat[::-1])
    assert cell_key(joined) == cell_key(DARTS_V2) != cell_key(replace(DARTS_V2, reduce_concat=(2, 3, 4)))
    other = replace(DARTS_V2, normal=(("sep_conv_5x5", 0), *DARTS_V2.normal[1:]))
    assert cell_key(other) != cell_key(DARTS_V2) and (cell_key(moved) == cell_key(DARTS_V2)) == (moved == DARTS_V2)
