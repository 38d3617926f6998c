"""The project as a whole: lint, types, layers, notebooks in git, the wheel."""

import ast
import dataclasses
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Imports run downwards, and among the rooms of one layer only as ASIDE says.
LAYERS = [
    "display",
    "sweep",
    "tabular search evaluation landscape",
    "run",
    "data",
    "spaces",
    "neighborhoods aggregators",
]
ASIDE = {("evaluation", "search"), ("landscape", "search")}


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("command", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)])
def test_lint_format_and_types(command):
    """Sees code that ruff or mypy refuses."""
    done = run("-m", *command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_hold_no_outputs_and_no_logic(path):
    """Sees outputs or long cells in git, a function in a notebook, a missing parameters cell."""
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert cells[0]["cell_type"] == "markdown" and "".join(cells[0]["source"]).startswith("# ")
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    for cell in code:
        source = "".join(cell["source"])
        assert len(source.splitlines()) <= 15 or "parameters" in cell["metadata"].get("tags", [])
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(ast.parse(source)))


def test_notebook_parameters_match_their_models():
    """Sees a default or a help text that differs between a notebook and parameters.py."""
    from flatlib import parameters

    for path in NOTEBOOKS:
        cells = json.loads(path.read_text())["cells"]
        source = next("".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", []))
        name = re.search(r"parameters\.check\(parameters\.(\w+)\)", path.read_text()).group(1)
        known = {field.name: field.default for field in dataclasses.fields(getattr(parameters, name))}
        defaults = {node.target.id: ast.literal_eval(node.value) for node in ast.parse(source).body}
        assert defaults == known
        assert all("  # " in line for line in source.splitlines()[1:])


def test_imports_run_downwards():
    """Sees a lower layer that imports a higher one, or the rooms of one layer importing one another."""
    level = {name: depth for depth, names in enumerate(LAYERS) for name in names.split()}
    for path in (ROOT / "flatlib").rglob("*.py"):
        room = path.relative_to(ROOT / "flatlib").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if room in level and isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flatlib."):
                other = node.module.split(".")[1]
                allowed = other == room or (room, other) in ASIDE or level.get(other, 9) > level[room]
                assert allowed, f"{path.name} imports {other}"


def test_tabular_loads_no_torch():
    """Sees an import that makes a table lookup wait for torch."""
    rooms = "flatlib, flatlib.tabular.table, flatlib.tabular.when, flatlib.published, flatlib.parameters, flatlib.cli"
    rooms += ", flatlib.evaluation.cost, flatlib.display.reproduction"
    assert run("-c", f"import sys, {rooms}; sys.exit('torch' in sys.modules)").returncode == 0


def test_tracked_text_has_no_absolute_paths():
    """Sees a path of one machine in the project."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yml", ".ipynb", ".txt", ".csv"} and path.exists():
            assert not re.search(r"(?<![.\w])/(home|root|tmp|work)/\w", path.read_text()), name


def test_wheel_carries_its_data_and_works_elsewhere(tmp_path):
    """Sees package data that only an editable install finds."""
    done = run("-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(ROOT))
    if done.returncode and "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("no wheel can be built here: setuptools is out of reach")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import flatlib; "
        f"assert flatlib.__file__.startswith({str(tmp_path)!r}); "
        "from flatlib.tabular.table_file import load_table; assert load_table().is_whole; "
        "from flatlib.display.claim_page import read_claims; assert read_claims(); "
        "from flatlib.display.exporter import FlatlibExporter; import nbformat.v4 as v4; "
        "notebook = v4.new_notebook(cells=[v4.new_markdown_cell('# hello')]); "
        "assert 'hello' in FlatlibExporter().from_notebook_node(notebook)[0]"
    )
    done = run("-W", "ignore", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
