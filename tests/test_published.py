"""The paper's numbers: against the paper's text where it lies beside the project, and against each other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flatlib.published import CAPTIONS, TABLE_IDS, table

THREE = ("CIFAR-10", "CIFAR-100", "ImageNet-16-120")
ERRORS = ("Test Error / CIFAR-10", "Test Error / CIFAR-100")
TOP1 = tuple(f"Top-1 Test Error / {name}" for name in ("CIFAR-10", "CIFAR-100", "ImageNet"))
COLUMNS = {
    **dict.fromkeys(("1a", "1b", "2", "B", "D", "E"), THREE),
    "3": (*TOP1, "Params / CIFAR", "Params / ImageNet"),
    "4": (*ERRORS, "Params", "Search Cost"),
    "5": ("Test Error / Top-1", "Test Error / Top-5", "Params", "+x"),
    "6": ("CIFAR-10", "CIFAR-100"),
    "A": ("CIFAR-10-Validation", *THREE),
    "C": ("Neighbor-Var", *THREE),
    "Fa": (*ERRORS, "Param", "Search Cost"),
    "Fb": (*ERRORS, "Param"),
}
COUNTS = {
    **{"1a": 6, "1b": 6, "2": 6, "3": 13, "4": 48, "5": 44, "6": 12},
    **{"A": 32, "B": 15, "C": 20, "D": 12, "E": 12, "Fa": 8, "Fb": 9},
}
FOOTNOTE = "trained by the paper's authors, following the training setup in DARTS"


def values(table_id, row, *columns):
    """{column: (value, std)} of one row, in the named columns or in all."""
    numbers = {n.column: (n.value, n.std) for n in table(table_id) if n.row == row}
    return {column: numbers[column] for column in columns or numbers}


def gain(table_id, worse, better, column):
    """How much lower the second row's error is, percent."""
    return round(values(table_id, worse)[column][0] - values(table_id, better)[column][0], 2)


# --- Without the paper ---------------------------------------------------------------------------


def test_every_table_is_complete():
    """Sees a lost or doubled number, a lost table, and a table without a caption of one line."""
    assert TABLE_IDS == ("1a", "1b", "2", "3", "4", "5", "6", "A", "B", "C", "D", "E", "Fa", "Fb")
    assert {table_id: len(table(table_id)) for table_id in TABLE_IDS} == COUNTS
    for table_id in TABLE_IDS:
        assert len({(n.row, n.column) for n in table(table_id)}) == COUNTS[table_id]
    assert tuple(CAPTIONS) == TABLE_IDS
    assert all(caption.strip() and "|" not in caption for caption in CAPTIONS.values())


@pytest.mark.parametrize("unknown", ["F", "a", "7", "", "Table 2"])
def test_unknown_table_is_refused(unknown):
    """Sees a KeyError, or a message that does not name what was asked and what there is."""
    with pytest.raises(ValueError) as error:
        table(unknown)
    message = str(error.value)
    assert repr(unknown) in message and ", ".join(TABLE_IDS) in message and "\n" not in message


@pytest.mark.parametrize("table_id", TABLE_IDS)
def test_labels_and_units(table_id):
    """Sees a label with a bracket, star or unit left in it, a column out of place and a wrong unit."""
    numbers = table(table_id)
    assert set(COLUMNS[table_id]) == {n.column for n in numbers}
    for row in dict.fromkeys(n.row for n in numbers):
        columns = [n.column for n in numbers if n.row == row]
        assert columns == [column for column in COLUMNS[table_id] if column in columns]
        assert re.fullmatch(r"\S(.*\S)?", row) and not re.search(r"[*\[\]±|]", row)
    units = {"Params": "M", "Param": "M", "+x": "M", "Search Cost": "GPU days", "Neighbor-Var": "%^2"}
    percent = "tau" if table_id in ("1b", "B") else "%"
    for n in numbers:
        assert n.unit == units.get(n.column.split(" / ")[0], percent), n


def test_rows_of_two_parts():
    """Sees a sub-table's letter or a repeated method lost from a row, and Table 2's NA-RS under another name."""
    rows = {table_id: list(dict.fromkeys(n.row for n in table(table_id))) for table_id in ("2", "A", "E")}
    assert rows["2"] == ["Random Search (RS)", "NA-RS, median"]
    assert rows["A"] == [f"({letter}) {kind} minima" for letter in "abcd" for kind in ("Flat", "Sharp")]
    assert rows["E"] == [f"NA-RS - {g}, n_nbr = {n_nbr}" for g in ("mean", "median") for n_nbr in (10, 25)]


