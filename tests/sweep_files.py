"""A small sweep, and what the tests of sweeps share."""

import subprocess
import sys
from pathlib import Path

from flatlib.sweep.plan import NOTEBOOKS

READY = sorted((NOTEBOOKS / "sweeps").glob("*.yaml"))
TINY = """
name: tiny
about: <b>two</b> radii
stages:
  - id: searches
    notebook: 03_na_darts
    parameters: {beside: none, epochs: 24, n_train: 128, batch_size: 16, channels: 2,
                 cells: 3, n_nbr: 3}
    grid: {d: [2, 6]}
  - id: found
    notebook: 04_evaluation
    each: searches
    parameters: {train: found, runs: 1, epochs: 1, n_train: 64, channels: 4, cells: 3}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def flatlib(*arguments: str, **more: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "from flatlib.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **more)
