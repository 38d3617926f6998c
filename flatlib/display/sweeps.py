"""The page of a sweep: its jobs, what each of them measured, and the numbers beside each other."""

import html
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.report import NOTEBOOKS, execute, export, write_index
from flatlib.display.reproduction import write_csv
from flatlib.run.folder import reading

NUMBER = ("series", "measure", "value")
STATE = ("state", "seconds", "host")


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
        lines = [_read_job(folder / str(key)) for key in about["jobs"]]
    jobs = pd.DataFrame(lines, dtype=object).drop(columns="numbers", errors="ignore")  # a whole number stays one
    varied = sorted(jobs.columns.difference(["stage", *STATE], sort=False), key=_is_seed)
    order = ["stage", *varied]
    measured = [pd.DataFrame(line.get("numbers", [])).assign(job=at) for at, line in enumerate(lines)]
    numbers = jobs[order].join(pd.concat(measured).set_index("job"), how="inner")
    return Comparison(
        str(about["name"]),
        str(about["about"]),
        jobs.reindex(columns=[*order, *STATE]),
        numbers.reindex(columns=[*order, *NUMBER]).reset_index(drop=True).astype({"value": float}),
        tuple(varied),
    )


def _is_seed(name: str) -> bool:
    return name.split()[-1] == "seed"


def _read_job(place: Path) -> dict[str, Any]:
    """A line of the jobs, and when it is finished what was measured."""
    line: dict[str, Any] = {"stage": place.name.split("-")[0], "state": "waiting"}
    if (place / "config.json").exists():
        with reading(place / "config.json") as path:
            config = json.loads(path.read_text(encoding="utf-8"))
            line = {"stage": config["job"]["stage"], "state": "not finished"} | config["grid"]
    if (place / "error.txt").exists():
        line["state"] = f"failed: {(place / 'error.txt').read_text(encoding='utf-8')[:300]}"
    if (place / "result.json").exists():
        with reading(place / "result.json") as path:
            result = json.loads(path.read_text(encoding="utf-8"))
            line |= {"state": "finished"} | {name: result[name] for name in ("seconds", "host", "numbers")}
    return line


def describe(comparison: Comparison) -> Markdown:
    """Name, purpose, and how far it is."""
    done = int((comparison.jobs.state == "finished").sum())
    name, about = html.escape(comparison.name), html.escape(comparison.about)
    return Markdown(f"**{name}**: {done} of {len(comparison.jobs)} jobs finished. {about}")


def show_jobs(comparison: Comparison) -> Styler:
    """A line a job."""
    frame = comparison.jobs.dropna(axis=1, how="all")
    return frame.style.format(na_rep="", precision=1, escape="html").hide(axis="index")


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
    varied = [name for name in comparison.varied if not _is_seed(name) and frame[name].notna().any()]
    first, *others = varied or ["stage"]
    kinds = frame[["series", *others]].agg(lambda row: ", ".join(map(str, row.dropna())), axis=1)
    shown = frame.assign(kind=kinds, point=[f"{first} = {x}" for x in frame[first]])
    place = {"x": "point", "y": "value", "color": "kind", "points": "all", "color_discrete_sequence": PALETTE[1:]}
    figure = px.box(shown, **place, labels={"point": "", "value": measure, "kind": ""})
    figure.update_traces(pointpos=0, jitter=0.4, boxmean=True, hovertemplate=None)
    return lay_out(figure, measure, 420)


def plot_measures(comparison: Comparison, most: int = 4) -> list[go.Figure]:
    """A figure for each of the first measures; the table has all."""
    return [plot_measure(comparison, measure) for measure in comparison.measures[:most]]


def save_page(folder: Path, reports_dir: Path) -> Path:
    """Run the sweep's notebook on its folder and export it as `sweep-<name>.html`; the index is written anew."""
    source, inside = NOTEBOOKS / "sweep.ipynb", folder.is_relative_to(NOTEBOOKS.parent)
    place = os.path.relpath(folder, NOTEBOOKS) if inside else str(folder)  # a page of the checkout names no machine
    notebook = execute(source, reports_dir, {"folder": place}, progress=False)
    notebook.metadata["title"] = f"Sweep: {folder.name}"
    page = export(nbformat.from_dict(notebook), source.with_name(f"sweep-{folder.name}.ipynb"), reports_dir)
    write_index(reports_dir)
    return page
