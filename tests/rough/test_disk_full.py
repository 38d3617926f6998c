"""Sees a disk that fills up, at any byte of any file, leave half a file, lose what was there, or end in a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("resource", reason="the size of files is limited by setrlimit")
LIMITED = """
import json, os, resource, sys, traceback, warnings
from pathlib import Path
sys.path[:0] = [sys.argv[1] + "/benchmarks", sys.argv[1]]
import kills
import numpy as np

warnings.simplefilter("ignore")

def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

def attempt(name, folder, limit):
    '''In a process of its own: no file may grow beyond the limit, as if the disk were full there.'''
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        sys.stdout = sys.stderr = open(os.devnull, "w")
        try:
            kills.KINDS[name](folder)
            said = ["done", ""]
        except BaseException as error:
            said = [type(error).__name__, str(error)]
        os.write(tell, json.dumps(said).encode()[:60_000])
        os._exit(0)
    os.close(tell)
    os.waitpid(pid, 0)
    with open(told, "rb") as pipe:
        return json.loads(pipe.read())

def attack(name, place, rng):
    whole, folder, found = place / "whole", place / "full", []
    kills.prepare(name, whole)
    kills.prepare(name, folder)
    kills.run(kills.KINDS[name], whole, None)
    expected, sizes = kills.contents(whole), sorted({len(content) for content in files(whole).values()})
    for size in (0, *sizes[:-1][-2:], sizes[-1] - 1):  # the next larger file is cut after so many bytes
        limit = min(size + int(rng.integers(1, 9)), sizes[-1] - 1)
        before = kills.contents(folder)
        kind, text = attempt(name, folder, limit)
        after = kills.contents(folder)
        left = [str(path) for path in folder.rglob("*") if path.name.endswith((".part", ".tmp"))]
        found.append([limit, kind, text, left, sorted(before.keys() - after.keys())])
    kills.run(kills.KINDS[name], folder, None)
    return found, kills.contents(folder) == expected

print(json.dumps({name: attack(name, Path(sys.argv[2]) / name.replace(" ", "-"), np.random.default_rng(0))
                  for name in kills.KINDS if not os.mkdir(Path(sys.argv[2]) / name.replace(" ", "-"))}))
"""
DOCUMENTED = {
    "search": "RunStoppedError",
    "evaluation training": "RunStoppedError",
    "landscape": "RunStoppedError",
    "table build": "RunStoppedError",
    "table import": "RunStoppedError",
    "report export": "ReportError",
    "CSV files": "RunStoppedError",
}


def test_a_full_disk_is_one_line_and_the_work_goes_on_once_there_is_room(tmp_path):
    """Sees another exception, several lines, a file left over or lost, and another result in the end."""
    command = [sys.executable, "-c", LIMITED, str(ROOT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    for kind, (attempts, same) in json.loads(done.stdout).items():
        assert {said for _, said, *_ in attempts} <= {DOCUMENTED[kind], "done"}, (kind, attempts)
        stopped = [attempt for attempt in attempts if attempt[1] != "done"]
        assert stopped and same, kind
        for limit, _, text, left, lost in stopped:
            assert len(text.splitlines()) == 1 and not left and not lost, (kind, limit, text, left, lost)
            assert "File too large" in text or kind == "report export", text


def test_a_full_disk_under_a_report_is_told(tmp_path):
    """Sees a page that could not be written told by its number only: the line on stderr has the reason."""
    code = "import resource, sys; from flatlib.cli import main; "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY)); main()"
    import nbformat.v4 as v4

    cells = [v4.new_markdown_cell("# Full"), v4.new_code_cell("1", execution_count=1)]
    (tmp_path / "full.ipynb").write_text(json.dumps(v4.new_notebook(cells=cells)))
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "full.html").write_text("old")
    words = ["report", str(tmp_path / "full.ipynb"), "--reports-dir", str(tmp_path / "reports")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    first, last = done.stderr.splitlines()
    assert done.returncode == 1 and first.startswith("full.ipynb: ") and "File too large" in first
    assert last == "flatlib: 1 of 1 notebooks failed: full.ipynb (old pages kept)"
    left = [path for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert [(path.name, path.read_text()) for path in left] == [("full.html", "old")]
