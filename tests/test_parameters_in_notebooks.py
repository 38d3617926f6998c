"""Parameter cells of a kernel: sees a misspelt name that a run passes over, under papermill, nbconvert or IPython."""

import contextlib
import keyword
import os
import subprocess
import sys
import unicodedata
from dataclasses import fields
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatlib.parameters import Assumption, NaDarts, RandomSearch, Variants, check
from flatlib.run.config import ParameterError
from flatlib.settings import MIME, Settings

ROOT = Path(__file__).parents[1]
MODELS = (Assumption, RandomSearch, NaDarts, Variants)
CELL = "# Notebook parameters\nd: int = 1  # distance\nseed: int = 0  # random\n"
CHECK = "settings = parameters.check(parameters.Assumption)\nsettings"


def run(*cells: str, model: type[Settings] = RandomSearch, **values: object) -> Settings:
    """Check the namespace that a kernel has after executing the cells; values are set on top."""
    namespace: dict[str, object] = {}
    for cell in cells:
        with contextlib.suppress(SyntaxError):
            exec(cell, namespace)
    return check(model, {**namespace, "In": ["", *cells, "settings = parameters.check(...)"], **values})


def message(*cells: str, model: type[Settings] = RandomSearch, **values: object) -> str:
    with pytest.raises(ParameterError) as error:
        run(*cells, model=model, **values)
    assert error.value._render_traceback_() == str(error.value).splitlines()
    return str(error.value)


# --- names ----------------------------------------------------------------------------------------


def test_a_misspelt_name_gets_the_nearest_one():
    """Sees an unknown name passed over, in papermill's cell or in the notebook's own."""
    line = "d_ = 6: no such parameter; did you mean 'd'? (int at least 1 and at most 6)"
    assert message(CELL, "# Parameters\nd_ = 6\n") == line
    assert message(CELL + "d_: int = 6\n") == line
    assert message("# p\nd: int = 1\nd_, lam = 6, 1.0\n") == line
    assert "did you mean 'aggregator'? (mean, median, " in message(CELL, "# Parameters\nAggregater = 'max'")
    assert message(CELL, "# Parameters\nd_ = 6\nn_nbr = 'x'").splitlines()[0] == line


@given(st.from_regex(r"[^\W\d]\w{0,20}", fullmatch=True), st.integers(), st.sampled_from(MODELS), st.booleans())
def test_no_unknown_name_passes(name, value, model, injected):
    """Sees any unknown name, however odd, that passes or breaks the report of it."""
    name = unicodedata.normalize("NFKC", name)  # as Python does
    if (
        not name.isidentifier()
        or keyword.iskeyword(name)
        or name in {*(f.name for f in fields(model)), "In", "__debug__"}
    ):
        return
    line = f"{name} = {value}\n"
    cells = (CELL, "# Parameters\n" + line) if injected else (CELL + line,)
    got = message(*cells, model=model)
    assert got.startswith(f"{name} = {value}: no such parameter; did you mean '")
    assert len(got.splitlines()) == 1


def test_only_the_latest_cells_count():
    """Sees an edited-away misspelling that haunts the kernel, or a current one that is missed."""
    bad, injected, bad_injected = CELL + "dd: int = 6\n", "# Parameters\nd = 2\n", "# Parameters\ndd = 6\n"
    assert run(bad, CELL).d == 1
    assert run(CELL, bad_injected, injected).d == 2
    assert run(CELL, bad_injected, CELL).d == 1
    assert run(bad_injected, CELL).d == 1
    assert run(CELL, "%%time\ndd: = 1", "dd = 6\nd = 3").d == 3  # other cells of a session
    for cells in [(CELL, bad), (bad, injected), (CELL, injected, bad_injected), (CELL, bad_injected, "x = 1")]:
        assert message(*cells).startswith("dd = 6: no such parameter")


@pytest.mark.parametrize("cells", [[], ["d = 1"], ["# Parameters\nd = 6\n"]])
def test_no_parameters_cell_is_an_error(cells):
    """Sees a check that passes because it found nothing to check."""
    assert message(*cells).startswith("no parameters found: run the cell")
    assert message(CELL, In=6).startswith("no parameters found")


# --- display --------------------------------------------------------------------------------------


