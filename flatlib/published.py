"""Every number of the paper's tables, once a table, with the paper's own labels (Tables 1-6 and A-F).

A block below is one table as the paper prints it: the caption in our words, the columns with their units, the
rows, and where there is a `*`, what it means on the last line. The `*` of Tables 4 and 5 is the paper's footnote,
that of Tables 2 and C is ours. A `*` on a row or a column goes for all of its numbers, a `-` is no number.
A group of columns stands before the label (`Test Error / CIFAR-10`), a sub-table's letter before the row.
"""

from typing import Any, NamedTuple


class Published(NamedTuple):
    """One number of the paper."""

    row: str
    column: str
    value: float
    std: float | None  # as printed after the `±`, None where there is none
    unit: str  # '%', '%^2', 'tau' (Kendall's), 'M' or 'GPU days'
    note: str  # '' or what the number's `*` means
    text: str  # as printed, '2.63 ± 0.12'


class Measured(NamedTuple):
    """One cell of a table, measured here, to stand beside the published one."""

    row: str
    column: str
    ours: float | None
    std: float | None  # population, ddof = 0
    n: int | None
    setting: str
    note: str = ""

    @classmethod
    def over(cls, row: str, column: str, values: Any, setting: str, note: str = "") -> "Measured":
        """Mean and standard deviation of an array of numbers."""
        return cls(row, column, float(values.mean()), float(values.std()), len(values), setting, note)


