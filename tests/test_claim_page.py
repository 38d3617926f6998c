"""The paper's claims, one by one: sees a verdict that the numbers do not give, or a number that is not the paper's."""

import math
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import nbformat
import numpy as np
import pandas as pd
import pytest

from flatlib import published
from flatlib.display import claim_page, report
from flatlib.display.claim_page import VERDICTS, claims_context, read_claims, tally, together
from flatlib.display.exporter import FlatlibExporter
from flatlib.display.reproduction import COLUMNS, REAL
from flatlib.tabular.gains import Gain, Mean, difference, mean_gain

ROOT = Path(__file__).parents[1]
CLAIMS = {claim.id: claim for claim in read_claims()}
THREE = ("CIFAR-10", "CIFAR-100", "ImageNet-16-120")
GAINS = {"holds": (0.3, 0.1, 0.5), "does not hold": (-0.3, -0.5, -0.1), "undecided": (0.1, -0.2, 0.4)}


def findings(claim, folders):
    """The page's findings, their fields as attributes."""
    found = claim_page.findings(claim, folders)
    return [SimpleNamespace(**one | {"lines": [SimpleNamespace(**line) for line in one["lines"]]}) for one in found]


def by_epoch(folder: Path, *gains: tuple[float, float, float], name: str = "flat", **own) -> Path:
    lines = [
        {"claim": name, "f": "cifar10-valid/200/x-valid", "epoch": 90, "seeds": 2, "column": column}
        | dict(zip(("value", "low", "high"), gain, strict=True))
        | own
        for column, gain in zip(THREE, gains, strict=True)
    ]
    return written(folder, "claims_by_epoch.csv", lines)


def compared(folder: Path, file: str, *lines: tuple) -> Path:
    """Lines of a gains file: table, row, rival, column, then a gain."""
    names = ("table", "row", "rival", "column", "value", "low", "high")
    place = {"f": "cifar10-valid/200/x-valid", "epoch": 200, "seeds": 3}
    return written(folder, file, [place | dict(zip(names, line, strict=True)) for line in lines])


def trained(folder: Path, file: str, *lines: tuple) -> Path:
    """Lines of a table: row, column, mean, std, n, setting, note."""
    names = ("row", "column", "ours", "ours_std", "n", "setting", "note")
    frame = pd.DataFrame([dict(zip(names, line, strict=True)) for line in lines]).reindex(columns=COLUMNS)
    return written(folder, file, frame)


def written(folder: Path, file: str, lines) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    before = pd.read_csv(folder / file) if (folder / file).exists() else None
    pd.concat([before, pd.DataFrame(lines)]).to_csv(folder / file, index=False)
    return folder


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", GAINS)
def test_a_verdict_is_what_the_intervals_say(verdict, tmp_path):
    """Sees a verdict that does not follow the numbers, or that reads the file's own word for it."""
    folder = by_epoch(tmp_path, *[GAINS[verdict]] * 3, verdict="holds")
    (one,) = findings(CLAIMS["flat"], {REAL: folder})
    assert one.own and one.verdict == verdict and [line.verdict for line in one.lines] == [verdict] * 3
    assert [line.what for line in one.lines] == [f"{column}: Flat minima against Sharp minima" for column in THREE]
    assert one.lines[0].published == "6.23 against 6.66" and one.lines[1].published == "28.90 against 30.00"
    assert one.setting == "f is cifar10-valid/200/x-valid, 2 seeds, which must agree"
    assert one.lines[0].measured == "f after epoch 90 of 200"


@pytest.mark.parametrize(
    ("verdicts", "one"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "undecided"], "undecided"),
        (["holds", "undecided", "does not hold"], "does not hold"),
        (["holds", "not measured here"], "undecided"),
        (["not measured here"], "not measured here"),
        ([], "not measured here"),
    ],
)
def test_one_verdict_of_several(verdicts, one):
    """Sees a claim about three data sets that holds because of one."""
    assert together(verdicts) == one


