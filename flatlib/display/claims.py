"""The paper's tabular claims as tables: what was measured, at which epoch of f, and the verdict."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from flatlib.display.reproduction import kept_folder, write_csv
from flatlib.tabular.evidence import Comparison, noise
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.gains import Gain
from flatlib.tabular.when import ClaimPoint, noise_floor, seed_std

CLAIMS = {  # field of ClaimPoint -> the paper's claim
    "flat": "Flat minima have a lower test error than sharp ones (Table 1a)",
    "ranking": "The neighborhood mean ranks better than f (Table 1b)",
    "search": "NA-RS beats RS at equal evaluations (Table 2)",
}
FILE = "claims_by_epoch.csv"


def describe(experiment: Experiment) -> pd.DataFrame:  # one line a fact
    """What is measured here: benchmark, f, judges, neighborhood, and the noise of f."""
    floor = noise_floor(experiment)
    noise = (
        f"std over seeds {floor.std:.2f} points, tau with another seed {floor.tau:.2f} (n = {floor.n:,} cells)"
        if floor.n
        else "one seed only: not known"
    )
    facts = {
        "benchmark": f"{experiment.table.name}, {len(experiment.f):,} cells",
        "f": f"{experiment.key}, epoch {experiment.epoch}, {experiment.seeds_text}, "
        f"{experiment.f.min():.2f} to {experiment.f.max():.2f} % error",
        "noise of f": noise,
        "judged by": ", ".join(_judge(experiment, column) for column in experiment.targets),
        "neighborhood": f"{experiment.neighbors.shape[1]:,} cells, itself included; "
        f"{experiment.distinct_classes():.1f} different networks among them on average",
    }
    return pd.DataFrame({"": facts})


def _judge(experiment: Experiment, column: str) -> str:
    """A test column with its range and the noise of its mean over seeds."""
    errors = experiment.targets[column]
    seeds = experiment.table.quantity(experiment.table.targets()[column]).accuracy[:, :, -1]
    n = seeds.shape[1]
    noise = f", {n} seeds, std {seed_std(seeds):.2f}" if n > 1 else ""
    return f"{column} ({errors.min():.2f} to {errors.max():.2f} %{noise})"


def claims_frame(points: Iterable[ClaimPoint]) -> pd.DataFrame:
    """One line a claim, f and test column."""
    return pd.DataFrame(
        [
            dict(claim=name, f=point.key, epoch=point.epoch, seeds=point.seeds, column=point.column)
            | gain._asdict()
            | {"verdict": gain.verdict}
            for point in points
            for name in CLAIMS
            for gain in [getattr(point, name)]
        ]
    )


def claim_points(frame: pd.DataFrame) -> list[ClaimPoint]:
    """The points of a stored `claims_frame`."""
    points = []
    for (key, epoch, seeds, column), group in frame.groupby(["f", "epoch", "seeds", "column"], sort=False):
        lines = group.set_index("claim")
        flat, ranking, search = (Gain(*lines.loc[name, ["value", "low", "high"]]) for name in CLAIMS)
        points.append(ClaimPoint(str(key), int(epoch), str(column), flat, ranking, search, int(seeds)))
    return points


def save_claims(points: Sequence[ClaimPoint], source: str, reports_dir: Path) -> Path:
    """Write `<reports_dir>/tables/<source>/claims_by_epoch.csv`."""
    return write_csv(claims_frame(points), reports_dir / "tables" / source / FILE)


def kept_claims(reports_dir: Path) -> list[ClaimPoint]:
    """The claims of the project's own run on the real columns; empty where this checkout has none."""
    folder = kept_folder(reports_dir, FILE)
    return claim_points(pd.read_csv(folder / FILE)) if folder else []


def save_gains(comparisons: Iterable[Comparison], experiment: Experiment, file: str, reports_dir: Path) -> Path:
    """Write `<reports_dir>/tables/<benchmark>/<file>`, a line a comparison, and noise.csv beside it."""
    place = {"f": experiment.key, "epoch": experiment.epoch}
    lines = [one._asdict() | place | one.gain._asdict() | {"verdict": one.gain.verdict} for one in comparisons]
    folder = reports_dir / "tables" / experiment.table.name
    write_csv(pd.DataFrame(noise(experiment)), folder / "noise.csv")
    return write_csv(pd.DataFrame(lines).drop(columns="gain"), folder / file)


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in short.

    >>> ranges([1, 2, 3, 5])
    '1-3, 5'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def verdicts(points: Sequence[ClaimPoint], names: Sequence[str] = tuple(CLAIMS)) -> pd.DataFrame:
    """For each claim, f and test column: the gain, and the epochs of f at which the claim holds or not."""
    frame = claims_frame(points)
    lines = {}
    for name in names:
        for (key, column), group in frame[frame.claim == name].groupby(["f", "column"], sort=False):
            span = dict.fromkeys(f"{value:+.2f}" for value in (group.value.min(), group.value.max()))
            lines[CLAIMS[name], key, column] = {"gain": " to ".join(span)} | {
                f"{verdict}, epochs": ranges(group.epoch[group.verdict == verdict])
                for verdict in ("holds", "undecided", "does not hold")
            }
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.index = pd.MultiIndex.from_tuples(lines, names=["claim", "f", "judged on"])
    return table


def compare(sides: dict[str, Sequence[ClaimPoint]], names: Sequence[str] = tuple(CLAIMS)) -> pd.DataFrame:
    """Gains with their intervals, one column for each way of measuring."""
    texts = {
        side: {
            (CLAIMS[name], point.column): f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}] {gain.verdict}"
            for name in names
            for point in points
            for gain in [getattr(point, name)]
        }
        for side, points in sides.items()
    }
    return pd.DataFrame(texts)
