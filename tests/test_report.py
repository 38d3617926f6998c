import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from flatlib.display import report
from flatlib.display.card import PLOTLY_MIME, SETTINGS_MIME, make_card, read_card, thumbnail
from flatlib.display.exporter import PLOTLY_JS, FlatlibExporter
from flatlib.display.markdown import latex_to_mathml, to_html
from flatlib.display.report import ReportError, run_and_export, write_index
from flatlib.run.checkpoint import RunStoppedError

ROOT = Path(__file__).parents[1]
EVIL = "</script><script>alert(1)</script>"


def figure_output(figure: go.Figure) -> nbformat.NotebookNode:
    return new_output("display_data", {PLOTLY_MIME: json.loads(figure.to_json())})


def ran(source: str, *outputs: nbformat.NotebookNode, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    return new_code_cell(source, execution_count=1, outputs=list(outputs), metadata={"tags": list(tags)})


def executed(*cells: nbformat.NotebookNode, text: str = "# A title\n\nThe *first* paragraph.\n\nThe second."):
    return new_notebook(cells=[new_markdown_cell(text), *cells])


def html_of(notebook: nbformat.NotebookNode) -> str:
    return FlatlibExporter().from_notebook_node(notebook, {"metadata": {"name": "01_page"}})[0]


def save(notebook: nbformat.NotebookNode, path: Path) -> Path:
    nbformat.write(notebook, path)
    return path


LINE = go.Figure(go.Scatter(x=[0, 1, 2], y=[3, 1, 2], name="a line"))

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


# --- formulas -------------------------------------------------------------------------------------


SOURCES = [*sorted((ROOT / "notebooks").glob("*.ipynb")), ROOT / "docs" / "extend.md"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_formulas_of_the_project_become_mathml(path):
    """Sees a formula of a notebook that is shown as LaTeX, in part or whole, and MathML that is not well-formed."""
    cells = nbformat.read(path, 4).cells if path.suffix == ".ipynb" else [new_markdown_cell(path.read_text())]
    page = "".join(to_html(cell.source) for cell in cells if cell.cell_type == "markdown")
    assert 'class="latex"' not in page and "$" not in re.sub(r"<(math|code|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
    for formula in re.findall("<math.*?</math>", page):
        assert not [node.text for node in ElementTree.fromstring(formula).iter() if "\\" in (node.text or "")]


@pytest.mark.parametrize(
    "latex",
    [
        r"\tfrac12\lVert p-q\rVert_1",
        r"\sum_{k=0}^{d} \binom{E}{k}(m-1)^k",
        r"q_k \sim \mathcal{U}(\max(-\epsilon, -\alpha_k), \epsilon)",
        r"\begin{cases} a & b \\ c & d \end{cases}",
        r"\text{a < b}",
    ],
)
def test_formulas_become_mathml(latex):
    """Sees a command that is left as text, and MathML that is not well-formed."""
    for block in (False, True):
        math = ElementTree.fromstring(latex_to_mathml(latex, block=block))
        assert math.tag.endswith("math") and math.get("display") == ("block" if block else "inline")
        assert not [node.text for node in math.iter() if "\\" in (node.text or "")]


def test_a_sign_is_no_difference():
    """Sees the minus of [-1, 1] set with the spaces of a difference, or that of a - 1 without."""
    assert "<mrow><mo>\u2212</mo><mn>1</mn></mrow>" in latex_to_mathml(r"x \in [-1, 1]")
    assert "<mi>a</mi><mo>\u2212</mo><mn>1</mn>" in latex_to_mathml("a - 1")


def test_limits_stand_below():
    """Sees arg min with its set at the right in a displayed formula."""
    assert "<munder><mo" in latex_to_mathml(r"\arg\min_{a} f", block=True)
    assert "<msub><mo" in latex_to_mathml(r"\arg\min_{a} f")


@pytest.mark.parametrize("latex", [r"\frac{", r"\nosuch{<b>}"])
def test_a_failing_formula_stays_readable(latex):
    """Sees an export that dies of a formula, or that shows half of it or its markup."""
    assert latex_to_mathml(latex) == f'<code class="latex">{latex.replace("<", "&lt;").replace(">", "&gt;")}</code>'


@pytest.mark.parametrize(
    ("markdown", "formulas"),
    [
        ("costs $5", 0),
        ("`$x$`", 0),
        (r"\$x\$", 0),
        ("$x$", 1),
        ("$x$ and $y$", 2),
        ("$$x$$", 1),
        ("$a\n= b$", 1),
    ],
)
def test_dollars_are_told_apart(markdown, formulas):
    """Sees code set as formulas, and formulas left as text."""
    page = to_html(markdown)
    assert page.count("<math") == formulas
    assert formulas or markdown.strip("`").replace("\\", "") in page


def test_the_summary_is_the_first_paragraph():
    """Sees headings, markup or the second paragraph in a card's summary."""
    card = make_card(executed(text="# $f$ *and* more\n\nOne *word*,\nand a [link](x).\n\nTwo."), "a")
    assert (card.title, card.summary) == ("f and more", "One word, and a link.")
    assert make_card(executed(text="# Title"), "a").summary == ""


# --- cards and the index --------------------------------------------------------------------------


def test_the_card_survives_the_page():
    """Sees a card that the index cannot read back as it was made."""
    notebook = executed(
        ran("check()", new_output("display_data", {SETTINGS_MIME: {"table": "digits201", "lam": 1.0}})),
        ran("one()", figure_output(go.Figure(go.Bar(y=[1, 2])))),
        ran("two()", figure_output(LINE), tags=("thumbnail",)),
    )
    notebook.metadata["papermill"] = {"end_time": "2026-01-02T03:04:05"}
    card = make_card(notebook, "01_page")
    assert read_card(html_of(notebook)) == card
    assert (card.title, card.summary, card.date) == ("A title", "The first paragraph.", "2026-01-02")
    assert card.settings == {"table": "digits201", "lam": 1.0} and card.source == "01_page.ipynb"
    assert card.figure["data"][0]["type"] == "scatter"


def test_a_foreign_notebook_has_a_card():
    """Sees notebooks without text, settings or figures refused."""
    card = make_card(new_notebook(cells=[ran("1")]), "foreign")
    assert (card.title, card.summary, card.settings, card.figure) == ("foreign", "", {}, None)


def test_thumbnails_are_bare():
    """Sees a thumbnail with other points than its figure's, with texts, or one that swells the index."""
    x = np.arange(1000.0)
    figure = go.Figure(go.Scatter(x=x, y=2 * x, marker={"color": 3 * x, "colorscale": "Viridis"}, customdata=x))
    figure.add_heatmap(z=np.arange(1200.0).reshape(30, 40))
    figure.update_layout(title="title", width=700, xaxis_title="an axis")
    original = json.loads(figure.to_json())
    small = thumbnail(original)
    points, grid = small["data"]
    for own, drawn in zip(original["data"], (points, grid), strict=True):
        assert all(drawn[name] == own[name] for name in "xyz" if name in own)
    assert points["marker"]["color"] == original["data"][0]["marker"]["color"]
    assert "customdata" not in points and not grid["showscale"]
    assert "title" not in small["layout"] and "width" not in small["layout"]
    assert not small["layout"]["xaxis"]["visible"] and small["layout"]["showlegend"] is False
    assert original == json.loads(figure.to_json())
    large = go.Figure(go.Heatmap(z=np.random.default_rng(0).normal(size=(300, 300))))
    assert make_card(executed(ran("plot()", figure_output(large))), "large").figure is None


def test_the_index_lists_pages_and_tables(tmp_path):
    """Sees pages or tables missing from the index, and foreign or broken pages listed or fatal."""
    settings = new_output("display_data", {SETTINGS_MIME: {"d": 3, "reports_dir": "/somewhere"}})
    report.export(executed(ran("1", settings, figure_output(LINE))), tmp_path / "01_a b#.ipynb", tmp_path)
    (tmp_path / "foreign.html").write_text("<p>foreign</p>")
    (tmp_path / "broken.html").write_text('<script type="application/json" id="flatlib-card">{"title"</script>')
    (tmp_path / "other.html").write_text('<script type="application/json" id="flatlib-card">["x"]</script>')
    (tmp_path / "binary.html").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "tables" / "digits201").mkdir(parents=True)
    (tmp_path / "tables" / "digits201" / "table_1a.csv").write_text("row\n")
    index = write_index(tmp_path).read_text()
    assert index.count("<article>") == 1 and "A title" in index and "The first paragraph." in index
    assert index.count('href="01_a%20b%23.html"') == 2 and 'href="tables/digits201/table_1a.csv"' in index
    assert "d = <b>3</b>" in index and "/somewhere" not in index and (tmp_path / PLOTLY_JS).is_file()
    assert index == write_index(tmp_path).read_text()


def test_an_empty_index_says_what_to_do(tmp_path):
    """Sees a first call in an empty folder fail or show an empty page."""
    assert "flatlib report" in write_index(tmp_path / "new").read_text()


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