def test_an_epoch_that_is_not_the_papers_is_named(tmp_path):
    """Sees f after 200 epochs shown as if it were the paper's, or another f in its place."""
    folder = by_epoch(tmp_path, *[GAINS["holds"]] * 3, epoch=200)
    for epoch in (1, 2, 5, 8):  # 8 to 67 % of the training
        gain = GAINS["holds" if epoch == 2 else "does not hold"]
        by_epoch(tmp_path, *[gain] * 3, f="cifar10-valid/12/x-valid", epoch=epoch)
    (one,) = findings(CLAIMS["flat"], {REAL: folder})
    assert one.verdict == "holds" and {line.measured for line in one.lines} == {"f after epoch 200 of 200"}
    (every,) = findings(CLAIMS["flat-epochs"], {REAL: folder})
    assert every.verdict == "does not hold" and len(every.lines) == 6 and "cifar10-valid/12/x-valid" in every.setting
    epochs = [(line.measured, line.verdict) for line in every.lines[:2]]
    assert epochs == [("f after epoch 2 of 12", "holds"), ("f after epoch 5 of 12", "does not hold")]


def test_the_other_order_of_rows_turns_the_gain_around(tmp_path):
    """Sees 'the maximum is worse' held up by a maximum that is better."""
    lines = [("B", "Ours - max", "Baseline", column, *GAINS["does not hold"]) for column in THREE]
    (one,) = findings(CLAIMS["max-ranks-worse"], {REAL: compared(tmp_path, "gains_assumption.csv", *lines)})
    assert one.verdict == "holds" and one.lines[0].gain == "+0.300 tau (+0.100 to +0.500)"


def test_columns_of_one_claim_may_point_to_both_sides(tmp_path):
    """Sees flatness and error judged by the same sign in 'flat, but worse'."""
    lines = [("C", "Ours - max", "Baseline", "Neighbor-Std", *GAINS["holds"])]
    lines += [("C", "Ours - max", "Baseline", column, *GAINS["does not hold"]) for column in THREE]
    folder = compared(tmp_path, "gains_assumption.csv", *lines)
    (flat,) = findings(CLAIMS["max-finds-worse"], {REAL: folder})
    assert flat.verdict == "holds" and len(flat.lines) == 4
    (mean,) = findings(CLAIMS["mean-finds-flat"], {REAL: folder})
    assert mean.verdict == "not measured here"


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.1, -0.4, 0.4), "holds"), ((0.3, -0.1, 0.7), "undecided"), ((-0.9, -1.0, -0.5), "does not hold")],
)
def test_close_is_a_margin(interval, verdict, tmp_path):
    """Sees 'close' judged by whether the interval holds 0: a wide one would always be close."""
    pairs = [(f"NA-RS - {name}, n_nbr = 25", f"NA-RS - {name}, n_nbr = 10") for name in ("mean", "median")]
    lines = [("E", *pair, column, *interval) for pair in pairs for column in THREE]
    (one,) = findings(CLAIMS["ten-neighbors"], {REAL: compared(tmp_path, "gains_search.csv", *lines)})
    assert one.verdict == verdict and len(one.lines) == 6


# --- trainings ------------------------------------------------------------------------------------

ON, OTHER = "cells found on digits; digits, 5 epochs", "cells epochs 24, found on digits; digits, 5 epochs"
NA_ON = "cells d 4, n_nbr 5, found on digits; digits, 5 epochs"
ERROR, STANDS = "Test Error / digits", "stands for Test Error / CIFAR-10"


def test_only_searches_of_one_setting_are_compared(tmp_path):
    """Sees 24 epochs of search against 8, a published cell against a found one, or a neighborhood's own parameters
    taken for another setting."""
    folder = trained(
        tmp_path,
        "table_6.csv",
        (
            "NA-DARTS (Ours)",
            ERROR,
            1.0,
            0.1,
            9,
            NA_ON,
            "na, 9 different cells; seed noise of one training 0.05; stands for CIFAR-10",
        ),
        ("DARTS", ERROR, 2.0, 0.1, 9, ON, "darts, 9 different cells; seed noise 0.05; stands for CIFAR-10"),
        ("DARTS", ERROR, 0.1, 0.1, 99, OTHER, "darts, 99 different cells"),
        ("DARTS", ERROR, 0.1, 0.1, 99, "published cells; digits, 5 epochs", "DARTS_V1, 1 different cell"),
    )
    own, stand_in = findings(CLAIMS["s3"], {"digits": folder})
    assert (
        own.verdict == "not measured here"
        and CLAIMS["s3"].missing == "gpu"
        and own.lines[1].published == "18.86 ± 0.49 against 22.49 ± 2.62"
    )
    assert stand_in.verdict == "holds" and len(stand_in.lines) == 1 and not stand_in.own
    assert stand_in.lines[0].measured == "1.00 ± 0.10 (n = 9) against 2.00 ± 0.10 (n = 9)"
    assert stand_in.lines[0].published == "" and stand_in.noise == "seed noise of one training 0.05"