def test_settings_show_themselves():
    """Sees an unescaped value, a changed value that is not marked, or a missing parameter in the index."""
    settings = run(CELL, d=2, search_quantity="<script>&")
    shown = settings._repr_mimebundle_()
    assert shown[MIME] == settings.__dict__ == {**run(CELL).__dict__, "d": 2, "search_quantity": "<script>&"}
    assert "<b>2 (default 1)</b>" in shown["text/html"]
    assert "<td>100</td>" in shown["text/html"]
    assert "&lt;script&gt;&amp;" in shown["text/html"]
    assert "<script" not in shown["text/html"]
    assert "d = 2  # distance threshold of Eq. 3 (default 1)" in shown["text/plain"].splitlines()
    assert shown["text/html"].count("<tr>") == 1 + len(shown["text/plain"].splitlines()) == 1 + len(shown[MIME])


# --- real runs ------------------------------------------------------------------------------------


def test_a_session_recovers_when_the_cell_is_corrected(tmp_path, monkeypatch, capsys):
    """Sees, in IPython's own history, a stack instead of the line, or an error that stays after the edit."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}), colors="nocolor")
    try:

        def cell(source: str) -> tuple[bool, str]:
            done = shell.run_cell(source, store_history=True)
            return bool(done.success), capsys.readouterr().out

        cell("from flatlib import parameters")
        cell(CELL + "dd: int = 6")
        assert cell(CHECK) == (False, "dd = 6: no such parameter; did you mean 'd'? (int at least 1 and at most 6)\n")
        cell(CELL)
        success, out = cell(CHECK)
        assert success
        assert "d = 1  # distance" in out
        cell("# Parameters\nd = 9")
        assert cell(CHECK)[1].startswith("d = 9: allowed: int at least 1")
        cell("# Parameters\nd = 3")
        assert cell(CHECK)[0]
        assert shell.user_ns["settings"].d == 3
    finally:
        InteractiveShell.clear_instance()


def write_notebook(path: Path, cell: str) -> None:
    """A notebook of the workbook's shape, whose last cell leaves a marker."""
    cells = ["from pathlib import Path\nfrom flatlib import parameters", cell, CHECK]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in [*cells, "Path('marker').write_text(f'{settings.d}')"]],
        metadata={"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}},
    )
    notebook.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)


def execute(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and the lines of stderr that are not empty."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, [line for line in done.stderr.splitlines() if line.strip()]


def test_papermill_and_nbconvert_run_with_good_parameters(tmp_path):
    """Sees a check that breaks good runs, or that differs between papermill and nbconvert."""
    write_notebook(tmp_path / "in.ipynb", CELL)
    code, errors = execute(tmp_path, "papermill", "in.ipynb", "out.ipynb", "-p", "d", "2", "-p", "lam", "1")
    assert code == 0, errors
    assert (tmp_path / "marker").read_text() == "2"
    (tmp_path / "marker").unlink()
    code, errors = execute(tmp_path, "nbconvert", "--to", "notebook", "--execute", "--inplace", "out.ipynb")
    assert code == 0, errors
    assert (tmp_path / "marker").read_text() == "2"
    shown = [output for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells for output in cell.get("outputs", [])]
    assert [output["data"][MIME]["d"] for output in shown if MIME in output.get("data", {})] == [2]


def test_papermill_ends_with_the_line(tmp_path):
    """Sees papermill pass a misspelt or mistyped parameter with exit code 0, or start to work with it."""
    write_notebook(tmp_path / "in.ipynb", CELL)
    code, errors = execute(tmp_path, "papermill", "in.ipynb", "out.ipynb", "-p", "dd", "6", "-p", "d", "six")
    assert code != 0
    assert errors[-2:] == [
        "d = 'six': allowed: int at least 1 and at most 6 (distance threshold of Eq. 3)",
        "dd = 6: no such parameter; did you mean 'd'? (int at least 1 and at most 6)",
    ]
    assert not (tmp_path / "marker").exists()
    outputs = [output for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells for output in cell.get("outputs", [])]
    assert [output["traceback"] for output in outputs if output["output_type"] == "error"] == [errors[-2:]]


def test_nbconvert_ends_with_the_line(tmp_path):
    """Sees nbconvert run a notebook whose own parameters cell was edited wrongly."""
    write_notebook(tmp_path / "in.ipynb", CELL.replace("d: int = 1", "d: int = 1.5"))
    code, errors = execute(tmp_path, "nbconvert", "--to", "notebook", "--execute", "--output", "out", "in.ipynb")
    assert code != 0
    assert errors[-1] == "d = 1.5: allowed: int at least 1 and at most 6 (distance threshold of Eq. 3)"
    assert not (tmp_path / "marker").exists()
