"""How flat it is around what searches found: the numbers beside the pictures of Sec. E."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from flatlib.display.reproduction import COLUMNS, write_csv
from flatlib.landscape.hessian import Curvature
from flatlib.landscape.landscape import Landscape
from flatlib.landscape.plane import Plane, mean_rise

RADII = (0.25, 0.5, 1.0)
NUMBERS = {  # column of `flatness_frame` -> what it is called, unit
    "loss": ("loss at alpha", "nats"),
    "accuracy": ("accuracy at alpha", "%"),
    **{f"rise {radius:g}": (f"mean rise within r = {radius:g}", "nats") for radius in RADII},
    "random rise 1": ("mean rise within r = 1, random plane", "nats"),
    "lambda_max": ("largest eigenvalue, alpha", "nats"),
    "second": ("second eigenvalue, alpha", "nats"),
    "halves": ("half the difference of the halves' largest, alpha", "nats"),
    "trace": ("trace, alpha", "nats"),
    "logits": ("largest eigenvalue, logits", "nats"),
    "logits second": ("second eigenvalue, logits", "nats"),
    "logits halves": ("half the difference of the halves' largest, logits", "nats"),
    "residual": ("largest residual |Hv - kv|, alpha", "nats"),
    "clipped": ("entries clipped at 0, mean over the plane", "%"),
    "discrete 0": ("loss of the derived cell", "nats"),
    "discrete 1": ("mean loss at distance 1 from it", "nats"),
}
LABELS = {name: f"{label} ({unit})" for name, (label, unit) in NUMBERS.items()}  # of a table's lines


def flatness_frame(landscapes: Sequence[Landscape]) -> pd.DataFrame:
    """How flat it is around each architecture, a line a run."""
    return pd.DataFrame([{"method": one.method, "seed": one.seed, **_flatness(one)} for one in landscapes])


def _flatness(one: Landscape) -> dict[str, float]:
    plane, pairs, logits = one.plane, one.of_alpha.pairs, one.of_logits.pairs
    rises = {f"rise {radius:g}": mean_rise(plane, radius) for radius in RADII}
    return {
        "loss": plane.loss,
        "accuracy": float(plane.accuracy[plane.middle, plane.middle]),
        **rises,
        "random rise 1": mean_rise(one.random, 1.0),
        "lambda_max": float(pairs.values[0]),
        "second": float(pairs.values[1]),
        "halves": _half_difference(one.of_alpha),
        "trace": pairs.trace,
        "logits": float(logits.values[0]),
        "logits second": float(logits.values[1]),
        "logits halves": _half_difference(one.of_logits),
        "residual": float(pairs.residuals.max()),
        "clipped": 100 * float(plane.clipped.mean()),
        "discrete 0": float(one.discrete[0].mean()),
        "discrete 1": float(one.discrete[1].mean()),
    }


def _half_difference(of: Curvature) -> float:
    """Of the largest eigenvalue over the two halves of the images. Both may lie above that of all: no error bar."""
    return float(abs(of.halves[0, 0] - of.halves[1, 0]) / 2)


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
                "column": NUMBERS[column][0],
                "ours": values.mean(),
                "ours_std": values.std() if len(values) > 1 else np.nan,
                "n": len(values),
                "paper": np.nan,
                "paper_std": np.nan,
                "unit": NUMBERS[column][1],
                "setting": setting,
                "note": "Figure A of the paper is a picture without numbers",
            }
        )
    return pd.DataFrame(lines, columns=COLUMNS)


def summary(landscapes: Sequence[Landscape]) -> Styler:
    """Mean ± population standard deviation over the seeds of each method, a line a number."""
    frame = flatness_frame(landscapes)
    texts = {
        f"{method} (n = {len(rows)})": {label: _spread(rows[name].to_numpy()) for name, label in LABELS.items()}
        for method, rows in frame.groupby("method", sort=False)
    }
    return pd.DataFrame(texts).style


def _spread(values: np.ndarray) -> str:  # (S,)
    """Mean ± population deviation; nan where one run has a nan, as in the file."""
    return f"{values.mean():.3g}" + (f" ± {values.std():.2g}" if len(values) > 1 else "")


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
