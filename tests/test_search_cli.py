"""Sees a killed search that ends otherwise than one left alone, and a mistake that is not told in one line at once."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest
from kept import kept

from flatlib.run import command_line
from flatlib.run.checkpoint import load_checkpoint
from flatlib.run.folder import open_run
from flatlib.search import __main__ as command
from flatlib.search.__main__ import Options
from flatlib.search.bilevel import Learner
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.spaces import parse_genotype

pytestmark = pytest.mark.usefixtures("own_warnings")
TINY = SearchConfig(channels=2, cells=3, epochs=2, n_nbr=2, n_train=64, batch_size=8, device="cpu")
WORDS = [
    f"--{name}={getattr(TINY, name)}" for name in ("channels", "cells", "epochs", "n_train", "batch_size", "device")
]
WORDS += ["--n-nbr", "2"]
BARE = """
import sys
for name in ("pydantic", "pandas", "plotly", "typer", "tqdm"):
    sys.modules[name] = None  # importing it is an ImportError
import time
from flatlib.search import __main__ as command
from flatlib.search.search import Searcher

command.estimate, main = lambda *_, **__: "", command.main
plain, last, done = Searcher.step, int(sys.argv[1]), []

def step(self):
    done.append(len(done) < last or time.sleep(60))  # so that it cannot end before it is killed
    plain(self)

Searcher.step = step
sys.exit(main(sys.argv[2:]))
"""
main = command.main


def read_arguments(words):
    return command_line.read_arguments(words, SearchConfig, Options)


def state(path, config=TINY):
    return kept(path, Run.identity(config))


def test_a_killed_search_goes_on_to_the_same_bits(tmp_path, capsys):
    """SIGKILL after a random step, wherever the process is then; what is left is whole at each moment."""
    assert main([*WORDS, "--runs_dir", str(tmp_path / "whole")]) == 0
    whole = Run.path(tmp_path / "whole", TINY)
    assert str(whole) in capsys.readouterr().out

    path = Run.path(tmp_path / "killed", TINY)
    words = [*WORDS, "--runs_dir", str(tmp_path / "killed"), "--checkpoint-seconds", "0"]
    target = int(np.random.default_rng().integers(1, 8))
    last = str(min(target + 2, 7))
    process = subprocess.Popen(
        [sys.executable, "-c", BARE, last, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        while process.poll() is None:
            kept = load_checkpoint(path / "checkpoint.pt", Run.identity(TINY))
            if kept and 4 * len(kept["trace"]) + kept["step"] >= target:
                break
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert not (path / "result.json").exists()
    (path / "checkpoint.pt.part").write_bytes(b"half")  # as of a kill while it was written

    assert main(words) == 0
    assert not capsys.readouterr().err
    assert state(path) == state(whole), f"killed after step {target}"
    ours, theirs = Run.read(path), Run.read(whole)
    assert repr([line[:-1] for line in ours.trace.epochs]) == repr([line[:-1] for line in theirs.trace.epochs])
    np.testing.assert_array_equal(ours.trace.alphas, theirs.trace.alphas)
    assert ours.result.cell == theirs.result.cell


def test_what_it_prints_and_that_a_finished_search_is_read(tmp_path, capsys, monkeypatch):
    words = [*WORDS, "--epochs", "1", "--n_train", "32", "--runs_dir", str(tmp_path), "--runs", "2"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"2 of 2 runs to do, each: about \S+ s for 1 epochs of 2 steps \(\S+ s a step\), \d\.\d GB; "
        r"2 of 2 neighbors at once", lines[0]
    )  # fmt: skip
    assert re.match(
        r"seed 0, epoch 1/1: train_loss \d\.\d+, train_accuracy .*, valid_loss .*, entropy 2\.0\d+, .* left", lines[1]
    )
    config = replace(TINY, epochs=1, n_train=32)
    assert parse_genotype(lines[2]) == Run.read(Run.path(tmp_path, config)).result.cell
    assert lines[3] == str(Run.path(tmp_path, config)) and lines[4].startswith("seed 1, ")
    monkeypatch.setattr("flatlib.search.search.load_images", None)
    assert main(words) == 0
    again = capsys.readouterr().out.splitlines()
    assert again[:2] == [lines[2], f"read from {lines[3]}"] and again[4:] == lines[7:]
    assert any(re.fullmatch(r"valid_accuracy: \S+ \+- \S+ \(n = 2\)", line) for line in again)


# --- mistakes -------------------------------------------------------------------------------------


def refused(words, says, capsys, code=2):
    assert main(words) == code
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and told.err.startswith("flatlib.search: ") and "seed 0" not in told.out
    assert re.search(says, told.err), told.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--n_nbrs", "3"], r"n_nbrs = '3': no such parameter; did you mean 'n_nbr'\? \(int at least 1\)"),
        (["--run", "3"], "did you mean 'runs'"),
        (["--n_nbr", "three"], "n_nbr = 'three': allowed: int at least 1"),
        (["--n_nbr", "2.5"], "n_nbr = '2.5': allowed: int at least 1"),
        (["--n_nbr", "0"], "n_nbr = 0: allowed"),
        (["--eps", "nan"], "eps = nan: allowed: float above 0 and below 1"),
        (["--lam", "inf"], "lam = inf: allowed"),
        (["--lam", "-1"], "lam = -1.0: allowed"),
        (["--method", "na_darts"], "method = 'na_darts': allowed: na-darts, darts"),
        (["--runs", "0"], "runs = 0: allowed: int at least 1"),
        (["--order", "2"], "order = 2 with method = na-darts"),
        (["--seed"], "seed = '': allowed: int"),
        (["--seed", "--d", "3"], "seed = '--d': allowed: int"),
        (["absent.yaml"], "absent.yaml: no such file"),
        (["--batch_size", "700"], "batch_size = 700: allowed: 2 to 600"),
        (["--dataset", "cifar10", "--data_dir", "absent"], "flatlib data fetch cifar10"),
        (["--n_train", "5000"], "n_train 5,000: digits has 1,200"),
        (["--runs_dir", "file"], "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_before_any_work(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("flatlib.search.__main__.estimate", lambda *_, **__: "")
    monkeypatch.setattr(Learner, "weight_step", None)
    refused(words, says, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_at_work_or_with_a_foreign_checkpoint_is_one_line(tmp_path, capsys):
    words = [*WORDS, "--runs_dir", str(tmp_path)]
    with open_run(Run.path(tmp_path, TINY), Run.identity(TINY)) as folder:
        refused(words, "another process is at work on this run", capsys)
    (folder.path / "checkpoint.pt").write_bytes(b"mine")
    refused(words, "damaged, or no checkpoint of this flatlib", capsys)
    assert (folder.path / "checkpoint.pt").read_bytes() == b"mine"


def test_a_search_that_has_to_stop_is_one_line_and_exit_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("flatlib.search.search.augment", lambda images, *_: images.float() * np.inf)
    assert main([*WORDS, "--runs_dir", str(tmp_path)]) == 1
    assert re.fullmatch(r"flatlib.search: .*(not finite|nan).*\n", capsys.readouterr().err)


def test_ctrl_c_is_one_line_and_exit_130(tmp_path, capsys, monkeypatch):
    plain = Learner.weight_step

    def interrupted(self, batch):
        if self.epoch == 1 and self.steps == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, batch)

    monkeypatch.setattr("flatlib.search.__main__.estimate", lambda *_, **__: "")
    monkeypatch.setattr(Learner, "weight_step", interrupted)
    assert main([*WORDS, "--runs_dir", str(tmp_path)]) == 130
    told = capsys.readouterr().err
    assert re.fullmatch(
        r"flatlib.search: interrupted; .* keeps the last checkpoint, and the same command goes on .*\n", told
    )


def test_without_scikit_learn_digits_are_refused_and_nothing_heavy_is_imported(tmp_path):
    program = """