_BLOCKS = {
    "1a": """
        Average test error of flat-minima and sharp-minima architectures on NAS-Bench-201
                      | CIFAR-10 (%) | CIFAR-100 (%) | ImageNet-16-120 (%)
        Flat minima   | 6.23         | 28.90         | 55.17
        Sharp minima  | 6.66         | 30.00         | 56.41
        """,
    "1b": """
        Kendall's tau between the true ranking and that of the single error (Baseline) or the neighborhood mean (Ours)
                      | CIFAR-10 (tau) | CIFAR-100 (tau) | ImageNet-16-120 (tau)
        Baseline      | 0.66±0.03      | 0.66±0.02       | 0.64±0.03
        Ours          | 0.76±0.03      | 0.77±0.03       | 0.74±0.03
        """,
    # Two aggregators could be meant by the one row of NA-RS, so our row names the one whose numbers these are.
    "2": """
        Test error of random search and neighborhood-aware random search at the same number of evaluations
                           | CIFAR-10 (%) | CIFAR-100 (%) | ImageNet-16-120 (%)
        Random Search (RS) | 6.39±0.32    | 29.81±0.44    | 56.30±1.08
        NA-RS, median*     | 6.20±0.35    | 28.33±1.22    | 54.72±0.96
        * printed as 'NA-RS (Ours)'; the text sets g to the mean, but these are Table D's numbers for the median
        """,
    "3": """
        NA-DARTS beside DARTS: test error on CIFAR-10, CIFAR-100 and ImageNet
               | Top-1 Test Error / CIFAR-10 (%) | Top-1 Test Error / CIFAR-100 (%) | Top-1 Test Error / ImageNet (%) \
               | Params / CIFAR (M) | Params / ImageNet (M)
        DARTS 1st       | 2.90±0.25 | 17.66±0.83 | -    | 2.9 | -
        DARTS 2nd       | 2.70±0.08 | 17.72±0.61 | 26.7 | 2.9 | 4.7
        NA-DARTS (Ours) | 2.63±0.12 | 16.48±0.13 | 25.5 | 3.2 | 4.8
        """,
    "4": """
        NAS methods on CIFAR-10 and CIFAR-100, all searched on CIFAR-10
               | Test Error / CIFAR-10 (%) | Test Error / CIFAR-100 (%) | Params (M) | Search Cost (GPU days)
        NASNet-A        | 2.65      | 17.10*     | 3.3 | 1800
        AmoebaNet-A     | 2.84*     | 17.16*     | 3.2 | 3150
        PNAS            | 2.95*     | 17.29*     | 3.2 | 225
        ENAS            | 2.54*     | 17.18*     | 3.9 | 0.5
        SNAS            | 2.85±0.02 | 18.25*     | 2.8 | 1.5
        P-DARTS         | 2.50      | 16.55      | 3.4 | 0.3
        PC-DARTS        | 2.57±0.07 | 16.74*     | 3.6 | 0.1
        DARTS+          | 2.72*     | 16.85*     | 4.3 | 0.6
        SDARTS-ADV      | 2.61±0.02 | 16.60*     | 3.3 | 1.3
        DARTS 1st       | 2.90±0.25 | 17.66±0.83 | 2.9 | 0.3
        DARTS 2nd       | 2.70±0.08 | 17.72±0.61 | 2.9 | 1.0
        NA-DARTS (Ours) | 2.63±0.12 | 16.48±0.13 | 3.2 | 1.1
        * trained by the paper's authors, following the training setup in DARTS
        """,
    "5": """
        NAS methods on ImageNet, with parameters and multiply-adds (+x)
                        | Test Error / Top-1 (%) | Test Error / Top-5 (%) | Params (M) | +x (M)
        DARTS           | 26.7 | 8.7 | 4.7 | 574
        P-DARTS*        | 25.3 | 8.1 | 4.9 | 557
        PC-DARTS*       | 25.7 | 8.3 | 5.3 | 586
        DARTS+*         | 26.4 | 8.5 | 5.0 | 586
        SDARTS-ADV*     | 25.8 | 8.5 | 4.8 | 545
        NA-DARTS (Ours) | 25.5 | 8.2 | 4.8 | 557
        AmoebaNet-A*    | 27.0 | 8.9 | 5.0 | 584
        NASNet-A        | 26.0 | 8.4 | 5.3 | 564
        ENAS*           | 26.1 | 8.6 | 5.2 | 576
        PNAS            | 25.8 | 8.1 | 5.1 | 588
        SNAS            | 27.3 | 9.2 | 4.3 | 522
        * trained by the paper's authors, following the training setup in DARTS
        """,
    "6": """
        Test error of architectures found in the S3 search space
                             | CIFAR-10 (%) | CIFAR-100 (%)
        DARTS                | 4.13±0.98    | 22.49±2.62
        NA-DARTS (Ours)      | 2.97±0.18    | 18.86±0.49
        DARTS-ES             | 3.71±1.14    | 19.21±0.65
        NA-DARTS-ES (Ours)   | 2.49±0.02    | 17.03±0.41
        PC-DARTS             | 2.66±0.14    | 17.38±0.45
        NA-PC-DARTS (Ours)   | 2.69±0.08    | 16.66±0.39
        """,
    "A": """
        Table 1a and the validation error f itself, with f after epoch (a) 30, (b) 60, (c) 90 and (d) 120
                         | CIFAR-10-Validation (%) | CIFAR-10 (%) | CIFAR-100 (%) | ImageNet-16-120 (%)
        (a) Flat minima  | 18.39 | 6.33 | 29.15 | 55.52
        (a) Sharp minima | 18.45 | 6.67 | 30.10 | 56.18
        (b) Flat minima  | 16.15 | 6.28 | 29.15 | 55.51
        (b) Sharp minima | 16.43 | 6.91 | 30.56 | 57.31
        (c) Flat minima  | 14.55 | 6.23 | 28.90 | 55.17
        (c) Sharp minima | 14.57 | 6.66 | 30.00 | 56.41
        (d) Flat minima  | 12.67 | 6.13 | 28.59 | 55.11
        (d) Sharp minima | 12.81 | 6.33 | 29.28 | 55.53
        """,
    "B": """
        Table 1b for every aggregator
                        | CIFAR-10 (tau) | CIFAR-100 (tau) | ImageNet-16-120 (tau)
        Baseline        | 0.66±0.03      | 0.66±0.02       | 0.64±0.03
        Ours - mean     | 0.76±0.03      | 0.77±0.03       | 0.74±0.03
        Ours - median   | 0.72±0.03      | 0.72±0.03       | 0.69±0.03
        Ours - max      | 0.53±0.05      | 0.54±0.05       | 0.56±0.05
        Ours - Variance | 0.72±0.02      | 0.73±0.03       | 0.71±0.02
        """,
    "C": """
        Neighborhood variance and test error of the architectures that each criterion finds
                        | Neighbor-Var* (%^2) | CIFAR-10 (%) | CIFAR-100 (%) | ImageNet-16-120 (%)
        Baseline        | 5.58                | 6.45         | 29.45         | 55.79
        Ours - mean     | 2.71                | 6.09         | 28.32         | 54.75
        Ours - median   | 4.05                | 6.21         | 28.74         | 55.08
        Ours - max      | 1.83                | 6.66         | 29.82         | 56.31
        Ours - Variance | 2.47                | 6.35         | 29.06         | 55.52
        * the paper does not say which: a variance (%^2) by Sec. B.4, perhaps a standard deviation (%) by Sec. A.1
        """,
    "D": """
        NA-RS with each aggregator, 10 neighbors a step: test error
                         | CIFAR-10 (%) | CIFAR-100 (%) | ImageNet-16-120 (%)
        NA-RS - mean     | 6.39±0.71    | 28.68±1.75    | 55.02±1.71
        NA-RS - median   | 6.20±0.35    | 28.33±1.22    | 54.72±0.96
        NA-RS - max      | 6.73±0.71    | 29.70±1.61    | 56.96±2.09
        NA-RS - Variance | 6.65±0.97    | 29.06±1.97    | 55.48±2.41
        """,
    "E": """
        NA-RS with 10 neighbors a step and with all 25: test error
                                    | CIFAR-10 (%) | CIFAR-100 (%) | ImageNet-16-120 (%)
        NA-RS - mean, n_nbr = 10    | 6.39±0.71    | 28.68±1.75    | 55.02±1.71
        NA-RS - mean, n_nbr = 25    | 6.24±0.39    | 28.24±1.25    | 54.74±1.73
        NA-RS - median, n_nbr = 10  | 6.20±0.35    | 28.33±1.22    | 54.72±0.96
        NA-RS - median, n_nbr = 25  | 6.18±0.38    | 28.20±1.27    | 54.40±0.98
        """,
    "Fa": """
        NA-DARTS with the maximum and with the mean over the neighborhood
             | Test Error / CIFAR-10 (%) | Test Error / CIFAR-100 (%) | Param (M) | Search Cost (GPU days)
        max  | 2.80±0.10                 | 16.89±0.31                 | 3.1       | 0.5
        mean | 2.63±0.12                 | 16.48±0.13                 | 3.2       | 1.1
        """,
    "Fb": """
        NA-DARTS at three distance thresholds d
              | Test Error / CIFAR-10 (%) | Test Error / CIFAR-100 (%) | Param (M)
        d = 2 | 2.62±0.08                 | 16.90±0.45                 | 3.2
        d = 4 | 2.65±0.19                 | 16.56±0.36                 | 3.1
        d = 6 | 2.63±0.12                 | 16.48±0.13                 | 3.2
        """,
}