def test_trainings_of_one_cell_are_one_draw(tmp_path):
    """Sees two trainings of one search's cell decide what searches are worth."""
    lines = [
        (row, ERROR, error, 0.01, 20, ON, f"x, 1 different cell; {STANDS}") for row, error in (("mean", 1), ("max", 2))
    ]
    _, one = findings(CLAIMS["mean-beats-max"], {"digits": trained(tmp_path, "table_Fa.csv", *lines)})
    assert one.verdict == "undecided" and one.lines[0].gain == "+1.00 points (no interval: a single draw)"
    assert one.lines[0].measured.endswith("(n = 20 of 1 cell)")


def test_a_stand_in_measures_only_what_it_stands_for(tmp_path):
    """Sees digits, which stand for CIFAR-10, shown beside a claim about CIFAR-100 or ImageNet."""
    rows = ("NA-DARTS (Ours)", "DARTS 1st", "DARTS 2nd")
    folder = trained(
        tmp_path,
        "table_3.csv",
        *[(row, ERROR, 2, 0.1, 5, ON, "stands for Top-1 Test Error / CIFAR-10") for row in rows],
    )
    for name in ("gain-cifar100", "gain-imagenet"):
        assert [one.verdict for one in findings(CLAIMS[name], {"digits": folder})] == ["not measured here"]
    assert len(findings(CLAIMS["na-darts"], {"digits": folder})) == 2


def test_a_part_of_the_comparisons_is_not_the_claim(tmp_path):
    """Sees 'the best of all methods' held up by one method that it was compared with."""
    of = {"table_3.csv": "Top-1 Test Error / CIFAR-10", "table_4.csv": "Test Error / CIFAR-10"}
    for file, column in of.items():
        errors = {"NA-DARTS (Ours)": 1, "DARTS 1st": 2}
        lines = [(row, ERROR, error, 0.1, 9, ON, f"stands for {column}") for row, error in errors.items()]
        folder = trained(tmp_path, file, *lines)
    _, both_orders = findings(CLAIMS["na-darts"], {"digits": folder})
    assert [line.verdict for line in both_orders.lines] == ["holds", "not measured here"]
    _, all_methods = findings(CLAIMS["state-of-the-art"], {"digits": folder})
    assert both_orders.verdict == all_methods.verdict == "undecided" and len(all_methods.lines) == 11


def test_the_papers_own_data_comes_first(tmp_path):
    """Sees CIFAR's trainings shown as a stand-in, or counted for one."""
    column = "Top-1 Test Error / CIFAR-100"
    lines = [("NA-DARTS (Ours)", column, 16.5, 0.1, 4, ON, ""), ("DARTS 1st", column, 17.7, 0.8, 4, ON, "")]
    (one,) = findings(CLAIMS["gain-cifar100"], {published.IMAGES: trained(tmp_path, "table_3.csv", *lines)})
    assert one.own and one.verdict == "undecided"  # 2.6 standard errors with 3.1 degrees of freedom
    assert one.lines[0].gain == "+1.20 points (-0.26 to +2.66)"
    assert one.lines[0].published == "16.48 ± 0.13 against 17.66 ± 0.83"


def test_higher_is_better_where_the_claim_says_so(tmp_path):
    """Sees deeper cells taken for a claim that fails; chance left out beside Section F."""
    lines = [(row, "depth, normal cell", depth, 0.1, 5, "", "") for row, depth in (("na-darts", 3), ("darts", 2))]
    lines.append(("random cells", "depth, normal cell", 2.8, 0.7, 200, "drawn at random", ""))
    folder = trained(tmp_path, "figure_B.csv", *lines)
    own, one = findings(CLAIMS["deeper-cells"], {"digits": folder})
    assert (
        own.verdict == "not measured here"
        and one.verdict == "holds"
        and one.noise == "random cells, depth, normal cell: 2.80 ± 0.70 (n = 200)"
    )
    assert findings(CLAIMS["deeper-cells"], {"cifar10": folder})[0].verdict == "holds"


