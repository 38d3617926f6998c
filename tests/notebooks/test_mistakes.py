"""Sees a mistake in a notebook's parameters that runs with other values, is found after work, or is told as a stack."""

import re

import pytest
from executed import ROOT, papermill

from flatlib.run.config import make
from flatlib.search.config import METHODS
from flatlib.sweep.plan import MODELS

pytestmark = pytest.mark.notebooks
OF = f"allowed: each run as it is and with na-; of {' '.join(METHODS)}"
SAYS = {  # notebook, a parameter, its value -> what the line says
    ("03_na_darts", "order", 2): "order = 2 with method = na-darts: only darts and darts-es unroll; use order = 1",
    ("05_s3_and_variants", "methods", "darts foo"): f"methods = 'darts foo': foo: no such method; {OF}",
    ("04_evaluation", "train", "DARTS_V3"): "'DARTS_V3': no such published cell, JSON file or run folder",
    ("04_evaluation", "auxiliary", 0.4): "auxiliary = 0.4: digits, whose images are too small for it",
    ("07_cells", "cells", "DARTS_V3"): "cells = 'DARTS_V3': not published cells; there are NASNet-A, ",
    ("07_cells", "cells", " ;"): "cells = ' ;': not published cells; there are NASNet-A, ",
    ("06_loss_landscape", "grid", 1): "grid = 1",
    ("06_loss_landscape", "grid", 10): "grid = 10: allowed: 3, 5, 7, ..., so that (0, 0) is a point of the grid",
    ("06_loss_landscape", "n_valid", 5): "n_valid = 5: less than a batch; allowed: 32 or more, or 0: all",
    ("06_loss_landscape", "methods", "dart"): "dart: no such method",
    ("06_loss_landscape", "folders", "nowhere"): "nowhere: no folder of a finished search (no result.json)",
}


@pytest.mark.parametrize(("at", "says"), SAYS.items(), ids=[" ".join(map(str, at)) for at in SAYS])
def test_a_value_that_cannot_serve_is_one_line(at, says, tmp_path, monkeypatch):
    """Of the parameters as the notebooks and sweeps check them."""
    monkeypatch.setenv("FLATLIB_DATA", str(tmp_path))
    stem, name, value = at
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        make(MODELS[stem], {name: value, "runs_dir": str(tmp_path / "runs")})
    assert "\n" not in str(caught.value) and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("stem", "name", "value", "lines"),
    [
        ("01_assumption", "d_", "6", ["d_ = 6: no such parameter; did you mean 'd'? (int at least 1 and at most 6)"]),
        ("02_na_rs", "d_", "6", ["d_ = 6: no such parameter; did you mean 'd'? (int at least 1 and at most 6)"]),
        (
            "03_na_darts",
            "d 15 dd",
            "6",
            [
                "d = 15: allowed: int at least 0 and at most 14 (edges perturbed in each cell type, Sec. D.1)",
                "dd = 6: no such parameter; did you mean 'd'? (int at least 0 and at most 14)",
            ],
        ),
        ("04_evaluation", "dataset", "cifar10", ["dataset = 'cifar10': no /"]),
        ("05_s3_and_variants", "methods", "darts foo", [SAYS["05_s3_and_variants", "methods", "darts foo"]]),
        ("06_loss_landscape", "gird", "21", ["did you mean 'grid'"]),
        ("07_cells", "cells", "DARTS_V3", [SAYS["07_cells", "cells", "DARTS_V3"]]),
    ],
)
def test_it_ends_the_run_before_any_work(stem, name, value, lines, tmp_path, monkeypatch):
    """Under papermill, which alone would let most of them through."""
    monkeypatch.setenv("FLATLIB_DATA", str(tmp_path))
    words = [*name.split(), value]
    given = [word for at in range(0, len(words), 2) for word in ("-p", *words[at : at + 2])]
    done = papermill(stem, tmp_path, *given, cwd=ROOT / "notebooks")
    assert done.returncode != 0
    told = done.stderr.strip().splitlines()
    assert told[-len(lines) - 1].startswith("Exception encountered")
    assert all(line in of for line, of in zip(lines, told[-len(lines) :], strict=True))
    assert not {"runs", "tables"} & {path.name for path in tmp_path.iterdir()}
