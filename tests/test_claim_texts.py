"""The texts of the paper's claims: sees a number, rank or row that is not the paper's."""

import re

import pytest
from claim_files import CLAIMS, findings

from flatlib import published


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
