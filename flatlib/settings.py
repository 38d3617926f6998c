"""What all notebooks take, how it is read from the kernel, and how it shows: the bases of `parameters`.

A notebook sets its parameters as plain names in one cell, papermill overrides them in a second one,
and the cell after calls `check`, which knows both from the kernel's history.
"""

import ast
import hashlib
import html
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from flatlib.run.config import Config, ParameterError, Parameters, make, parameter

LONGEST = 100  # letters of a folder's name
MIME = "application/vnd.flatlib.settings+json"  # {name: value}, read by the report's index page
INJECTED = "# Parameters"  # the first line of papermill's cell


def check(model: type[Config], namespace: dict[str, Any] | None = None) -> Config:
    """The parameters set in the running kernel; ParameterError, a line a mistake, before any work.

    Values are the namespace's globals. What is assigned in the latest parameters cell or in
    papermill's cell, but is no field of the model, is a mistake too.
    """
    if namespace is None:
        from IPython import get_ipython

        shell = get_ipython()
        namespace = shell.user_ns if shell else {}
    known = [f.name for f in fields(model)]
    names = dict.fromkeys([*_assigned(namespace.get("In"), known), *known])
    try:
        return make(model, {name: namespace.get(name) for name in names if name in namespace or name not in known})
    except ValueError as error:
        raise ParameterError(str(error)) from None


def _assigned(sources: Any, known: list[str]) -> list[str]:
    """Names assigned in the latest parameters cell and in the latest papermill cell after it.

    The parameters cell is known by an annotated field (`d: int = 1`): its comment can be edited
    away, and papermill writes no annotations. Older versions of either cell do not count.
    """
    injected: list[str] | None = None
    for source in reversed(sources if isinstance(sources, list) else []):
        targets = _targets(source)
        if any(annotated and name in known for name, annotated in targets):
            return [name for name, _ in targets] + (injected or [])
        if injected is None and source.strip().split("\n")[0].strip() == INJECTED:
            injected = [name for name, _ in targets]
    raise ParameterError("no parameters found: run the cell of lines such as seed: int = 0 first, then this one")


def _targets(source: str) -> list[tuple[str, bool]]:
    """(name, annotated) of each assignment at module level."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):  # a cell that did not run
        return []
    return [
        (node.id, isinstance(statement, ast.AnnAssign))
        for statement in body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def _can_be_written(value: str) -> None:
    path = resolve_reports_dir(value)
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror})") from None


@dataclass(frozen=True, kw_only=True)
class Settings(Parameters):
    """What every notebook takes. Checked values, frozen; in a notebook they show as a table."""

    seed: int = parameter(0, "seed of every random draw", ge=0)
    reports_dir: str = parameter("auto", "a folder to write to; 'auto': the checkout's reports/", check=_can_be_written)

    def output_dir(self) -> Path:
        """Where the run writes: `reports_dir`; 'auto' keeps runs with other parameters below custom/.

        So the results at the defaults, and those kept on the real columns, stay what they are.
        """
        folder = resolve_reports_dir(self.reports_dir)
        changed = [
            f"{f.name}={getattr(self, f.name)}".replace("/", "-")
            for f in fields(self)
            if f.name not in ("table", "folder", "reports_dir") and getattr(self, f.name) != f.default
        ]
        name = ",".join(changed)
        if len(name) > LONGEST:
            name = f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return folder / "custom" / name if changed and self.reports_dir == "auto" else folder

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """A table with what differs from the defaults in bold; plain lines; {name: value}."""
        lines, rows, shared = [], "", {f.name for f in fields(Settings)}
        for f in sorted(fields(self), key=lambda f: f.name in shared):  # the notebook's own first
            value, text = getattr(self, f.name), f.metadata["help"]
            note = "" if value == f.default else f" (default {f.default!r})"
            lines.append(f"{f.name} = {value!r}  # {text}{note}")
            cell = html.escape(f"{value!r}{note}")
            cell = f"<b>{cell}</b>" if note else cell
            rows += f"<tr><td><code>{f.name}</code></td><td>{cell}</td><td>{html.escape(text)}</td></tr>"
        head = "<tr><th>parameter</th><th>value</th><th>meaning</th></tr>"
        table = f'<table class="flatlib-settings">{head}{rows}</table>'
        return {"text/plain": "\n".join(lines), "text/html": table, MIME: asdict(self)}


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """What notebooks share that write or read run folders."""

    runs_dir: str = parameter("auto", "a folder for run folders; 'auto': the checkout's runs/")

    @property
    def runs_folder(self) -> Path:
        """Where run folders go: `runs_dir`; 'auto' is runs/ beside a folder named reports, else below it."""
        if self.runs_dir != "auto":
            return Path(os.path.expanduser(self.runs_dir))
        folder = resolve_reports_dir(self.reports_dir).absolute()
        return (folder.parent if folder.name == "reports" else folder) / "runs"

    def config(self, kind: type[Config], **own: Any) -> Config:
        """A config whose fields are these parameters, but for its own ones."""
        shared = {f.name: getattr(self, f.name) for f in fields(kind) if hasattr(self, f.name)}
        return kind(**shared | own)


@dataclass(frozen=True, kw_only=True)
class SweepPage(Settings):
    """The page of a sweep: `notebooks/sweep.ipynb`, run by `flatlib sweep`."""

    folder: str = parameter("sweeps/small", "a sweep's folder, from here or from the checkout's root")
    figures: int = parameter(4, "measures that are drawn; the table has all", ge=1)

    @property
    def sweep_folder(self) -> Path:
        path = Path(self.folder).expanduser()
        return path if path.exists() else resolve_reports_dir("auto").parent / path


def resolve_reports_dir(value: str) -> Path:
    """The folder that `reports_dir` names.

    'auto' is $FLATLIB_REPORTS if set, else reports/ of the checkout around the working folder
    (it has a pyproject.toml and a notebooks/), else ./reports.
    """
    if value != "auto":
        return Path(os.path.expanduser(value))
    if folder := os.environ.get("FLATLIB_REPORTS"):
        return Path(folder)
    for parent in (Path.cwd(), *Path.cwd().parents):
        if (parent / "pyproject.toml").is_file() and (parent / "notebooks").is_dir():
            return parent / "reports"
    return Path.cwd() / "reports"
