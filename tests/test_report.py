"""Reports: sees a page that loads from the network or runs a text, and a failed notebook that takes its old page."""

import json
import os
import re
from pathlib import Path

import pytest
from made_notebooks import EVIL, LINE, executed, figure_output, html_of, ran, save
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from flatlib.display import report
from flatlib.display.card import SETTINGS_MIME, read_card
from flatlib.display.exporter import PLOTLY_JS, FlatlibExporter
from flatlib.display.markdown import to_html
from flatlib.display.report import ReportError, run_and_export, write_index
from flatlib.run.checkpoint import RunStoppedError

# --- the page -------------------------------------------------------------------------------------


def test_a_page_loads_nothing_from_the_network():
    """Sees require.js, MathJax or a widget manager in a page, or a notebook's own picture or script let through."""
    notebook = executed(ran("plot()", figure_output(LINE)), text="# Title\n\nText and $x^2$")
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    page = html_of(notebook)
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=[\"']([^\"']*)", page)
    assert loaded == [PLOTLY_JS]
    assert "url(http" not in page and "@import" not in page
    allowed = re.search(r"Content-Security-Policy", page) and re.search(r'content="(default-src[^"]*)"', page)[1]
    assert "http" not in allowed and "*" not in allowed


def test_headings_can_be_linked_to():
    """Sees a heading without an id, or one with its formula or markup in it."""
    html = to_html("## Is *it* flat, then?\n\n### The paper's $x$")
    assert '<h2 id="is-it-flat-then">Is <em>it</em> flat, then?</h2>' in html
    assert '<h3 id="the-paper-s-x">' in html


def test_figures_share_one_plotly_js():
    """Sees a figure dropped, as nbconvert's own HTML does, or plotly.js missing among the files to write."""
    page, resources = FlatlibExporter().from_notebook_node(executed(ran("plot()", figure_output(LINE))))
    figure = re.search(r'class="output figure"><script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert json.loads(figure[1])["data"][0]["name"] == "a line"
    assert b"plotly.js v" in resources["outputs"][PLOTLY_JS][:300] and len(page) < 100_000


def test_plain_nbconvert_writes_page_and_assets(tmp_path):
    """Sees `jupyter nbconvert --to flatlib` leave plotly.js behind."""
    from nbconvert.nbconvertapp import NbConvertApp

    save(executed(ran("plot()", figure_output(LINE))), tmp_path / "out.ipynb")
    NbConvertApp.clear_instance()
    exporter = "flatlib.display.exporter.FlatlibExporter"
    NbConvertApp.launch_instance(["--to", exporter, str(tmp_path / "out.ipynb"), "--log-level", "ERROR"])
    NbConvertApp.clear_instance()
    assert (tmp_path / PLOTLY_JS).is_file() and read_card((tmp_path / "out.html").read_text()).title == "A title"


def test_code_is_folded_and_noise_is_left_out():
    """Sees code shown at once, progress bars on the page, or a warning that a reader needs left out."""
    page = html_of(
        executed(
            ran(
                "x = 1",
                new_output(
                    "stream", name="stderr", text="100%|####| 3/3 [00:01]\n/a.py:1: UserWarning: part of the space\n"
                ),
                new_output("stream", name="stdout", text="printed\n"),
                new_output("display_data", {"text/markdown": "**bold** $x$"}),
                new_output("display_data", {"text/html": "<table id='T_1'></table>", "text/plain": "unshown"}),
                new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "HBox()"}),
            )
        )
    )
    assert page.count('<details class="code">') == 1 and "<details open" not in page
    assert "3/3" not in page and "HBox" not in page and "unshown" not in page
    for shown in ("part of the space", "printed", "<strong>bold</strong>", "T_1"):
        assert shown in page


def test_the_title_is_shown_once():
    """Sees the notebook's heading repeated below the header, or a second heading taken away."""
    page = html_of(executed(text="# A title\n\nText.\n\n# Another"))
    assert re.findall(r"<h1[^>]*>(.*?)</h1>", page) == ["A title", "Another"]


@pytest.mark.parametrize("title", [EVIL, 'a "quoted" & <b>title</b>'])
def test_hostile_texts_stay_texts(title, tmp_path):
    """Sees a title, a setting or a version that becomes markup in the page or on the index."""
    settings = new_output("display_data", {SETTINGS_MIME: {EVIL: EVIL, "d": 1}, "text/plain": "d = 1"})
    notebook = executed(ran("check()", settings, figure_output(LINE.update_layout(title=EVIL))))
    notebook.metadata["title"] = title
    notebook.metadata["language_info"] = {"name": "python", "version": EVIL}
    page = report.export(notebook, tmp_path / "01_page.ipynb", tmp_path).read_text()
    index = write_index(tmp_path).read_text()
    assert "<script>alert" not in page and "<script>alert" not in index and "<b>title</b>" not in page + index
    card = read_card(page)
    assert card.title == title and card.settings == {EVIL: EVIL, "d": 1}


