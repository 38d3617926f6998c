"""The command line: what it prints, and that a mistake is one line and a non-zero exit."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

from flatlib import cli


@pytest.mark.parametrize(
    "command", [(), ("report",), ("sweep",), ("cost",), ("data",), ("data", "import"), ("data", "build")]
)
def test_help_has_an_example(command):
    """Sees a command whose --help shows no example."""
    done = CliRunner().invoke(cli.app, [*command, "--help"])
    assert done.exit_code == 0 and "Example: flatlib" in done.stdout


def test_ctrl_c_is_one_line(tmp_path):
    """Sees a build that ends without a word or leaves a table."""
    words = ["data", "build", str(tmp_path / "new.npz"), "--work", str(tmp_path / "work"), "--processes", "1"]
    stop = "def build(*_, **__): raise KeyboardInterrupt"
    code = f"from flatlib.evaluation import digits201_build\n{stop}\ndigits201_build.build = build\n"
    code += "from flatlib.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 130 and done.stderr == "flatlib: interrupted; what is finished is kept\n"
    assert not (tmp_path / "new.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("data", "import", "absent.pth", "new.npz"), "No such file"),
        (("data", "build", "absent/target.npz"), "no such folder"),
        (("report", "absent.ipynb"), "absent.ipynb"),
    ],
)
def test_mistakes_are_one_line(arguments, expected, tmp_path, monkeypatch, capsys):
    """Sees a traceback, an exit code of 0 or a long message for a user's mistake."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["flatlib", *arguments])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # main sets another
    with pytest.raises(SystemExit) as end:
        cli.main()
    told = capsys.readouterr().err
    assert end.value.code == 1 and told.startswith("flatlib: ") and told.count("\n") == 1 and expected in told
    assert not list(tmp_path.iterdir())


def test_build_refuses_an_existing_target_and_writes_a_table(tmp_path, monkeypatch):
    """Sees an overwritten table, or a build whose keys a search cannot find."""
    from flatlib.evaluation import digits201_build
    from flatlib.tabular.table_file import load_table

    rng = np.random.default_rng(0)
    results = {
        run: (rng.uniform(0, 100, (5260, 12)), rng.uniform(0, 100, 5260))
        for run in [*digits201_build.SEARCH, *digits201_build.JUDGE]
    }
    monkeypatch.setattr(digits201_build, "build", lambda *args, **kwargs: results)
    cli.build(tmp_path / "new.npz", tmp_path / "parts", 1)
    table = load_table(tmp_path / "new.npz")
    assert table.is_whole and table.search_key() == "digits-valid/12/x-valid" and len(table.targets()) == 3
    with pytest.raises(ValueError, match="exists already; name a new file"):
        cli.build(tmp_path / "new.npz", tmp_path / "parts", 1)
