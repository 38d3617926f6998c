"""The page of a sweep: its jobs, what each of them measured, and the numbers beside each other."""

import html
import json
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.report import NOTEBOOKS, execute, export, write_index
from flatlib.display.reproduction import write_csv
from flatlib.run.folder import reading

NUMBER = ("series", "measure", "value")


@dataclass(frozen=True)
class Comparison:
    """A sweep's folder, read."""

    name: str
    about: str
    jobs: pd.DataFrame  # a line a job: stage, the varied parameters, state, seconds, host
    numbers: pd.DataFrame  # a line a number: stage, the varied parameters, series, measure, value
    varied: tuple[str, ...]  # parameters that vary, seeds last

    @property
    def measures(self) -> list[str]:
        """Test errors first: they are what a sweep is for."""
        return sorted(dict.fromkeys(self.numbers.measure), key=lambda name: not name.startswith("test error"))


def read_comparison(folder: Path) -> Comparison:
    """What a sweep's folder holds so far; RunError, one line, for a folder that is none or is damaged."""
    with reading(folder / "sweep.json") as path:
        about = json.loads(path.read_text(encoding="utf-8"))
        keys = [str(key) for key in about["jobs"]]
    jobs: list[dict[str, Any]] = []
    numbers: list[dict[str, Any]] = []
    for key in keys:
        line, measured = _read_job(folder / key)
        jobs.append(line)
        given = {name: value for name, value in line.items() if name not in ("state", "seconds", "host")}
        numbers += [given | number for number in measured]
    outside = ("stage", "state", "seconds", "host")
    varied = sorted(dict.fromkeys(name for job in jobs for name in job if name not in outside), key=_is_seed)
    order = ["stage", *varied]
    return Comparison(
        str(about["name"]),
        str(about["about"]),
        pd.DataFrame(jobs, columns=[*order, "state", "seconds", "host"]),
        pd.DataFrame(numbers, columns=[*order, *NUMBER]),
        tuple(varied),
    )


def _is_seed(name: str) -> bool:
    return name.split()[-1] == "seed"


def _read_job(place: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A line of the jobs, and what was measured."""
    if not (place / "config.json").exists():
        return {"stage": place.name.split("-")[0], "state": "waiting"}, []
    with reading(place / "config.json") as path:
        config = json.loads(path.read_text(encoding="utf-8"))
        line = {"stage": config["job"]["stage"]} | config["grid"]
    if not (place / "result.json").exists():
        return line | {"state": "not finished"}, []
    with reading(place / "result.json") as path:
        result = json.loads(path.read_text(encoding="utf-8"))
        numbers = [{name: number[name] for name in NUMBER} for number in result["numbers"]]
        return line | {"state": "finished", "seconds": result["seconds"], "host": result["host"]}, numbers


def describe(comparison: Comparison) -> Markdown:
    """Name, purpose, and how far it is."""
    done = int((comparison.jobs.state == "finished").sum())
    name, about = html.escape(comparison.name), html.escape(comparison.about)
    return Markdown(f"**{name}**: {done} of {len(comparison.jobs)} jobs finished. {about}")


def show_jobs(comparison: Comparison) -> Styler:
    """A line a job."""
    frame = comparison.jobs.dropna(axis=1, how="all")
    return frame.style.format(na_rep="", precision=1).hide(axis="index")


def summary_frame(comparison: Comparison) -> pd.DataFrame:
    """Mean, population standard deviation and n over the seeds, a line a measure, series and point of the grid."""
    keys = ["measure", "series", *[name for name in comparison.varied if not _is_seed(name)]]
    frame = comparison.numbers.copy()
    frame[keys] = frame[keys].astype(object).where(frame[keys].notna(), "")
    groups = frame.groupby(keys, sort=False).value
    table = groups.agg(mean="mean", std=lambda values: values.std(ddof=0), n="count").reset_index()
    return table.sort_values("measure", key=lambda names: names.map(comparison.measures.index), kind="stable")


def show_summary(comparison: Comparison) -> Styler:
    frame = summary_frame(comparison)
    text = [
        f"{m:.4g}" + (f" ± {s:.2g}" if n > 1 else "")
        for m, s, n in zip(frame["mean"], frame["std"], frame.n, strict=True)
    ]
    frame = frame.assign(**{"mean ± std": text}).drop(columns=["mean", "std"])
    return frame.style.hide(axis="index")


def save(comparison: Comparison, reports_dir: Path) -> Path:
    """`tables/sweeps/<name>.csv`, a line a number."""
    return write_csv(comparison.numbers, reports_dir / "tables" / "sweeps" / f"{comparison.name}.csv")


def plot_measure(comparison: Comparison, measure: str) -> go.Figure:
    """Every value over the first varied parameter, a color for each of the others; dashed lines are means."""
    frame = comparison.numbers[comparison.numbers.measure == measure]
    first, *others = [name for name in comparison.varied if not _is_seed(name) and frame[name].notna().any()] or [
        "stage"
    ]
    figure, colors = go.Figure(), cycle(PALETTE[1:])
    kinds = frame[["series", *others]].astype(str).agg(", ".join, axis=1)
    for kind, color in zip(dict.fromkeys(kinds), colors, strict=False):
        rows = frame[kinds == kind]
        figure.add_box(
            x=[f"{first} = {x}" for x in rows[first]],
            y=rows.value,
            name=kind,
            marker_color=color,
            boxpoints="all",
            pointpos=0,
            jitter=0.4,
            boxmean=True,
            offsetgroup=kind,
        )
    figure.update_yaxes(title_text=measure)
    figure.update_layout(boxmode="group")
    return lay_out(figure, measure, 420)


def plot_measures(comparison: Comparison, most: int = 4) -> list[go.Figure]:
    """A figure for each of the first measures; the table has all."""
    return [plot_measure(comparison, measure) for measure in comparison.measures[:most]]


def save_page(folder: Path, reports_dir: Path) -> Path:
    """Run the sweep's notebook on its folder and export it as `sweep-<name>.html`; the index is written anew."""
    source = NOTEBOOKS / "sweep.ipynb"
    notebook = execute(source, reports_dir, {"folder": str(folder)}, progress=False)
    notebook.metadata["title"] = f"Sweep: {folder.name}"
    page = export(nbformat.from_dict(notebook), source.with_name(f"sweep-{folder.name}.ipynb"), reports_dir)
    write_index(reports_dir)
    return page
