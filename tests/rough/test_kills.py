"""Sees a half-written file under its final name, work that is lost, or processes left running after a SIGKILL."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from flatlib.evaluation import digits201_build
from flatlib.evaluation.digits201 import Recipe
from flatlib.evaluation.digits201_build import build
from flatlib.run.checkpoint import RunError, RunStoppedError
from flatlib.run.folder import open_run

ROOT = Path(__file__).parents[2]
CLASSES = np.arange(0, 15_625, 125)  # two parts
OPTIONS = {"recipe": Recipe(epochs=1), "classes": CLASSES, "runs": [("digits", 0)]}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_twenty_kills_at_random_moments():
    """Sees, in any kind of work, what benchmarks/kills.py looks for; its first line has the seed."""
    command = [sys.executable, str(ROOT / "benchmarks" / "kills.py"), "--kills", "20"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    found = [re.fullmatch(r"([\w ]+): (\d+) kills .*the same bits (\d+) of (\d+) times; no .*", line) for line in lines]
    assert [match[1] for match in found[1:]] == [
        "search", "evaluation training", "landscape", "table build", "table import", "report export", "CSV files"
    ]  # fmt: skip
    assert sum(int(match[2]) for match in found[1:]) == 20 and all(match[3] == match[4] for match in found[1:])


def test_a_killed_worker_is_one_line_and_its_parts_are_measured_again(tmp_path):
    """Sees a build that waits for a worker that the system killed, or one that is ended with a traceback."""

    def kill_one(done, **_):
        worker = multiprocessing.active_children()[0]
        os.kill(worker.pid, signal.SIGKILL)
        return done

    with pytest.raises(BrokenProcessPool) as error:
        build(tmp_path / "killed", processes=1, progress=kill_one, **OPTIONS)
    assert len(str(error.value).splitlines()) == 1
    again = build(tmp_path / "killed", processes=1, **OPTIONS)
    whole = build(tmp_path / "whole", processes=1, **OPTIONS)
    assert all(np.array_equal(*pair) for pair in zip(again["digits", 0], whole["digits", 0], strict=True))


def test_a_full_disk_ends_a_build_at_once(tmp_path, monkeypatch):
    """Sees a build that measures every other part for nothing once one could not be written."""
    begun = tmp_path / "begun"
    begun.mkdir()

    def full(path, writer):
        if path.suffix == ".npz":
            (begun / path.name).touch()
            raise RunStoppedError(f"{path}: not written (No space left on device)")

    monkeypatch.setattr(digits201_build, "write_beside", full)
    monkeypatch.setattr(digits201_build, "measure", lambda *_: (None, None))
    monkeypatch.setattr(digits201_build, "load_digits201", lambda *_: None)
    with pytest.raises(RunStoppedError, match="No space left on device"):
        build(tmp_path / "work", processes=1, recipe=Recipe(epochs=1), runs=[("digits", 0)])  # 83 parts
    assert len(list(begun.iterdir())) < 20


@pytest.mark.parametrize("how", ["cut", "foreign", "other cells", "objects", "empty"])
def test_a_damaged_part_is_one_line_that_says_what_to_do(tmp_path, how):
    """Sees half an hour of parts given up for a traceback, a part of other cells taken, or code in one that runs."""
    path = tmp_path / "digits_0_00000.npz"
    good = {"rows": CLASSES[:64], "valid": np.zeros((64, 1)), "test": np.zeros(64)}
    other = {"foreign": {"a": np.zeros(3)}, "other cells": good | {"rows": CLASSES[1:65]}}
    np.savez(path, **(good | {"valid": np.array([print] * 64)} if how == "objects" else other.get(how, good)))
    path.write_bytes({"cut": path.read_bytes()[:-30], "empty": b""}.get(how, path.read_bytes()))
    np.savez(tmp_path / "digits_0_00064.npz", **{name: value[:61] for name, value in good.items()})
    with pytest.raises(RunError, match=r"digits_0_00000.npz: damaged \(.+\); remove it, and the same command") as error:
        build(tmp_path, processes=1, **OPTIONS)
    assert len(str(error.value).splitlines()) == 1


def test_what_a_kill_left_is_removed_by_the_next_run(tmp_path):
    """Sees a folder that grows by a half-written checkpoint, of any size, with every kill."""
    (tmp_path / "checkpoint.pt.123.part").write_bytes(b"half")
    with open_run(tmp_path, {}):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
