"""The pages for those who reuse the package: the API page, its map from equation to file, and How to extend."""

import html
import importlib
import inspect
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from flatlib.display import api_page, report
from flatlib.display.api_page import MAP, PAGES, docstring_html, read_module, render_pages

ROOT = Path(__file__).parents[1]
ROWS = [
    tuple(line.strip("| ").split(" | "))
    for line in MAP.search((ROOT / "README.md").read_text(encoding="utf-8"))[1].splitlines()[2:]
]
EVIL = "</pre><script>alert(1)</script>"


@pytest.fixture(scope="module")
def pages():
    return {name: BeautifulSoup(page, "html.parser") for name, page in render_pages().items()}


def words(text: str) -> str:
    return re.sub(r"[\s`]+", "", text)


@pytest.mark.parametrize("name", ["aggregators", "neighborhoods", "search.bilevel", "tabular.samplers", "run.folder"])
def test_every_public_name_is_there_with_its_docstring(name, pages):
    """Sees a function, class or method that the page lacks, without its docstring, or with another's."""
    module = importlib.import_module(f"flatlib.{name}")
    own = {at: value for at, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    public = {
        at: value for at, value in own.items() if at[0] != "_" and (inspect.isroutine(value) or inspect.isclass(value))
    }
    for cls in [value for value in public.values() if inspect.isclass(value)]:
        methods = {at: value for at, value in vars(cls).items() if at[0] != "_" and inspect.isfunction(value)}
        public |= {f"{cls.__name__}.{at}": value for at, value in methods.items()}
    seen = 0
    for at, value in public.items():
        section = pages["api.html"].find(id=f"flatlib.{name}.{at}")
        assert section, at
        doc = value.__doc__ or ""
        if not doc.startswith(f"{value.__name__}("):  # what a dataclass writes itself
            assert words(doc) in words(section.get_text()), at
            seen += bool(doc)
    assert seen > len(public) / 2


def test_every_module_is_there(pages):
    """Sees a new folder of the package that the page does not know of."""
    for path in (ROOT / "flatlib").rglob("*.py"):
        name = api_page.module_name(path.relative_to(ROOT).as_posix())
        if path.stem != "__main__" and path.read_text().strip():
            assert pages["api.html"].find(id=name), name


def test_private_names_are_left_out(pages):
    """Sees a name with an underscore offered as if it could be relied on."""
    ids = [tag["id"] for tag in pages["api.html"].find_all(id=True)]
    parts = {part for name in ids for part in name.split(".")}
    assert {part for part in parts if part.startswith("_")} == {"__init__"}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_resolves(name, pages):
    """Sees an anchor that is not there or there twice, and a link to a page that is not written."""
    ids = [tag["id"] for tag in pages[name].find_all(id=True)]
    assert len(ids) == len(set(ids))
    links = [tag["href"] for tag in pages[name].find_all("a", href=True)]
    assert len(links) > 5
    for link in links:
        assert link.removeprefix("#") in ids if link.startswith("#") else link in {report.INDEX, *PAGES}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_loaded(name, pages):
    """Sees a script, a picture or a style sheet from the network, or a page that the index takes for a report."""
    assert not pages[name].find_all(["link", "img", "iframe"]) and not pages[name].find_all("script", src=True)
    assert "url(http" not in str(pages[name]) and "@import" not in str(pages[name])
    assert report.read_card(str(pages[name])) is None


def test_signatures_keep_their_comments(tmp_path):
    """Sees shapes lost, a decorator lost, code of the body shown, or names out of order."""
    path = tmp_path / "flatlib" / "x.py"
    path.parent.mkdir()
    path.write_text(
        '"""A module."""\n\nLIMIT = 3  # of them\n\n\n'
        'def f(\n    a: int,  # (A,)\n) -> int:  # ()\n    """Double."""\n    return 2 * a\n\n\n'
        "@frozen\nclass C:\n    x: int  # (B,)\n    y: int = field(\n        default=1\n    )\n\n"
        "    @property\n    def p(self) -> int:  # (E,)\n        return 1\n\n    def _own(self): ...\n"
    )
    module = read_module(path, tmp_path)
    assert (module.anchor, module.name, module.doc) == ("flatlib.x", "flatlib/x.py", "A module.")
    f, c = module.members
    assert (f.code, f.doc) == ("def f(\n    a: int,  # (A,)\n) -> int:  # ()", "Double.")
    assert c.code == "@frozen\nclass C:\n    x: int  # (B,)\n    y: int = field(\n        default=1\n    )"
    assert [(one.anchor, one.code) for one in c.members] == [
        ("flatlib.x.C.p", "@property\ndef p(self) -> int:  # (E,)")
    ]


def test_markup_of_the_source_stays_text(pages):
    """Sees a docstring, a signature or a doctest whose < becomes a tag of the page."""
    shown = docstring_html(f"A {EVIL}.\n\n>>> f('{EVIL}')\n1\n\n    {EVIL}\n\nAnd `{EVIL}`.") + api_page.code_html(EVIL)
    assert "<script" not in shown and BeautifulSoup(shown, "html.parser").get_text().count("alert(1)") == 5
    section = pages["api.html"].find(id="flatlib.display.card.json_for_script")
    assert "may stand inside a <script> element" in section.get_text() and "</script>" in section.get_text()


def test_docstrings_are_read_as_they_are_written():
    """Sees alpha* in italics, or a doctest without its result."""
    shown = docstring_html("alpha* and m ** E, a_b_c.\n\n>>> 1 + 1\n2")
    assert "alpha* and m ** E, a_b_c." in shown
    assert BeautifulSoup(shown, "html.parser").find(class_="highlight").get_text().split("\n")[:2] == [">>> 1 + 1", "2"]


# --- the map from equation to file ----------------------------------------------------------------


@pytest.mark.parametrize("where", [where for _, where in ROWS])
def test_each_file_of_the_map_exists(where, pages):
    """Sees a file that was renamed, and a link of the map that is missing."""
    files = re.findall("`([^`]+)`", where)
    assert files[0].startswith("flatlib/")
    links = [(link["href"], link.get_text()) for link in pages["api.html"].select("table a")]
    folder = ""
    for name in files:  # one without a folder lies beside the last
        whole = name.startswith("flatlib/")
        folder = name.rpartition("/")[0] if whole else folder
        assert (ROOT / (name if whole else f"{folder}/{name}")).exists(), name
        assert not whole or (f"#{api_page.module_name(name)}", name) in links


@pytest.mark.parametrize(
    "what", ["Eq. 1", "Eq. 2", "Eq. 3", "Eq. 4", "Eq. 5", "Eq. 6", "Eq. A", "Algorithm 1", "Algorithm 2"]
)
def test_each_equation_of_the_paper_is_in_the_map(what):
    """Sees an equation or an algorithm that a reader of the paper would not find."""
    kind, number = what.split()
    listed = " ".join(first for first, _ in ROWS)
    named = re.findall(rf"{re.escape(kind)} ((?:\w(?:, |\b))+)", listed)
    assert number in re.findall(r"\b\w\b", " ".join(named))


# --- where they are written -----------------------------------------------------------------------


def test_report_writes_them_and_the_index_links_them(tmp_path):
    """Sees pages that `flatlib report` leaves out, that the index does not name, or names where they are not."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    assert not any(name in report.write_index(tmp_path).read_text() for name in PAGES)
    cell = new_code_cell("1", execution_count=1, outputs=[new_output("stream", text="1")])
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "01_page.ipynb")
    written = report.run_and_export([tmp_path / "01_page.ipynb"], tmp_path / "reports")
    assert [path.name for path in written] == ["01_page.html"]
    index = (tmp_path / "reports" / "index.html").read_text()
    for name, title in PAGES.items():
        assert f'<a href="{name}">{html.escape(title)}</a>' in index
        assert (tmp_path / "reports" / name).read_text() == render_pages()[name]
    assert index.count("<article>") == 1


def test_a_notebook_cannot_take_their_place(tmp_path):
    """Sees api.ipynb overwrite the API page."""
    (tmp_path / "api.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    with pytest.raises(report.ReportError, match=r"another page is named api\.html; rename the notebook"):
        report.run_and_export([tmp_path / "api.ipynb"], tmp_path / "reports")


def test_an_installed_package_has_no_such_pages(monkeypatch, tmp_path):
    """Sees a wheel, which has neither README.md nor docs/, fail."""
    monkeypatch.setattr(api_page, "EXTEND", tmp_path / "docs" / "extend.md")
    assert not render_pages.__wrapped__()
