"""Pages for those who reuse the package: the API, read from the source, and docs/extend.md."""

import html
import inspect
import re
from functools import cache

from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import PythonConsoleLexer, PythonLexer  # type: ignore[import-untyped]

from flatlib.display import markdown
from flatlib.display.api_source import PACKAGE, module_name, read_room
from flatlib.display.card import title_line
from flatlib.display.exporter import environment, highlighting

ROOMS = ("", "tabular", "search", "evaluation", "landscape", "sweep", "data", "run", "display")  # '': the idea
MAP, EXTEND = PACKAGE.parent / "README.md", PACKAGE.parent / "docs" / "extend.md"  # of a checkout
MAP_TITLE = "## From equation to code"
PAGES = {"extend.html": "How to extend", "api.html": "API"}


def code_html(code: str, *, console: bool = False) -> str:
    """Python, or a doctest, highlighted; every character escaped."""
    shown = highlight(code, PythonConsoleLexer() if console else PythonLexer(), HtmlFormatter())
    return re.sub(r'<span class="(?:n|p|w)">([^<]*)</span>', r"\1", shown)  # plain text; half of the page


def docstring_html(doc: str) -> str:
    """Paragraphs, doctests as code, indented blocks as they are; `names` and $formulas$; no other markup.

    >>> docstring_html("A `<b>` in $x$.").split("<math")[0]
    '<p>A <code>&lt;b&gt;</code> in '
    """
    parts = []
    for block in filter(str.strip, re.split(r"\n\s*\n", inspect.cleandoc(doc))):
        if block.startswith(">>>"):
            parts.append(code_html(block, console=True))
        elif all(line.startswith("    ") for line in block.splitlines()):
            parts.append(f"<pre>{html.escape(inspect.cleandoc(block))}</pre>")
        else:
            parts.append(f"<p>{_inline(' '.join(block.split()))}</p>")
    return "\n".join(parts)


def _inline(text: str) -> str:
    parts = re.split(r"`([^`]+)`|(?<![$\\])\$(?=[^\s$])([^$]+?)(?<!\s)\$(?![\w$])", text)
    shown = []
    for plain, code, formula in zip(parts[::3], [*parts[1::3], None], [*parts[2::3], None], strict=True):
        shown += [html.escape(plain), f"<code>{html.escape(code)}</code>" if code else ""]
        shown.append(markdown.latex_to_mathml(formula) if formula else "")
    return "".join(shown)


# --- the map from equation to file ------------------------------------------------------------------


def equation_map(text: str) -> list[tuple[str, str]]:
    """The rows (what of the paper, where in the code) of the README's section; Markdown, the header left out."""
    section = text.partition(f"{MAP_TITLE}\n")[2].partition("\n## ")[0]
    rows = [line.strip().strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [(what.strip(), where.strip()) for what, where in rows[1:]]


def files_of(where: str) -> list[tuple[str, str]]:
    """Each file named in a row's second cell, as written and as a path: one without a folder lies beside the last.

    >>> files_of("`flatlib/a/b.py`, `c.py`; fast: `kernels/`")
    [('flatlib/a/b.py', 'flatlib/a/b.py'), ('c.py', 'flatlib/a/c.py'), ('kernels/', 'flatlib/a/kernels/')]
    """
    files: list[tuple[str, str]] = []
    folder = ""
    for name in re.findall("`([^`]+)`", where):
        whole = "/" in name.strip("/")
        folder = name.rpartition("/")[0] + "/" if whole else folder
        files.append((name, name if whole else folder + name))
    return files


def _where_html(where: str, modules: set[str]) -> str:
    """A row's second cell with links to the modules of the page."""
    shown = html.escape(where)
    for written, path in files_of(where):
        name = module_name(path)
        code = f"<code>{html.escape(written).replace('/', '/<wbr/>')}</code>"  # a narrow screen breaks there
        shown = shown.replace(f"`{written}`", f'<a href="#{name}">{code}</a>' if name in modules else code, 1)
    return shown


# --- the pages --------------------------------------------------------------------------------------


@cache
def render_pages() -> dict[str, str]:
    """File name -> page: the API, and where docs/ is, as in a checkout, how to extend."""
    shared = {"style": highlighting(), "pages": PAGES if EXTEND.is_file() else {"api.html": PAGES["api.html"]}}
    rooms = {room: read_room(room) for room in ROOMS}
    names = {module.anchor for modules in rooms.values() for module in modules}
    rows = equation_map(MAP.read_text(encoding="utf-8")) if MAP.is_file() else []
    equations = [(_inline(what), _where_html(where, names)) for what, where in rows]
    made = {"api.html": _render("api.html.j2", **shared, rooms=rooms, equations=equations)}
    if EXTEND.is_file():
        text = EXTEND.read_text(encoding="utf-8").lstrip()
        heading = title_line(text)
        body = re.sub(r'<a class="anchor-link".*?</a>', "", markdown.to_html(text[len(heading) :]))
        sections = re.findall(r'<h2[^>]*\bid="([^"]+)"[^>]*>(.*?)</h2>', body)
        made["extend.html"] = _render(
            "extend.html.j2", **shared, title=heading.strip("# "), body=body, sections=sections
        )
    return made


def _render(template: str, **values: object) -> str:
    made = environment()
    made.filters |= {"code": code_html, "doc": docstring_html}
    return made.get_template(template).render(values)
