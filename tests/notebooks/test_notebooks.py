"""Every notebook as a user runs it: at its defaults, tiny, and on the real columns."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
from executed import ROOT, papermill

TABLES = {"01_assumption": ("1a", "1b", "A", "B", "C"), "02_na_rs": ("2", "D", "E")}
GAINS = {"01_assumption": "gains_assumption.csv", "02_na_rs": "gains_search.csv"}
TINY = {
    "01_assumption": "-p d 2 -p n_top 10 -p n_sample 20 -p repeats 2 -p epoch 1 -p trial mean",
    "02_na_rs": "-p steps 5 -p n_nbr 3 -p runs 4 -p aggregator max -p epoch 0 -p bo_runs 0",
}
pytestmark = pytest.mark.notebooks


def written(folder: Path, source: str, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / source / f"table_{table}.csv")


def rivals(folder: Path, source: str) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / source / "rivals.csv")


@pytest.mark.parametrize("stem", TABLES)
def test_defaults_write_every_table(stem, tmp_path):
    """Sees a notebook that fails at its defaults, leaves a table out or puts published numbers under 'ours'."""
    done = papermill(stem, tmp_path, cwd=ROOT / "notebooks")
    assert done.returncode == 0, done.stderr[-2000:]
    for table in TABLES[stem]:
        frame = written(tmp_path, "digits201", table)
        assert frame.ours.notna().all() and frame.n.notna().all()
        assert frame.paper.isna().all()
        judged = frame[frame.column.isin(["digits", "digits-shifted", "digits-rotated"])]
        assert judged.note.str.contains("stands for").all()
        assert frame.setting.str.contains("digits201, digits-valid/12/x-valid, epoch").all()
    notebook = nbformat.read(tmp_path / f"{stem}.ipynb", 4)
    figures = [
        o for c in notebook.cells for o in c.get("outputs", []) if "application/vnd.plotly.v1+json" in o.get("data", {})
    ]
    assert len(figures) >= 3
    assert not [o for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"]


@pytest.mark.parametrize("stem", TABLES)
def test_parameters_reach_the_tables(stem, tmp_path):
    """Sees a parameter that changes nothing: the setting, the counts or the neighborhood."""
    done = papermill(stem, tmp_path, *TINY[stem].split())
    assert done.returncode == 0, done.stderr[-2000:]
    frame = written(tmp_path, "digits201", TABLES[stem][0])
    if stem == "01_assumption":
        assert set(frame.n) == {5} and frame.setting.str.endswith("epoch 1 of 12, mean over seeds").all()
        assert set(written(tmp_path, "digits201", "B").n) == {2}
    else:
        assert set(frame.n) == {4} and "NA-RS, max" in set(frame.row)
        assert set(rivals(tmp_path, "digits201").evaluations) == {15} and len(rivals(tmp_path, "digits201")) == 8 * 3
        assert frame.note.str.contains("^15 evaluations").all()


@pytest.mark.realdata
@pytest.mark.parametrize("stem", TABLES)
def test_kept_results_are_those_of_the_real_columns(stem, tmp_path, real_table_path):
    """Sees kept CSV files that the shipped notebooks no longer give."""
    done = papermill(stem, tmp_path, "-p", "table", str(real_table_path))
    assert done.returncode == 0, done.stderr[-2000:]
    folders = [folder / "tables" / "nas-bench-201" for folder in (tmp_path, ROOT / "reports")]
    if stem == "01_assumption":
        pd.testing.assert_frame_equal(*(pd.read_csv(folder / "claims_by_epoch.csv") for folder in folders), rtol=1e-4)
    for file in (GAINS[stem], "noise.csv"):
        pd.testing.assert_frame_equal(*(pd.read_csv(folder / file) for folder in folders), rtol=1e-4)
    for table in TABLES[stem]:
        new, kept = written(tmp_path, "nas-bench-201", table), written(ROOT / "reports", "nas-bench-201", table)
        pd.testing.assert_frame_equal(new, kept, rtol=1e-4)
        assert new.paper.notna().any() and new.ours.notna().any() == (table != "A")
    if stem == "02_na_rs":  # Optuna's draws may change with its version
        frames = [rivals(tmp_path, "nas-bench-201"), rivals(ROOT / "reports", "nas-bench-201")]
        new, kept = (frame[~frame.row.str.contains("Bayesian")].reset_index(drop=True) for frame in frames)
        pd.testing.assert_frame_equal(new, kept, rtol=1e-4)
