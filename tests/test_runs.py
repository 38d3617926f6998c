"""Sees a run folder that lies: a half-written file, a foreign checkpoint taken for its own, two processes in one."""

import errno
import json
import os
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from flatlib.run import checkpoint, folder
from flatlib.run.checkpoint import RunError, RunStoppedError, write_beside
from flatlib.run.config import make
from flatlib.run.folder import Result
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Epoch, Run, SearchTrace
from flatlib.spaces import Genotype

CONFIG = SearchConfig(epochs=2)
PAIRS = (("sep_conv_3x3", 0), ("skip_connect", 1)) * 4
CELL = Genotype(PAIRS, (2, 3, 4, 5), PAIRS, (2, 3, 4, 5))
ALPHAS = np.random.default_rng(0).dirichlet(np.ones(8), (3, 2, 14))
LINES = tuple(Epoch(at, *np.random.default_rng(at).random(7).tolist(), float("nan"), 0.1, 2.5) for at in (1, 2))


def open_run(runs_dir, config):
    return folder.open_run(Run.path(runs_dir, config), Run.identity(config))


def fill(runs_dir, config=CONFIG, *, finished=True, cell=CELL, alphas=ALPHAS):
    with open_run(runs_dir, config) as folder:
        folder.write_config(chunk=5, device="cpu")
        folder.write_trace(SearchTrace(LINES, alphas, alphas[..., 0]))
        if finished:
            folder.write_result(Result(cell, 2, LINES[1]._asdict()).to_json())
    return folder.path


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text and len(text) < 400
    return text


def test_what_is_written_is_read_back(tmp_path):
    run = Run.read(fill(tmp_path))
    assert run.config == CONFIG and run.result.cell == CELL and run.result.epoch == 2
    np.testing.assert_array_equal(run.trace.epochs, LINES)  # to the bit, nan where it was
    np.testing.assert_array_equal(run.trace.alphas, ALPHAS)
    np.testing.assert_array_equal(run.trace.edge_weights, ALPHAS[..., 0])
    assert np.isnan(run.result.final["eigenvalue"]) and run.result.final["train_loss"] == LINES[1].train_loss
    stored = json.loads((run.folder / "config.json").read_text(), parse_constant=pytest.fail)
    assert {"cpu", "cores", "threads", "device"} == set(stored["hardware"]) and stored["chunk"] == 5
    assert make(SearchConfig, stored["parameters"]) == CONFIG and stored["recipe"]["learning_rate"] == 0.025
    json.loads((run.folder / "result.json").read_text(), parse_constant=pytest.fail)  # no NaN, which is no JSON
    assert {path.name for path in run.folder.iterdir()} == {
        ".lock", "config.json", "trace.csv", "alphas.npy", "edge_weights.npy", "result.json"
    }  # fmt: skip


def test_an_architecture_string_is_read_back(tmp_path):
    config = SearchConfig(space="nas-bench-201", cells=3, d=3, epochs=2)
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|"
    path = fill(tmp_path, config, cell=cell, alphas=np.full((3, 1, 6, 5), 0.2))
    assert Run.read(path).result.cell == Run.finished(tmp_path, config).result.cell == cell


def test_folder_names_differ_where_configurations_do(tmp_path):
    configs = [CONFIG, *(replace(CONFIG, **change) for change in ({"seed": 1}, {"d": 5}, {"lam": 0.5}, {"epochs": 3}))]
    names = [Run.path(tmp_path, config).name for config in configs]
    assert len(set(names)) == 5 and names == [Run.path(tmp_path, config).name for config in configs]
    assert re.fullmatch(r"na-darts-digits-darts-seed0-[0-9a-f]{8}", names[0])