def test_the_landscape_has_its_own_noise(tmp_path):
    """Sees an eigenvalue's sampling error beside a rise of the loss, or none."""
    columns = {
        "largest eigenvalue, alpha": 10.0,
        "half the difference of the halves' largest, alpha": 2.0,
        "mean rise within r = 1": 0.5,
        "mean rise within r = 1, random plane": 0.05,
    }
    lines = [
        (row, column, value + 3 * (row == "darts"), 0.1, 5, "digits", "")
        for row in ("na-darts", "darts")
        for column, value in columns.items()
    ]
    folder = trained(tmp_path, "figure_A.csv", *lines)
    _, eigenvalue = findings(CLAIMS["flatter-curvature"], {"digits": folder})
    _, rise = findings(CLAIMS["slower-rise"], {"digits": folder})
    assert eigenvalue.verdict == rise.verdict == "holds" and eigenvalue.lines[0].gain.startswith("+3.00 nats (")
    assert "largest, alpha: 2.00 ± 0.10 (n = 5), darts, half" in eigenvalue.noise
    assert rise.noise.startswith("na-darts, mean rise within r = 1, random plane: 0.05 ± 0.10 (n = 5), darts, mean")


def test_a_gain_from_means_is_the_gain_from_values():
    """Sees a population deviation taken for a sample's, or other degrees of freedom than Welch's."""
    ours, rival = np.array([1.0, 2.0, 4.0]), np.array([3.0, 3.5, 5.0, 9.0])
    means = [Mean(side.mean(), side.std(), len(side), len(side)) for side in (ours, rival)]
    assert difference(*means) == pytest.approx(mean_gain(ours, rival))
    assert difference(means[0], means[1]._replace(draws=2)).high > mean_gain(ours, rival).high
    alone = difference(means[0], Mean(3.0, math.nan, 1, 1))
    assert math.isnan(alone.low) and alone.verdict == "undecided"
    assert difference(Mean(1.0, 0.0, 2, 2), Mean(1.0, 0.0, 2, 2)) == Gain(0.0, 0.0, 0.0)


# --- what the paper says --------------------------------------------------------------------------


def test_the_named_gains_are_against_the_order_that_reading_15_names():
    """Sees 1.18 against second order, or 1.2 against first, which has no number on ImageNet."""
    paper = {(cell.row, cell.column): cell.value for cell in published.table("3")}
    cifar, imagenet = "Top-1 Test Error / CIFAR-100", "Top-1 Test Error / ImageNet"
    ours = "NA-DARTS (Ours)"
    assert round(paper["DARTS 1st", cifar] - paper[ours, cifar], 2) == 1.18
    assert round(paper["DARTS 2nd", imagenet] - paper[ours, imagenet], 2) == 1.2
    first, second = CLAIMS["gain-cifar100"], CLAIMS["gain-imagenet"]
    assert "by 1.18 points on CIFAR-100. This is against DARTS first order" in first.claim
    assert list(first.comparisons()) == [(ours, "DARTS 1st", cifar)]
    assert "by 1.2 points on ImageNet. This is against DARTS second order" in second.claim
    assert list(second.comparisons()) == [(ours, "DARTS 2nd", imagenet)]
    assert findings(second, {})[0].lines[0].published == "25.5 against 26.7"


