"""The page of claims: sees a verdict without its word or link, and a file that breaks the page."""

import re
from urllib.parse import unquote

import nbformat
import pytest
from claim_files import CLAIMS, ERROR, GAINS, ON, ROOT, STANDS, by_epoch, trained, written

from flatlib.display import claim_page, report
from flatlib.display.claim_page import VERDICTS, claims_context, tally
from flatlib.display.exporter import FlatlibExporter
from flatlib.display.reproduction import REAL


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
