"""Sees two processes at one folder or file: one result lost, a mixture of both, or a lock that a dead one keeps."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_search_cli import TINY, WORDS

from flatlib.evaluation.digits201 import Recipe
from flatlib.evaluation.digits201_build import build
from flatlib.run.checkpoint import RunError
from flatlib.run.folder import open_run
from flatlib.search import __main__ as command
from flatlib.search.runs import Run

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks and forks of POSIX")


def start(code: str, *words: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *words], env=environment, **pipes)


SLOW = """
import sys, time
from flatlib.search import __main__ as command
from flatlib.search.search import Searcher
command.estimate = lambda *_, **__: ""
Searcher.step = lambda self: time.sleep(60)
command.main(sys.argv[1:])
"""


@pytest.mark.usefixtures("own_warnings")
def test_a_second_search_is_kept_out_and_a_killed_one_keeps_nothing(tmp_path, capsys, monkeypatch):
    """Sees two searches write one folder, or a folder that stays locked once its search was killed."""
    monkeypatch.setattr(command, "estimate", lambda *_, **__: "")
    words = [*WORDS, "--runs_dir", str(tmp_path), "--kernels", "plain"]
    path = Run.path(tmp_path, TINY)
    first = start(SLOW, *words)
    while not (path / "config.json").exists():
        assert first.poll() is None
        time.sleep(0.02)
    assert command.main(words) == 2
    told = r"flatlib.search: .*another process is at work on this run; wait for it or .*\n"
    assert re.fullmatch(told, capsys.readouterr().err) and first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert command.main(words) == 0 and (path / "result.json").exists()


def test_two_builds_in_one_folder(tmp_path):
    """Sees two builds write the same parts, each half of the other's, or compute each part twice."""
    options = {"recipe": Recipe(epochs=1), "classes": np.arange(2), "runs": [("digits", 0)], "processes": 1}
    with open_run(tmp_path, {}), pytest.raises(RunError, match="another process is at work") as error:
        build(tmp_path, **options)
    assert len(str(error.value).splitlines()) == 1 and [path.name for path in tmp_path.iterdir()] == [".lock"]
    build(tmp_path, **options)


TWO_WRITERS = """
import os, sys, warnings
from pathlib import Path
import numpy as np, pandas as pd
from flatlib.display import report
from flatlib.display.reproduction import write_csv
from flatlib.spaces import all_archs
from flatlib.tabular.table import Quantity, Table
from flatlib.tabular.table_file import load_table, save_table

warnings.simplefilter("ignore")
folder, key = Path(sys.argv[1]), "toy-valid/20/x-valid"

def write(value):
    accuracy = np.random.default_rng(value).permutation(np.full((500, 9, 9), value, np.float32))
    table = Table("tiny", all_archs()[:500], {key: Quantity(accuracy, np.arange(1, 10), np.arange(9))})
    for _ in range(25):
        save_table(table, folder / "table.npz")
        write_csv(pd.DataFrame({"value": [value] * 5000}), folder / "table.csv")
        report._write(folder / "page.html", bytes([value]) * 2_000_000)

def read():
    if (folder / "page.html").exists():  # the last one written
        (page,) = set((folder / "page.html").read_bytes())
        (value,) = set(pd.read_csv(folder / "table.csv").value)
        (accuracy,) = set(load_table(folder / "table.npz").quantities[key].accuracy.ravel().tolist())
        assert {page, value, accuracy} <= {1, 2} and (folder / "page.html").stat().st_size == 2_000_000

alive = []
for value in (1, 2):
    if not (pid := os.fork()):
        try:
            write(value)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    alive.append(pid)
reads = 0
while alive:
    read()
    reads += 1
    for pid in list(alive):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            alive.remove(pid)
            assert not status
read()
print(sorted(path.name for path in folder.iterdir()))
"""


def test_two_writers_of_one_file(tmp_path):
    """Sees a reader meet half of each writer's file, or a writer whose own file the other took away."""
    process = start(TWO_WRITERS, str(tmp_path))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out == "['page.html', 'table.csv', 'table.npz']\n"