@pytest.mark.parametrize(
    ("name", "table", "rows", "column"),
    [
        ("gain-cifar100", "3", "DARTS 1st less NA-DARTS (Ours)", "Top-1 Test Error / CIFAR-100"),
        ("gain-cifar100", "3", "DARTS 2nd less NA-DARTS (Ours)", "Top-1 Test Error / CIFAR-100"),
        ("gain-imagenet", "3", "DARTS 2nd less NA-DARTS (Ours)", "Top-1 Test Error / ImageNet"),
        ("flat", "1a", "Sharp minima less Flat minima", "CIFAR-100"),
        ("flat", "1a", "Sharp minima less Flat minima", "ImageNet-16-120"),
        ("flat-same-validation", "A", "(c) Flat minima", "CIFAR-10-Validation"),
        ("flat-same-validation", "A", "(c) Sharp minima", "CIFAR-10-Validation"),
        ("na-rs", "2", "Random Search (RS) less NA-RS, median", "CIFAR-100"),
        ("na-rs", "2", "Random Search (RS) less NA-RS, median", "ImageNet-16-120"),
        ("na-rs-mean", "D", "NA-RS - mean", "CIFAR-10"),
        ("na-rs-mean", "D", "NA-RS - mean", "CIFAR-100"),
        ("na-rs-mean", "D", "NA-RS - mean", "ImageNet-16-120"),
        ("na-rs-mean", "2", "Random Search (RS)", "CIFAR-10"),
        ("na-rs-mean", "2", "Random Search (RS)", "CIFAR-100"),
        ("na-rs-mean", "2", "Random Search (RS)", "ImageNet-16-120"),
        ("lowest-cifar100", "4", "P-DARTS less NA-DARTS (Ours)", "Test Error / CIFAR-100"),
        ("second-imagenet", "5", "PC-DARTS less NA-DARTS (Ours)", "Test Error / Top-1"),
        ("s3", "6", "DARTS less NA-DARTS (Ours)", "CIFAR-100"),
        ("darts-es", "6", "DARTS-ES less NA-DARTS-ES (Ours)", "CIFAR-10"),
        ("darts-es", "6", "DARTS-ES less NA-DARTS-ES (Ours)", "CIFAR-100"),
        ("pc-darts", "6", "PC-DARTS less NA-PC-DARTS (Ours)", "CIFAR-100"),
        ("mean-takes-longer", "Fa", "mean", "Search Cost"),
        ("mean-takes-longer", "Fa", "max", "Search Cost"),
        ("d-6-best", "Fb", "d = 2", "Test Error / CIFAR-10"),
        ("d-6-best", "Fb", "d = 6", "Test Error / CIFAR-10"),
    ],
)
def test_numbers_of_the_papers_text(name, table, rows, column):
    """Sees a number in a claim that is not the one that the paper's table gives."""
    cells = {cell.row: cell.value for cell in published.table(table) if cell.column == column}
    first, *less = rows.split(" less ")
    value = cells[first] - sum(cells[row] for row in less)
    assert {f"{value:.2f}", f"{value:.1f}"} & {*re.findall(r"\d+\.\d+", CLAIMS[name].claim)}


def test_ranks_of_the_papers_text():
    """Sees NA-DARTS ranked otherwise than by its tables."""
    told = []
    for table, column in (("4", "Test Error / CIFAR-10"), ("4", "Test Error / CIFAR-100"), ("5", "Test Error / Top-1")):
        values = {cell.row: cell.value for cell in published.table(table) if cell.column == column}
        told.append(f"{1 + sum(value < values['NA-DARTS (Ours)'] for value in values.values())} of {len(values)}")
    assert "{} on CIFAR-10, {} on CIFAR-100 and {} on ImageNet".format(*told) in CLAIMS["state-of-the-art"].claim


def test_every_claim_names_rows_and_columns_that_exist():
    """Sees a misspelt row that can never be measured, or a margin wider than what the paper calls close."""
    for claim in CLAIMS.values():
        assert re.match(r"(Abstract and Section 1|Section (3\.3|[5BCDEF]))$", claim.section) and claim.claim
        cells = {at: float(text.partition(" ")[0]) for at, text in claim.cells.items()}
        known = [
            (cells[better, column], cells[than, column])
            for better, than, column in claim.comparisons()
            if (better, column) in cells and (than, column) in cells
        ]
        assert bool(known) == bool(claim.table) or claim.id == "na-rs-mean"  # reading 9
        if claim.margin and claim.id != "flat-same-validation":
            assert claim.margin == pytest.approx(max(abs(ours - other) for ours, other in known))
    flat, sharp = (
        [c.value for c in published.table("A") if name in c.row and "Valid" in c.column] for name in ("Flat", "Sharp")
    )
    assert CLAIMS["flat-same-validation"].margin == pytest.approx(max(s - f for f, s in zip(flat, sharp, strict=True)))
    assert {claim.section[-1] for claim in CLAIMS.values()} == set("135BCDEF")


# --- the page -------------------------------------------------------------------------------------


@pytest.fixture
def no_checkout(tmp_path, monkeypatch):
    """A reports folder, and no kept results beside it."""
    monkeypatch.setattr(claim_page, "CHECKOUT", tmp_path / "nowhere")
    return tmp_path


def test_nothing_measured(no_checkout):
    """Sees a page that needs CSV files, or a verdict without numbers."""
    found = claims_context(no_checkout)["found"]
    assert tally(found, own=True) == {"not measured here": len(CLAIMS)}
    assert not any("setting" in one for rows in found.values() for one in rows)
    report.write_index(no_checkout)
    page = (no_checkout / "claims.html").read_text()
    assert page.count("Why: it needs searches") + page.count("Why: the CSV") + page.count("Why: no") == len(CLAIMS)
    assert page.count('class="finding"') == len(CLAIMS) and 'href="01_assumption' not in page
    assert f"0 hold, 0 do not, 0 are undecided, and {len(CLAIMS)} are not measured here" in " ".join(page.split())


