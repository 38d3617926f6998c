"""Verdicts on the paper's claims: sees one that the numbers do not give."""

import math

import numpy as np
import pytest
from claim_files import CLAIMS, ERROR, GAINS, ON, STANDS, THREE, by_epoch, compared, findings, trained

from flatlib import published
from flatlib.display.claim_page import together
from flatlib.display.reproduction import REAL
from flatlib.tabular.gains import Gain, Mean, difference, mean_gain

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

OTHER = "cells epochs 24, found on digits; digits, 5 epochs"
NA_ON = "cells d 4, n_nbr 5, found on digits; digits, 5 epochs"


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
