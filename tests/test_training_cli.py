"""Sees a training's command that hides what it takes and found, or a mistake that is not told in one line at once."""

import re
from dataclasses import replace

import pytest
from test_training import TINY, WORDS

from flatlib.evaluation import __main__ as command
from flatlib.evaluation import training
from flatlib.evaluation.runs import EvaluationRun
from flatlib.evaluation.training import Trainer

pytestmark = pytest.mark.usefixtures("own_warnings")


def test_what_it_prints_and_that_a_finished_training_is_read(tmp_path, capsys, monkeypatch):
    """Sees an estimate, a mean or a folder that is not told, or a training made twice."""
    words = [*WORDS, "--runs_dir", str(tmp_path), "--runs", "2"]
    assert command.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"2 of 2 runs to do, each: about \S+ \w+ for 2 epochs of 4 steps \(\S+ s a step\), "
        r"\d\.\d GB", lines[0]
    )  # fmt: skip
    assert re.match(r"seed 0, epoch 1/2: train_loss \d\.\d+, train_accuracy .*, test_accuracy .* left", lines[1])
    assert lines[3].startswith("Genotype(") and lines[4] == str(
        EvaluationRun.path(tmp_path, replace(TINY, device="auto"))
    )
    assert any(re.fullmatch(r"test_accuracy: \S+ \+- \S+ \(n = 2\)", line) for line in lines[9:])
    monkeypatch.setattr(training, "batches_of", None)
    assert command.main(words) == 0
    again = capsys.readouterr().out.splitlines()
    assert [line.replace("read from ", "") for line in again] == [*lines[3:5], *lines[7:]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cell", "DARTS_V3"], "no such published cell"),
        (["--cell", "Genotype(normal=[1])"], "genotype: expected exactly the fields"),
        (["--cell", '{"normal": []}'], "expected exactly the fields"),
        (["--cell", "no/such/run"], "no/such/run"),
        (["--dataset", "cifar10"], "no data/cifar-10-batches-bin; get it: flatlib"),
        (["--dataset", "imagenet", "--cells", "14"], "data/train: no images"),
        (["--n_classes", "7"], "n_classes = 7: digits has 10"),
        (["--auxiliary", "0.4"], "auxiliary = 0.4: digits"),
        (["--batch_size", "2000"], "batch_size = 2000: allowed: 2 to 1,200"),
        (["--precision", "tf32"], "precision = tf32: only a GPU has it"),
        (["--epochs", "0"], "epochs = 0: allowed: int at least 1"),
        (["--channel", "8"], "no such parameter; did you mean 'channels'"),
        (["--cells", "9", "--dataset", "cifar10", "--channels", "3"], "channels = 3: allowed: even numbers"),
        (["--cells", "4", "--cell", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "three stages"),
        (["--drop_path", "0.2", "--cells", "3", "--cell", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "none"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_any_work(words, says, tmp_path, monkeypatch, capsys):
    """Sees a traceback, a folder left behind, or a mistake found after an hour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLATLIB_DATA", raising=False)
    monkeypatch.setattr(Trainer, "step", None)
    assert command.main([*words, "--device", "cpu"]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and says in told.err and not told.out
    assert not list(tmp_path.iterdir())