def test_notes_stand_where_they_belong():
    """Sees a footnote on a number without a star, or missing from one with it."""
    noted = {table_id: [n for n in table(table_id) if n.note] for table_id in TABLE_IDS}
    assert {table_id for table_id in TABLE_IDS if noted[table_id]} == {"2", "4", "5", "C"}
    assert {n.note for n in noted["4"] + noted["5"]} == {FOOTNOTE}
    assert [len(noted["4"]), len(noted["5"])] == [12, 6 * 4]
    assert [(n.row, "Table D" in n.note) for n in noted["2"]] == [("NA-RS, median", True)] * 3
    assert [(n.column, "does not say" in n.note) for n in noted["C"]] == [("Neighbor-Var", True)] * 5


def test_tables_agree_with_each_other():
    """Sees a digit that is wrong in one of two tables which print the same number."""
    assert values("1b", "Baseline") == values("B", "Baseline")
    assert values("1b", "Ours") == values("B", "Ours - mean")
    assert values("2", "NA-RS, median") == values("D", "NA-RS - median")
    for g in ("mean", "median"):
        assert values("E", f"NA-RS - {g}, n_nbr = 10") == values("D", f"NA-RS - {g}")
    for kind in ("Flat minima", "Sharp minima"):
        assert values("A", f"(c) {kind}", *THREE) == values("1a", kind)
    for method in ("DARTS 1st", "DARTS 2nd", "NA-DARTS (Ours)"):
        on_cifar = values("3", method, *TOP1[:2], "Params / CIFAR")
        assert list(on_cifar.values()) == list(values("4", method, *ERRORS, "Params").values())
    for in_3, in_5 in (("DARTS 2nd", "DARTS"), ("NA-DARTS (Ours)", "NA-DARTS (Ours)")):
        on_imagenet = values("3", in_3, TOP1[2], "Params / ImageNet")
        assert list(on_imagenet.values()) == list(values("5", in_5, "Test Error / Top-1", "Params").values())
    assert values("Fa", "mean", *COLUMNS["Fb"]) == values("Fb", "d = 6")
    assert list(values("Fa", "mean").values()) == list(values("4", "NA-DARTS (Ours)").values())


def test_gains_named_in_the_text():
    """Sees a wrong digit in a row whose gain the abstract or a section of the paper names."""
    assert gain("3", "DARTS 1st", "NA-DARTS (Ours)", TOP1[1]) == 1.18
    assert gain("3", "DARTS 2nd", "NA-DARTS (Ours)", TOP1[2]) == 1.2
    assert [gain("1a", "Sharp minima", "Flat minima", column) for column in THREE[1:]] == [1.10, 1.24]
    assert [gain("2", "Random Search (RS)", "NA-RS, median", column) for column in THREE[1:]] == [1.48, 1.58]
    assert gain("6", "DARTS", "NA-DARTS (Ours)", "CIFAR-100") == 3.63
    assert [gain("6", "DARTS-ES", "NA-DARTS-ES (Ours)", column) for column in THREE[:2]] == [1.22, 2.18]
    assert gain("6", "PC-DARTS", "NA-PC-DARTS (Ours)", "CIFAR-100") == 0.72


def test_import_is_light():
    """Sees a numerical library pulled in by plain data."""
    code = "import sys, flatlib.published; print({'numpy', 'pandas', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


# --- Against the paper's text --------------------------------------------------------------------

