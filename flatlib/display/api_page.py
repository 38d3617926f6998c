"""Pages for those who reuse the package: the API, read from the source (nothing is imported), and docs/extend.md."""

import ast
import html
import inspect
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import PythonConsoleLexer, PythonLexer  # type: ignore[import-untyped]

from flatlib.display import markdown
from flatlib.display.card import title_line
from flatlib.display.exporter import environment, highlighting

PACKAGE = Path(__file__).parents[1]
README, EXTEND = PACKAGE.parent / "README.md", PACKAGE.parent / "docs" / "extend.md"  # of a checkout
MAP = re.compile(r"^## From equation to code\n.*?(^\|.*?)\n\n", re.DOTALL | re.MULTILINE)
PAGES = {"extend.html": "How to extend", "api.html": "API"}


class Entry(NamedTuple):
    """A file of the package, or a public function, class or method."""

    anchor: str  # its full name, flatlib.search.bilevel
    name: str  # of a file its path, flatlib/search/bilevel.py
    code: str  # signature as in the source, with its comments on shapes; of a class with fields; of a file ''
    doc: str
    members: list["Entry"]


@cache
def render_pages() -> dict[str, str]:
    """File name -> page; of a checkout: an installed package has neither README.md nor docs/."""
    if not EXTEND.is_file():
        return {}
    templates = environment()
    templates.filters |= {"code": code_html, "doc": docstring_html}
    shared = {"style": highlighting(), "pages": PAGES}
    rooms: dict[str, list[Entry]] = {}
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: (path.parent, path.name)):
        module, parts = read_module(path), path.relative_to(PACKAGE).parts
        if path.stem != "__main__" and (module.doc or module.members):  # a command says what it does itself
            rooms.setdefault(parts[0] if len(parts) > 1 else "flatlib", []).append(module)
    equations = equation_map(README.read_text(encoding="utf-8"))
    api = templates.get_template("api.html.j2").render(shared, rooms=rooms, equations=equations)
    text = EXTEND.read_text(encoding="utf-8").lstrip()
    heading = title_line(text)
    body = markdown.to_html(text[len(heading) :])
    contents = {"sections": re.findall(r'<h2[^>]*\bid="([^"]+)"[^>]*>(.*?)</h2>', body)}
    extend = templates.get_template("extend.html.j2").render(shared | contents, title=heading.strip("# "), body=body)
    return {"extend.html": extend, "api.html": api}


def equation_map(readme: str) -> str:
    """The README's table from the paper's equations to files, as HTML; whole paths lead to the page's modules."""
    found = MAP.search(readme)
    files = re.split(r"<code>(flatlib/[^<]*)</code>", markdown.to_html(found[1] if found else ""))
    links = [f'<a href="#{module_name(path)}"><code>{path.replace("/", "/<wbr/>")}</code></a>' for path in files[1::2]]
    return "".join(text + link for text, link in zip(files[::2], [*links, ""], strict=True))


def code_html(code: str, *, console: bool = False) -> str:
    """Python, or a doctest, highlighted; every character escaped."""
    shown = highlight(code, PythonConsoleLexer() if console else PythonLexer(), HtmlFormatter())
    return re.sub(r'<span class="(?:n|p|w)">([^<]*)</span>', r"\1", shown)  # plain text; half of the page


def docstring_html(doc: str) -> str:
    """Paragraphs, with doctests and indented blocks as code; `names`; no other markup.

    >>> docstring_html("A `<b>`.")
    '<p>A <code>&lt;b&gt;</code>.</p>'
    """
    parts = []
    for block in filter(str.strip, re.split(r"\n\s*\n", doc)):
        if block.startswith((">>>", "    ")):
            parts.append(code_html(block, console=True))
        else:
            text = html.escape(" ".join(block.split()))
            parts.append("<p>" + re.sub("`([^`]+)`", r"<code>\1</code>", text) + "</p>")
    return "\n".join(parts)


# --- the source -----------------------------------------------------------------------------------


def read_module(path: Path, root: Path = PACKAGE.parent) -> Entry:
    """A file's public names in their order."""
    source, relative = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    tree, name = ast.parse(source), module_name(relative)
    return Entry(name, relative, "", ast.get_docstring(tree) or "", _entries(tree, name, source.splitlines()))


def module_name(path: str) -> str:
    """`flatlib/search/kernels/`, its `__init__.py` or a file in it, as Python names it.

    >>> module_name("flatlib/search/kernels/"), module_name("flatlib/spaces.py")
    ('flatlib.search.kernels', 'flatlib.spaces')
    """
    return path.removesuffix("/__init__.py").removesuffix(".py").strip("/").replace("/", ".")


def _entries(parent: ast.Module | ast.ClassDef, prefix: str, lines: list[str]) -> list[Entry]:
    found = []
    for node in parent.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and (node.name == "__init__" or node.name[0] != "_"):
            name = f"{prefix}.{node.name}"
            members = _entries(node, name, lines) if isinstance(node, ast.ClassDef) else []
            found.append(Entry(name, node.name, _signature(node, lines), ast.get_docstring(node) or "", members))
    return found


def _signature(node: ast.FunctionDef | ast.ClassDef, lines: list[str]) -> str:
    """Decorators and signature; of a class its fields too."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    shown = lines[first - 1 : max(node.lineno, node.body[0].lineno - 1)]
    for part in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(part, ast.AnnAssign):
            shown += lines[part.lineno - 1 : part.end_lineno]
    return inspect.cleandoc("\n".join(["", *shown])).rstrip()
