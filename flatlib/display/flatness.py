"""How flat it is around what searches found: the numbers beside the pictures of Sec. E."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from flatlib.display.reproduction import COLUMNS, write_csv
from flatlib.display.tables import by_method
from flatlib.landscape.landscape import Curvature, Landscape
from flatlib.landscape.plane import Plane, mean_rise


def _half_difference(of: Curvature) -> float:
    """Of the largest eigenvalue over the two halves of the images. Both may lie above that of all: no error bar."""
    return abs(of.halves[0, 0] - of.halves[1, 0]) / 2


class Number(NamedTuple):
    """What says how flat it is around an architecture."""

    label: str
    unit: str
    of: Callable[[Landscape], float]


NUMBERS = {
    "loss": Number("loss at alpha", "nats", lambda one: one.plane.loss),
    "accuracy": Number("accuracy at alpha", "%", lambda one: one.plane.accuracy[one.plane.middle, one.plane.middle]),
    "rise 0.25": Number("mean rise within r = 0.25", "nats", lambda one: mean_rise(one.plane, 0.25)),
    "rise 0.5": Number("mean rise within r = 0.5", "nats", lambda one: mean_rise(one.plane, 0.5)),
    "rise 1": Number("mean rise within r = 1", "nats", lambda one: mean_rise(one.plane, 1.0)),
    "random rise 1": Number("mean rise within r = 1, random plane", "nats", lambda one: mean_rise(one.random, 1.0)),
    "lambda_max": Number("largest eigenvalue, alpha", "nats", lambda one: one.of_alpha.pairs.values[0]),
    "second": Number("second eigenvalue, alpha", "nats", lambda one: one.of_alpha.pairs.values[1]),
    "halves": Number(
        "half the difference of the halves' largest, alpha", "nats", lambda one: _half_difference(one.of_alpha)
    ),
    "trace": Number("trace, alpha", "nats", lambda one: one.of_alpha.pairs.trace),
    "logits": Number("largest eigenvalue, logits", "nats", lambda one: one.of_logits.pairs.values[0]),
    "logits second": Number("second eigenvalue, logits", "nats", lambda one: one.of_logits.pairs.values[1]),
    "logits halves": Number(
        "half the difference of the halves' largest, logits", "nats", lambda one: _half_difference(one.of_logits)
    ),
    "residual": Number("largest residual |Hv - kv|, alpha", "nats", lambda one: one.of_alpha.pairs.residuals.max()),
    "clipped": Number("entries clipped at 0, mean over the plane", "%", lambda one: 100 * one.plane.clipped.mean()),
    "discrete 0": Number("loss of the derived cell", "nats", lambda one: one.discrete[0].mean()),
    "discrete 1": Number("mean loss at distance 1 from it", "nats", lambda one: one.discrete[1].mean()),
}
LABELS = {name: f"{number.label} ({number.unit})" for name, number in NUMBERS.items()}  # of a table's lines


def flatness_frame(landscapes: Sequence[Landscape]) -> pd.DataFrame:
    """How flat it is around each architecture, a line a run."""
    return pd.DataFrame(
        [
            {"method": one.method, "seed": one.seed} | {name: float(number.of(one)) for name, number in NUMBERS.items()}
            for one in landscapes
        ]
    )


def flatness_table(landscapes: Sequence[Landscape]) -> Styler:
    """The same, a line a number and a column a run; eigenvalues with those of either half of the images."""
    columns = []
    for one, line in zip(landscapes, flatness_frame(landscapes).to_dict("records"), strict=True):
        texts = {label: f"{line[name]:.3g}" for name, label in LABELS.items()}
        for name, of in (("lambda_max", one.of_alpha), ("logits", one.of_logits)):
            texts[LABELS[name]] += " ({:.3g}, {:.3g})".format(*of.halves[:, 0])
        columns.append(texts)
    turned = pd.DataFrame(columns).T
    return turned.set_axis([one.name for one in landscapes], axis=1).style  # two runs may share a name


def figure_a(landscapes: Sequence[Landscape], dataset: str) -> pd.DataFrame:
    """The numbers beside Figure A in the columns of all tables: mean and population deviation over seeds."""
    frame, lines = flatness_frame(landscapes), []
    of = landscapes[0].of_alpha
    setting = f"{dataset}, {of.images} validation images, batch size {of.batch_size}"
    for method, column in product(dict.fromkeys(frame.method), NUMBERS):
        values = frame.loc[frame.method == method, column].to_numpy()
        lines.append(
            {
                "row": method,
                "column": NUMBERS[column].label,
                "ours": values.mean(),
                "ours_std": values.std() if len(values) > 1 else np.nan,
                "n": len(values),
                "unit": NUMBERS[column].unit,
                "setting": setting,
                "note": "Figure A of the paper is a picture without numbers",
            }
        )
    return pd.DataFrame(lines, columns=COLUMNS)


def summary(landscapes: Sequence[Landscape]) -> Styler:
    """Mean ± population standard deviation over the seeds of each method, a line a number."""
    return by_method(flatness_frame(landscapes), LABELS, _spread)


def _spread(values: pd.Series) -> str:
    """Mean ± population deviation; nan where one run has a nan, as in the file."""
    numbers = values.to_numpy()
    return f"{numbers.mean():.3g}" + f" ± {numbers.std():.2g}" * (len(numbers) > 1)


def save(landscapes: Sequence[Landscape], dataset: str, reports_dir: Path) -> Path:
    """`tables/<dataset>/figure_A.csv`, for whoever compares runs."""
    return write_csv(figure_a(landscapes, dataset), reports_dir / "tables" / dataset / "figure_A.csv")


def levels(planes: Sequence[Plane], n: int = 10) -> tuple[float, float, float]:
    """First level, last level and step (nats), the same for all planes: a round step, up to nearly the largest loss.

    >>> zero = np.zeros((3, 3))
    >>> levels([Plane(np.arange(3), np.array([[0.0, 1, 2], [3, 4, 5], [6, 7, 8]]), *[zero] * 5)])
    (0.0, 8.0, 1.0)
    """
    values = np.concatenate([plane.losses.ravel() for plane in planes])
    low, high = np.quantile(values[np.isfinite(values)], [0, 0.995])
    rough = max((high - low) / n, 1e-6)
    size = 10 ** np.floor(np.log10(rough))
    step = size * next(nice for nice in (1, 2, 2.5, 5, 10) if nice * size >= 0.75 * rough)
    return float(step * np.floor(low / step)), float(step * np.ceil(high / step)), float(step)