@pytest.mark.parametrize("at", ["open", "write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, at):
    path = tmp_path / "trace.csv"
    write_beside(path, lambda file: file.write(b"before"))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if at == "open":
        monkeypatch.setattr("builtins.open", full)
    elif at != "write":
        monkeypatch.setattr(checkpoint.os, at, full)
    with pytest.raises(RunStoppedError) as error:
        write_beside(path, full if at == "write" else lambda file: file.write(b"after"))
    monkeypatch.undo()
    assert "trace.csv: not written (No space left on device)" in one_line(error)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_otherwise_leaves_what_was_there(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_beside(tmp_path / "a", lambda file: file.write(b"half") / 0)
    assert not list(tmp_path.iterdir())


def saved(tmp_path, config=CONFIG):
    with open_run(tmp_path, config) as folder:
        folder.save({"weights": torch.arange(1000.0), "rng": {"state": 2**127 + 1}})
    return folder


def test_a_checkpoint_is_read_back(tmp_path):
    folder = saved(tmp_path)
    state = folder.load()
    assert torch.equal(state["weights"], torch.arange(1000.0)) and state["rng"]["state"] == 2**127 + 1
    assert replace(folder, path=tmp_path).load() is None


class Foreign:
    ran = False

    def __reduce__(self):
        return (setattr, (Foreign, "ran", True))


def test_a_foreign_or_damaged_checkpoint_is_one_line_and_stays(tmp_path):
    folder = saved(tmp_path)
    path = folder.path / "checkpoint.pt"
    whole = path.read_bytes()
    torch.save({"state_dict": 1}, tmp_path / "other.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    torch.save({"format": "flatlib-run", "version": 1, "identity": {}, "state": {}}, tmp_path / "older.pt")
    contents = [
        whole[:-1],
        whole[: len(whole) // 2],
        b"",
        b"\x80",
        b"not a checkpoint",
        pickle.dumps(Foreign()),
        pickle.dumps({"format": "flatlib-run"}),
        *((tmp_path / f"{name}.pt").read_bytes() for name in ("other", "tensor", "older")),
    ]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(RunError, match="damaged, or no checkpoint of this flatlib") as error:
            folder.load()
        assert str(path) in one_line(error) and "move it away" in one_line(error)
        assert path.read_bytes() == content
    assert not Foreign.ran


def test_a_checkpoint_cut_anywhere_is_damaged(tmp_path):
    """Sees a length at which torch's reader fails with the system's error, as if the disk could not be read."""
    folder = saved(tmp_path)
    path = folder.path / "checkpoint.pt"
    whole = path.read_bytes()
    for size in (*range(1, 40), *range(1000, len(whole), 97)):
        path.write_bytes(whole[:size])
        with pytest.raises(RunError, match="damaged, or no checkpoint of this flatlib"):
            folder.load()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"genotype": ', "not valid JSON"),
        ("{}", "no field 'genotype'"),
        ("[1]", "a value of the wrong type"),
        ('{"genotype": {"normal": []}}', "genotype: expected exactly the fields normal"),
    ],
)
def test_a_damaged_result_is_named_plainly(tmp_path, content, says):
    """Sees a Python error's name in place of what is wrong with the file."""
    path = fill(tmp_path)
    (path / "result.json").write_text(content)
    with pytest.raises(RunError, match=rf"cannot be read as a run \(result.json: {says}") as error:
        Run.read(path)
    assert "Error" not in one_line(error)


def test_another_searchs_checkpoint_is_refused(tmp_path):
    other = saved(tmp_path, replace(CONFIG, channels=8))
    folder = replace(other, identity=Run.identity(CONFIG))
    with pytest.raises(RunError, match="belongs to another run") as error:
        folder.load()
    one_line(error)
    fill(tmp_path, replace(CONFIG, channels=8)).rename(Run.path(tmp_path, CONFIG))
    for act in (lambda: Run.finished(tmp_path, CONFIG), lambda: open_run(tmp_path, CONFIG).__enter__()):
        with pytest.raises(RunError, match="holds another run") as error:
            act()
        one_line(error)


def test_a_second_process_is_kept_out(tmp_path):
    with open_run(tmp_path, CONFIG) as folder:
        with pytest.raises(RunError, match="another process is at work") as error, open_run(tmp_path, CONFIG):
            pass
        assert str(folder.path) in one_line(error)
        with open_run(tmp_path, replace(CONFIG, seed=1)):  # another search is not
            pass
    with open_run(tmp_path, CONFIG):  # free again
        pass


def test_an_unusable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("mine")
    Run.path(tmp_path, CONFIG).write_text("mine")
    for runs_dir in (tmp_path / "file", tmp_path / "file" / "below", tmp_path):
        with pytest.raises(RunError, match="cannot be written") as error, open_run(runs_dir, CONFIG):
            pass
        one_line(error)
    assert (tmp_path / "file").read_text() == Run.path(tmp_path, CONFIG).read_text() == "mine"


def test_what_is_no_finished_run_is_left_out_with_a_warning(tmp_path):
    good = fill(tmp_path)
    fill(tmp_path, replace(CONFIG, epochs=5), finished=False)
    for seed, (file, content) in enumerate([
        ("config.json", '{"parameters": {"epoch'),
        ("config.json", '{"parameters": {"epoch": 5}}'),
        ("config.json", "[]"),
        ("trace.csv", "epoch,loss\n1,2\n"),
        ("trace.csv", ""),
        ("trace.csv", ",".join(Epoch._fields) + "\n1,2\n"),
        ("alphas.npy", ""),
        ("alphas.npy", "\x93NUMPY"),
        ("result.json", '{"genotype": {"normal": []}}'),
        ("result.json", "[1]"),
        ("result.json", '{"genotype": '),
    ], 1):  # fmt: skip
        (fill(tmp_path, replace(CONFIG, seed=seed)) / file).write_text(content)
    (tmp_path / "notes").mkdir()  # nobody's business
    with pytest.warns(UserWarning) as warned:
        runs = Run.read_all(tmp_path)
    assert [run.folder for run in runs] == [good]
    texts = [str(warning.message) for warning in warned]
    assert len(texts) == 12 and not any("\n" in text for text in texts)
    assert sum("not finished" in text for text in texts) == 1
    assert Run.read_all(tmp_path / "absent") == []
