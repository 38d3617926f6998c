"""Sees a read-only checkout that costs ten minutes of work, or ends in a traceback, where one line says what to do."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import Mock

import nbformat.v4 as v4
import numpy as np
import pytest

from flatlib.parameters import Assumption, check
from flatlib.run.config import ParameterError

ROOT = Path(__file__).parents[2]
MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
COMMANDS = """
import contextlib, io, json, sys
from flatlib import cli
from flatlib.search.__main__ import main as search
from flatlib.evaluation.__main__ import main as evaluation

def said(words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if words[0] in ("search", "evaluation"):
            code = {"search": search, "evaluation": evaluation}[words[0]](words[1:])
        else:
            sys.argv = ["flatlib", *words]
            try:
                cli.main()
                code = 0
            except SystemExit as stop:
                code = stop.code or 0
    return code, out.getvalue(), err.getvalue()

print(json.dumps([said(words) for words in json.loads(sys.argv[1])]))
"""


def read_only(folder: Path, *command: str) -> subprocess.CompletedProcess:
    """A command in a mount namespace of its own, where the folder is mounted read-only: it binds root too."""
    words = ["unshare", "--mount", "sh", "-c", MOUNTED, str(folder), *command]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {name: value for name, value in environment.items() if name not in ("FLATLIB_DATA",)}
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder as a checkout has it, which no command may change."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare here: a mount cannot be made read-only")
    folder = tmp_path_factory.mktemp("checkout")
    if (done := read_only(folder, "touch", "file")).returncode != 1 or "Read-only" not in done.stderr:
        pytest.skip(f"no mount of our own here: {done.stderr.strip()[:100]}")
    for name in ("notebooks", "reports", "runs", "data"):
        (folder / name).mkdir()
    (folder / "pyproject.toml").touch()
    (folder / "official.pth").write_bytes(b"not read")
    cells = [v4.new_markdown_cell("# Page"), v4.new_code_cell("1", execution_count=1)]
    (folder / "notebooks" / "page.ipynb").write_text(json.dumps(v4.new_notebook(cells=cells)))
    return folder


SMALL = ["--epochs", "1", "--n_train", "32", "--batch_size", "8", "--channels", "2", "--cells", "3"]
CASES = {  # command -> its exit code, its line
    ("report", "notebooks/page.ipynb"): (1, r"flatlib: .*/reports: cannot be written .*--reports-dir FOLDER\n"),
    ("data", "import", "official.pth", "new.npz"): (1, r"flatlib: new.npz: cannot be written .*name another place\n"),
    ("data", "build", "new.npz", "--work", "runs/parts"): (1, r"flatlib: runs/parts: cannot be written .*\n"),
    ("data", "fetch", "cifar10"): (1, r"flatlib: .*\n"),
    ("search", *SMALL): (2, r"flatlib.search: runs/.*: cannot be written .*free that path or take another runs_dir\n"),
    ("evaluation", *SMALL): (2, r"flatlib.evaluation: runs/evaluation/.*: cannot be written .*another runs_dir\n"),
}


@pytest.fixture(scope="module")
def said(checkout, tmp_path_factory):
    """Of each command exit code, stdout and stderr; where the last two may write; what the checkout held before."""
    elsewhere, before = tmp_path_factory.mktemp("elsewhere"), sorted(checkout.rglob("*"))
    commands = [*CASES, ["report", "notebooks/page.ipynb", "--reports-dir", str(elsewhere / "reports")]]
    commands += [["search", *SMALL, "--n_nbr", "2", "--kernels", "plain", "--runs_dir", str(elsewhere / "runs")]]
    done = read_only(checkout, sys.executable, "-W", "ignore", "-c", COMMANDS, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), elsewhere, before


def test_each_command_is_one_line_and_nothing_is_changed(said, checkout):
    """Sees a traceback, work that is done before its result cannot be kept, or an exit code of 0."""
    told, _, before = said
    for (words, (code, line)), (found, _, err) in zip(CASES.items(), told[:-2], strict=True):
        assert found == code and re.fullmatch(line, err), (words, found, err)
        assert words[1] == "fetch" or "Read-only file system" in err
    assert sorted(checkout.rglob("*")) == before


def test_results_go_to_another_folder(said):
    """Sees a checkout that must be written to although another folder is named."""
    (*_, report, search), elsewhere, _ = said
    assert report[0] == 0 and (elsewhere / "reports" / "page.html").exists() and not report[2]
    assert search[0] == 0 and len(list((elsewhere / "runs").glob("*/result.json"))) == 1, search


def test_a_notebook_is_told_before_its_work(tmp_path, monkeypatch):
    """Sees a reports folder that is there, but read-only, noticed at a notebook's last cell only."""
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=OSError(errno.EROFS, "Read-only file system")))
    values = {"reports_dir": str(tmp_path), "In": ["", "seed: int = 0"]}
    defaults = {name: field.default for name, field in Assumption.__dataclass_fields__.items()}
    with pytest.raises(ParameterError, match=r"reports_dir = .* written \(Read-only file system\); allowed: a folder"):
        check(Assumption, defaults | values)


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="only root can run as somebody else")
def test_somebody_elses_folder(tmp_path):
    """Sees a folder without permission, which a root user never meets, end otherwise than in the one line."""
    code = "import os; from pathlib import Path; from flatlib.run.folder import open_run; "
    code += "from flatlib.tabular import table, table_file; from flatlib.spaces import all_archs; import numpy as np\n"
    code += "quantity = table.Quantity(np.full((3, 1, 1), 5, np.float32), np.array([20]), np.array([1]))\n"
    code += "one = table.Table('tiny', all_archs()[:3], {'toy-valid/20/x-valid': quantity})\nos.setuid(65534)\n"
    code += "for act in (lambda: table_file.save_table(one, Path('own') / 't.npz'), lambda: table_file.load_table("
    code += "'secret.npz'), lambda: open_run(Path('own') / 'run', {}).__enter__()):\n    try:\n        act()\n"
    code += "    except (ValueError, RuntimeError) as error:\n        print(type(error).__name__, error)\n"
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are its user's alone
        place = Path(name)
        place.chmod(0o755)
        (place / "own").mkdir(mode=0o755)
        np.savez(place / "secret.npz", format=np.array("flatlib-table"))
        (place / "secret.npz").chmod(0o600)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": name}
        done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert [line.split()[0] for line in lines] == ["RunStoppedError", "TableError", "RunError"]
        assert all("Permission denied" in line for line in lines) and not list((place / "own").iterdir())