BENCHMARK, IMAGES = "nas-bench-201", "cifar-imagenet"  # sources of tables whose columns are the paper's own
TABLE_IDS: tuple[str, ...] = tuple(_BLOCKS)
CAPTIONS: dict[str, str] = {table_id: block.strip().splitlines()[0] for table_id, block in _BLOCKS.items()}


def table(table_id: str) -> tuple[Published, ...]:
    """The numbers of one table, row by row in the paper's order.

    Raises ValueError for a table that the paper does not have.

    >>> table("6")[3]
    Published(row='NA-DARTS (Ours)', column='CIFAR-100', value=18.86, std=0.49, unit='%', note='', text='18.86 ± 0.49')
    """
    if table_id not in _BLOCKS:
        raise ValueError(f"the paper has no table {table_id!r}; its tables are {', '.join(TABLE_IDS)}")
    _, header, *lines = ([cell.strip() for cell in line.split("|")] for line in _BLOCKS[table_id].strip().splitlines())
    footnote = lines.pop()[0].removeprefix("* ") if lines[-1][0].startswith("* ") else ""
    return tuple(
        _number(row, column, cell, footnote)
        for row, *cells in lines
        for column, cell in zip(header[1:], cells, strict=True)
        if cell != "-"
    )


def _number(row: str, column: str, cell: str, footnote: str) -> Published:
    """A cell of a block, '2.63±0.12*', below its column, 'Params / CIFAR (M)'."""
    label, unit = column.removesuffix(")").rsplit(" (", 1)
    value, _, std = cell.rstrip("*").partition("±")
    note = footnote if any(text.endswith("*") for text in (row, label, cell)) else ""
    text = f"{value} ± {std}" if std else value
    return Published(row.rstrip("*"), label.rstrip("*"), float(value), float(std) if std else None, unit, note, text)
