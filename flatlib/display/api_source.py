"""The package's public names with their signatures and docstrings, read from the source; nothing is imported."""

import ast
import inspect
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
Definition = ast.FunctionDef | ast.ClassDef


class Entry(NamedTuple):
    """A file of the package, or a public function, class or method."""

    anchor: str  # its full name, flatlib.search.bilevel
    name: str  # of a file its path, flatlib/search/bilevel.py
    code: str  # signature as in the source, with its comments on shapes; of a class with fields, of a file constants
    doc: str
    members: tuple["Entry", ...]


def read_module(path: Path, root: Path = PACKAGE.parent) -> Entry:
    """A file's public names in their order."""
    source, relative = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    name, tree, lines = module_name(relative), ast.parse(source), source.splitlines()
    constants = (_constant(node, lines) for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign))
    shown = "\n".join(filter(None, constants))
    return Entry(name, relative, shown, ast.get_docstring(tree) or "", _entries(tree, name, lines))


def module_name(path: str) -> str:
    """`flatlib/search/kernels/`, its `__init__.py` or a file in it, as Python names it.

    >>> module_name("flatlib/search/kernels/"), module_name("flatlib/spaces.py")
    ('flatlib.search.kernels', 'flatlib.spaces')
    """
    return path.removesuffix("/__init__.py").removesuffix(".py").strip("/").replace("/", ".")


def _entries(parent: ast.Module | ast.ClassDef, prefix: str, lines: list[str]) -> tuple[Entry, ...]:
    definitions = [node for node in parent.body if isinstance(node, Definition)]
    found = [node for node in definitions if node.name == "__init__" or not node.name.startswith("_")]
    return tuple(
        Entry(
            f"{prefix}.{node.name}",
            node.name,
            _signature(node, lines),
            ast.get_docstring(node) or "",
            _entries(node, f"{prefix}.{node.name}", lines) if isinstance(node, ast.ClassDef) else (),
        )
        for node in found
    )


def _signature(node: Definition, lines: list[str]) -> str:
    """Decorators and signature; of a class its fields too."""
    shown = lines[_first_line(node) - 1 : max(node.lineno, _first_line(node.body[0]) - 1)]
    for part in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(part, ast.AnnAssign):
            shown += lines[part.lineno - 1 : part.end_lineno]
    return inspect.cleandoc("\n".join(["", *shown])).rstrip()


def _first_line(node: ast.stmt) -> int:
    """Counted from 1; a decorator's where there is one."""
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])


def _constant(node: ast.Assign | ast.AnnAssign, lines: list[str]) -> str:
    """The line of a public name; what goes on over more lines is left out."""
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    more = " ..." if node.end_lineno != node.lineno else ""
    public = isinstance(target, ast.Name) and not target.id.startswith("_")
    return lines[node.lineno - 1] + more if public else ""


def read_room(room: str) -> list[Entry]:
    """The modules that hold something, `__main__` left out: a command says what it does itself."""
    files = sorted((PACKAGE / room).glob("**/*.py" if room else "*.py"))
    modules = [read_module(path) for path in files if path.stem != "__main__"]
    return [module for module in modules if module.doc or module.members]
