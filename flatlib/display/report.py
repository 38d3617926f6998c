"""Reports: notebooks run and exported as pages, and the index page made from the pages' cards."""

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat

from flatlib.display.api_page import PAGES, render_pages
from flatlib.display.card import installed_versions, read_card
from flatlib.display.claim_page import claims_context
from flatlib.display.exporter import FlatlibExporter, assets, environment
from flatlib.run.checkpoint import write_beside
from flatlib.run.notebook import execute_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
READERS = ("04_evaluation", "07_cells")  # run last, since they read what the others found
INDEX, CLAIMS = "index.html", "claims.html"
PLACES = ("reports_dir", "runs_dir")  # settings that say where, not what


class ReportError(RuntimeError):
    """Notebooks that are none, or that failed."""


def run_and_export(notebooks: Sequence[Path] | None, reports_dir: Path) -> list[Path]:
    """Run notebooks, write a page for each, the guides and the index; the notebooks' pages.

    None: the checkout's notebooks. A notebook with outputs is exported as it is. Where one fails, a
    line on stderr says why, its old page is kept and the others still run; ReportError at the end.
    """
    sources = _checked(notebooks)
    reports_dir = Path(reports_dir).absolute()
    check_writable(reports_dir, "--reports-dir")
    pages, failed = [], []
    for path, notebook in sources.items():
        try:
            if not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells):
                notebook = execute(path, reports_dir)
            pages.append(export(notebook, path, reports_dir))
        except Exception as error:  # whatever a notebook does, the others run
            failed.append(path.name)
            print(f"{path.name}: {_last_line(error)}", file=sys.stderr)
    if pages:
        for name, page in render_pages().items():
            _write(reports_dir / name, page)
        write_index(reports_dir)
    if failed:
        raise ReportError(f"{len(failed)} of {len(sources)} notebooks failed: {', '.join(failed)} (old pages kept)")
    return pages


def check_writable(folder: Path, option: str) -> None:
    """Better known before long work than after it; ReportError, one line, names the option that sets the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        why = error.strerror or error
        raise ReportError(f"{folder}: cannot be written ({why}); name another: {option} FOLDER") from None


def execute(
    path: Path, reports_dir: Path, parameters: dict[str, Any] | None = None, *, progress: bool = True
) -> nbformat.NotebookNode:
    """Run a notebook in its folder; its CSV files go below reports_dir."""
    where = patch.dict(os.environ, FLATLIB_REPORTS=str(reports_dir))  # papermill hands no environment on
    with tempfile.TemporaryDirectory() as folder, where:
        notebook: nbformat.NotebookNode = execute_notebook(
            path, Path(folder) / path.name, parameters, progress=progress
        )
    notebook.metadata["flatlib"] = {"versions": installed_versions()}
    return notebook


def export(notebook: nbformat.NotebookNode, path: Path, reports_dir: Path) -> Path:
    """Write the page of an executed notebook that lies at `path`; ReportError if a cell failed."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                raise ReportError(f"{output.ename}: {output.evalue}")
    place = {"metadata": {"name": path.stem, "path": str(path.absolute().parent)}}
    html, resources = FlatlibExporter().from_notebook_node(notebook, place)
    for name, content in resources["outputs"].items():
        _write(reports_dir / name, content)
    return _write(reports_dir / f"{path.stem}.html", html)


def write_index(reports_dir: Path) -> Path:
    """Write index.html, a card for each page of the folder and the tables' CSV files, and claims.html."""
    reports_dir = Path(reports_dir)
    guides = {name: title for name, title in PAGES.items() if (reports_dir / name).is_file()}
    pages = [path for path in sorted(reports_dir.glob("*.html")) if path.name != INDEX and path.is_file()]
    tables: dict[str, list[str]] = {}  # source folder -> its CSV files, as paths from the reports folder
    for path in sorted(reports_dir.glob("tables/**/*.csv")):
        source = path.parent.relative_to(reports_dir / "tables").as_posix()
        tables.setdefault(source, []).append(path.relative_to(reports_dir).as_posix())
    claims, templates = claims_context(reports_dir), environment()
    cards = {path.name: card for path in pages if (card := read_card(path.read_text("utf-8", "replace")))}
    html = templates.get_template("index.html.j2").render(
        claims, cards=cards, tables=tables, places=PLACES, guides=guides
    )
    for name, content in assets().items():
        _write(reports_dir / name, content)
    _write(reports_dir / CLAIMS, templates.get_template("claims.html.j2").render(claims))
    return _write(reports_dir / INDEX, html)


def _write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_beside(path, lambda file: file.write(content.encode() if isinstance(content, str) else content))
    return path


def _checked(notebooks: Sequence[Path] | None) -> dict[Path, nbformat.NotebookNode]:
    """The notebooks, read; one line for the first that cannot serve."""
    own = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"), key=lambda path: (path.stem in READERS, path.name))
    paths = own if notebooks is None else [Path(path) for path in notebooks]
    if not paths:
        raise ReportError(f"no notebooks in {NOTEBOOKS}; name them: flatlib report NOTEBOOK ...")
    sources = {path: _read(path) for path in paths}
    stems = [path.stem for path in sources]
    for path in sources:
        if stems.count(path.stem) > 1 or f"{path.stem}.html" in (INDEX, CLAIMS, *PAGES):
            raise ReportError(f"{path}: another page is named {path.stem}.html; rename the notebook")
    return sources


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises what its JSON happens to trip over
        why = getattr(error, "strerror", None) or "not a notebook"
        raise ReportError(f"{path}: {why}; expected a notebook saved by Jupyter or papermill (.ipynb)") from None


def _last_line(error: Exception) -> str:
    """The line that says what went wrong, without the colors of a notebook's traceback."""
    lines = re.sub(r"\x1b\[[\d;]*m", "", str(error)).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), type(error).__name__)