import sys
sys.modules["sklearn"] = None
from flatlib.search.__main__ import main
code = main(sys.argv[1:])
heavy = {"pydantic", "pandas", "plotly", "typer", "scipy", "IPython"} & {name.split(".")[0] for name in sys.modules}
sys.exit(f"imported: {heavy}" if heavy else code)
"""
    words = [*WORDS, "--runs_dir", str(tmp_path / "runs")]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and not done.stdout, done.stderr
    assert re.fullmatch(r"flatlib.search: digits need scikit-learn: .*--dataset cifar10\n", done.stderr)
    assert not (tmp_path / "runs").exists()


def test_help_tells_every_parameter(capsys):
    """Sees a parameter that the help text leaves out, or a default or limit that is not told."""
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for f in (*fields(SearchConfig), *fields(Options)):
        assert re.search(rf"--{f.name} {re.escape(repr(f.default))} +{re.escape(f.metadata['help'])} \(", told)
    assert "example: python -m flatlib.search" in told


# --- the file -------------------------------------------------------------------------------------


def test_a_flat_file_is_read_and_the_command_line_wins(tmp_path):
    path = tmp_path / "search.yaml"
    path.write_text(
        "# a search\r\n\r\nmethod: darts   # plain\r\neps: 1e-3\r\nlam: 2\r\nd: 3 #three\r\n"
        "space: 's3'\r\naggregator : \"max\"\r\nruns: 4\r\nruns_dir: my runs/#1\r\ndata_dir: 2024\r\n",
        encoding="utf-8",
    )
    config, options = read_arguments([str(path), "--d", "5", "--runs-dir=here"])
    assert config == SearchConfig(method="darts", eps=1e-3, lam=2, d=5, space="s3", aggregator="max")
    assert options == Options(runs=4, runs_dir="here", data_dir="2024")
    assert read_arguments([str(path)])[1].runs_dir == "my runs/#1"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"# one\nseed: 1\n- d\n", "search.yaml, line 3: '- d' is not flat; expected 'name: value'"),
        (b"d: [1, 2]\n", r"d = '\[1, 2\]': allowed: int"),
        (b"d: |\n", r"d = '\|': allowed: int"),
        (b"d:\n", "d = '': allowed: int"),
        (b"\xff\xfe\x00", "line 1: .* is not flat"),
        (b"sead: 1\n", "sead = '1': no such parameter; did you mean 'seed'"),
        (None, "search.yaml: no such file"),
    ],
)
def test_another_file_is_one_line(content, says, tmp_path, capsys):
    path = tmp_path / "search.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    refused([str(path)], says, capsys)