# The text before the first line of each table, and after its last.
BOUNDS = {
    "1a": ("supplementary materials for more details and results.\n", "\n(a)\n"),
    "1b": ("\n(a)\n", "\n(b)\n"),
    "2": ("\n. (6)\n", "\nTable 2:"),
    "3": ("under the same computational budget.\n", "\nTable 3:"),
    "4": ("the aggregation function in NA-RS in supplement.\n", "\n* We train"),
    "5": ("architectures found by NA-DARTS generalize better.\n", "\n* We train"),
    "6": ("during search, but the found architectures\n", "\nTable 6:"),
    "A": ("-Validation error after the 30th, 60th or 120th\n", "\nTable A:"),
    "B": ("estimation of architectures than the standard criterion\nf (α).\n", "\nTable B:"),
    "C": ("\nTable B: ", "\nTable C:"),
    "D": ("approximation for the entire neighborhood.\n", "\nTable D:"),
    "E": ("lower test error among all the choices for g(·).\n", "\nTable E:"),
    "Fa": ("(a) Impact of aggregation function.\n", "(b) Impact of d.\n"),
    "Fb": ("(b) Impact of d.\n", "\nTable F:"),
}
CELL = r"(?:\d+(?:\.\d+)?(?:±\d+\.\d+)?\*?|-(?=\s+\d|\s*$))"  # the '-' in 'NA-RS - mean' is no cell
ROW = re.compile(rf"(?P<label>\S.*?)(?P<cells>(?:\s+{CELL}(?=\s|$))+)")


@pytest.fixture(scope="module")
def paper():
    """The paper's text, in shared/paper beside the checkout or in paper/ beside the data folder."""
    folders = [Path(__file__).resolve().parents[2] / "shared" / "paper"]
    if "FLATLIB_DATA" in os.environ:
        folders.append(Path(os.environ["FLATLIB_DATA"]).resolve().parent / "paper")
    files = [file for folder in folders for file in sorted(folder.glob("*.txt"))]
    if not files:
        pytest.skip(f"the paper's text is not in {' or '.join(map(str, folders))}")
    return files[0].read_text(encoding="utf-8")


def table_lines(paper, table_id):
    """The lines of one table; a parameter in a label is one word, 'd =2', so that it is no cell."""
    begin, end = BOUNDS[table_id]
    start = paper.index(begin) + len(begin)
    return [re.sub(r"= (\d)", r"=\1", line).strip() for line in paper[start : paper.index(end, start)].splitlines()]


def paper_rows(paper, table_id):
    """(label, cells) of each row, the label as DESIGN.md wants it but for the star."""
    rows, letter, method = [], "", ""
    for line in table_lines(paper, table_id):
        letter = line.split()[0] + " " if line.startswith("(") and table_id == "A" else letter
        for place, match in enumerate(ROW.finditer(line)):
            label = re.sub(r" \[\d+\]", "", match["label"].strip()).replace("=", "= ")
            if table_id == "E":  # a method's name stands in the first of its rows only
                name, _, n_nbr = label.partition("nnbr")
                method = name.strip() or method
                label = f"{method}, n_nbr{n_nbr}"
            if table_id == "2":
                label = label.replace("NA-RS (Ours)", "NA-RS, median")
            rows.append((place, letter + label, match["cells"].split()))
    rows.sort(key=lambda row: row[0])  # Table 5 is printed in two halves, side by side: the left one comes first
    return [(label, cells) for _, label, cells in rows]


def paper_numbers(paper, table_id):
    """(row, column, value, std, starred) of each number, in the paper's order."""
    numbers = []
    for label, cells in paper_rows(paper, table_id):
        for column, cell in zip(COLUMNS[table_id], cells, strict=True):
            if cell != "-":
                value, _, std = cell.rstrip("*").partition("±")
                starred = label.endswith("*") or cell.endswith("*")
                numbers.append((label.rstrip("*"), column, float(value), float(std) if std else None, starred))
    return numbers


@pytest.mark.realdata
@pytest.mark.parametrize("table_id", TABLE_IDS)
def test_numbers_are_the_papers(paper, table_id):
    """Sees a wrong digit, row, star or order, and a number too many or too few."""
    ours = [(n.row, n.column, n.value, n.std, n.note == FOOTNOTE) for n in table(table_id)]
    assert ours == paper_numbers(paper, table_id)


@pytest.mark.realdata
@pytest.mark.parametrize("table_id", TABLE_IDS)
def test_columns_are_the_papers(paper, table_id):
    """Sees two columns changed over, and a label that the paper does not print."""
    lines = table_lines(paper, table_id)
    if not any(" / " in column for column in COLUMNS[table_id]):
        assert " ".join(COLUMNS[table_id]) in lines
    header = " ".join(line for line in lines if not ROW.search(line))
    for part in " / ".join(COLUMNS[table_id]).replace("+x", "+×").split(" / "):
        assert f" {part} " in f" {header} ", part