@pytest.mark.parametrize("content", ["", "row\n", "claim,f\nflat,x\n", "\0\n"])
def test_a_broken_file_is_one_that_is_not_there(content, no_checkout):
    """Sees the index lost to a CSV file that is none."""
    for file in {claim.file for claim in CLAIMS.values()} | {"table_1a.csv", "noise.csv"}:
        (no_checkout / "tables" / REAL).mkdir(parents=True, exist_ok=True)
        (no_checkout / "tables" / REAL / file).write_text(content)
    assert tally(claims_context(no_checkout)["found"], own=True)["not measured here"] == len(CLAIMS)


def test_markup_is_shown_as_text(no_checkout):
    """Sees a name in a CSV file that becomes part of the page."""
    evil = "<script>alert(1)</script>"
    lines = [
        (row, ERROR, 1.0, 0.1, 3, f"{ON}{evil}", f"{evil}; seed noise of {evil}; {STANDS}") for row in ("mean", "max")
    ]
    trained(no_checkout / "tables" / "<b>", "table_Fa.csv", *lines)
    report.write_index(no_checkout)
    page = (no_checkout / "claims.html").read_text()
    assert evil not in page and "&lt;script&gt;" in page and "<b>, a stand-in" not in page


def test_the_page_shows_each_verdict_by_word_and_symbol(no_checkout):
    """Sees a verdict by color alone, a missing noise floor, a link without a target, or a count that is wrong."""
    folder = by_epoch(no_checkout / "tables" / REAL, *[GAINS["holds"]] * 3)
    by_epoch(folder, *[GAINS["does not hold"]] * 3, name="ranking")
    by_epoch(folder, *[GAINS["undecided"]] * 3, name="search")
    written(
        folder, "noise.csv", [{"what": "f", "epoch": 90, "std": 0.56, "tau": 0.91}, {"what": "CIFAR-10", "epoch": 200}]
    )
    (no_checkout / "01_assumption.html").write_text("a page")
    index = report.write_index(no_checkout).read_text()
    page = (no_checkout / "claims.html").read_text()
    for verdict, symbol in VERDICTS.items():
        assert f'aria-hidden="true">{symbol}</span> {verdict}</span>' in page
    assert "std in points and tau: f after epoch 90: 0.56 (0.91)." in page and "loaded from the network" in page
    for link in re.findall(r'href="([^"#]+)[^"]*"', page):
        assert (no_checkout / unquote(link)).is_file()
    assert "http" not in page.replace("http-equiv", "") and page.count("<script") == 1  # the pages' own
    # of f after epoch 90 and of the other epochs: flat minima hold, ranking does not, NA-RS with the mean is undecided
    told = f"2 of {len(CLAIMS)} hold on the paper's own data, 2 do not, 2 are undecided"
    assert 'href="claims.html"' in index and told in index


def test_a_notebook_cannot_take_the_pages_name(tmp_path):
    """Sees claims.html overwritten by a notebook of that name."""
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "claims.ipynb")
    with pytest.raises(report.ReportError, match=r"another page is named claims\.html"):
        report.run_and_export([tmp_path / "claims.ipynb"], tmp_path)


def test_every_figure_has_its_place_in_a_page():
    """Sees a link to a page or a heading that no notebook has."""
    pages = {}
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        place = {"metadata": {"name": path.stem, "path": str(path.parent)}}
        html, _ = FlatlibExporter().from_notebook_node(nbformat.read(path, 4), place)
        pages[f"{path.stem}.html"] = set(re.findall(r'<h\d[^>]* id="([^"]+)"', html))
    for claim in CLAIMS.values():
        page, _, anchor = claim.figure.partition("#")
        assert anchor in pages[page], claim.id


def test_the_kept_results_are_read():
    """Sees the project's own run on the real columns left out of the page."""
    found = claims_context(ROOT / "reports" / "nowhere")["found"]
    counts = tally(found, own=True)
    assert counts["not measured here"] == sum(claim.source != REAL for claim in CLAIMS.values())
    (ranking,) = (rows for claim, rows in found.items() if claim.id == "ranking")
    assert ranking[0]["verdict"] == "does not hold" and "0.91" in ranking[0]["noise"]