# --- running --------------------------------------------------------------------------------------


def test_what_is_no_notebook_is_refused_before_any_work(tmp_path):
    """Sees work begun, or files written, before a wrong file is named."""
    good = save(executed(ran("1")), tmp_path / "good.ipynb")
    text = tmp_path / "text.ipynb"
    text.write_text("not JSON")
    other = save(executed(ran("1")), tmp_path / "index.ipynb")
    (tmp_path / "twin").mkdir()
    twin = save(executed(ran("1")), tmp_path / "twin" / "good.ipynb")
    for wrong, word in (
        (text, "not a notebook"),
        (tmp_path / "none.ipynb", "No such file"),
        (tmp_path, "directory"),
        (other, "rename"),
        (twin, "rename"),
    ):
        with pytest.raises(ReportError, match=word) as caught:
            run_and_export([good, wrong], tmp_path / "reports")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "reports").exists()


def test_without_a_checkout_the_default_is_refused(tmp_path, monkeypatch):
    """Sees an index of nothing written where the notebooks are not there."""
    monkeypatch.setattr(report, "NOTEBOOKS", tmp_path / "notebooks")
    with pytest.raises(ReportError, match="no notebooks in"):
        run_and_export(None, tmp_path / "reports")


def test_a_failing_notebook_keeps_its_old_page(tmp_path, capsys):
    """Sees a good page overwritten by a failed run, the others not run, or success claimed."""
    reports = tmp_path / "reports"
    bad = save(
        executed(ran("1/0", new_output("error", ename="ValueError", evalue="first\nthe last line"))),
        tmp_path / "bad.ipynb",
    )
    good = save(executed(ran("1")), tmp_path / "good.ipynb")
    reports.mkdir()
    (reports / "bad.html").write_text("old")
    with pytest.raises(ReportError, match=r"1 of 2 notebooks failed: bad\.ipynb"):
        run_and_export([bad, good], reports)
    assert capsys.readouterr().err == "bad.ipynb: the last line\n"
    assert (reports / "bad.html").read_text() == "old" and read_card((reports / "good.html").read_text())
    assert not list(reports.glob("**/*.part"))


def test_an_expected_error_is_no_failure(tmp_path):
    """Sees a cell tagged raises-exception end a report."""
    cell = ran("1/0", new_output("error", ename="E", evalue="x", traceback=["E: x"]), tags=("raises-exception",))
    assert "E: x" in report.export(executed(cell), tmp_path / "a.ipynb", tmp_path).read_text()


def test_a_half_written_page_is_never_seen(tmp_path, monkeypatch):
    """Sees a page truncated by a full disk."""
    page = tmp_path / "a.html"
    page.write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(RunStoppedError, match="no space"):
        report.export(executed(ran("1")), tmp_path / "a.ipynb", tmp_path)
    assert page.read_text() == "old" and not list(tmp_path.rglob("*.part"))


def test_a_source_notebook_is_run_in_its_folder(tmp_path, monkeypatch, capsys):
    """Sees the working folder, FLATLIB_REPORTS or versions lost on the way to the kernel and back."""
    monkeypatch.delenv("FLATLIB_REPORTS", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "beside.txt").write_text("read from beside")
    code = "import os\nprint(open('beside.txt').read(), os.environ['FLATLIB_REPORTS'])"
    source = new_notebook(
        cells=[
            new_markdown_cell("# Run"),
            new_code_cell(code),
        ]
    )
    path = save(source, folder / "01_run.ipynb")
    before = path.read_bytes()
    failing = new_notebook(cells=[new_code_cell("raise ValueError('what went wrong')")])
    save(failing, folder / "02_fails.ipynb")
    with pytest.raises(ReportError, match="1 of 2"):
        run_and_export([Path("notebooks/02_fails.ipynb"), path], Path("reports"))
    assert "02_fails.ipynb: ValueError: what went wrong" in capsys.readouterr().err
    page = (tmp_path / "reports" / "01_run.html").read_text()
    assert f"read from beside {tmp_path / 'reports'}" in page
    assert {"flatlib", "Python", "numpy"} <= read_card(page).versions.keys()
    assert path.read_bytes() == before and not (tmp_path / "reports" / "02_fails.html").exists()
    assert sorted(item.name for item in folder.iterdir()) == ["01_run.ipynb", "02_fails.ipynb", "beside.txt"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("Traceback\n\x1b[31mValueError\x1b[0m: last\n\n"), "ValueError: last"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_the_last_line_of_an_error(error, line):
    """Sees terminal colors, an empty line or a whole traceback where one line belongs."""
    assert report._last_line(error) == line


def test_notebooks_that_read_runs_come_last():
    """Sees found cells left out of the evaluation, since it ran before the searches."""
    stems = [path.stem for path in report._checked(None)]
    assert stems[-2:] == ["04_evaluation", "07_cells"] and stems[:-2] == sorted(stems[:-2]) and len(stems) == 7
