"""The page of a sweep: its jobs, what each of them measured, and the numbers beside each other."""

import html
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from pandas.io.formats.style import Styler

from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.report import NOTEBOOKS, execute, export, write_index
from flatlib.display.reproduction import write_csv
from flatlib.run.folder import reading

STATE = ("state", "seconds", "host")


class Comparison(NamedTuple):
    """A sweep's folder, read; 'varied' are the parameters that its jobs do not share."""

    name: str
    about: str
    jobs: pd.DataFrame  # a line a job: stage, varied, state, seconds, host
    numbers: pd.DataFrame  # a line a number: stage, varied, series, measure, value; test errors first
    grid: list[str]  # varied, without seeds: they make a group's spread


def read_comparison(folder: Path) -> Comparison:
    """What a sweep's folder holds so far; RunError, one line, for a folder that is none or is damaged."""
    with reading(folder / "sweep.json") as path:
        about = json.loads(path.read_text(encoding="utf-8"))
        lines = [_read_job(folder / str(key)) for key in about["jobs"]]
        numbers = [line | number for line in lines for number in line.pop("numbers", ())]
        numbers.sort(key=lambda one: (not one["measure"].startswith("test error"), one["measure"]))
    jobs = pd.DataFrame(lines, dtype=object)  # a whole number stays one
    varied = [name for name in jobs if name not in ("stage", *STATE)]
    columns = ["stage", *varied, "series", "measure", "value"]
    measured = pd.DataFrame(numbers, columns=columns, dtype=object).astype({"value": float})
    grid = [name for name in varied if name.split()[-1] != "seed"]
    return Comparison(about["name"], about["about"], jobs.reindex(columns=["stage", *varied, *STATE]), measured, grid)


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


def show_jobs(comparison: Comparison) -> Styler:
    """A line a job, below name, purpose, and how far the sweep is."""
    name, about, jobs = html.escape(comparison.name), html.escape(comparison.about), comparison.jobs
    caption = f"{name}: {(jobs.state == 'finished').sum()} of {len(jobs)} jobs finished. {about}"
    table = jobs.dropna(axis=1, how="all").style.format(na_rep="", precision=1, escape="html")
    return table.hide(axis="index").set_caption(caption)


def show_summary(comparison: Comparison) -> Styler:
    """Mean, population standard deviation and n over the seeds, a line a measure, series and point of the grid."""
    keys = ["measure", "series", *comparison.grid]
    numbers = comparison.numbers.fillna(dict.fromkeys(comparison.grid, ""))  # where a stage has no such parameter
    groups = numbers.groupby(keys, sort=False).value
    frame = groups.agg(mean="mean", std=lambda values: values.std(ddof=0), n="count").reset_index()
    table = frame.style.hide(axis="index").format(escape="html")
    return table.format("{:.4g}", subset=["mean"]).format("{:.2g}", subset=["std"])


def save(comparison: Comparison, reports_dir: Path) -> Path:
    """`tables/sweeps/<name>.csv`, a line a number."""
    return write_csv(comparison.numbers, reports_dir / "tables" / "sweeps" / f"{comparison.name}.csv")


def plot_measures(comparison: Comparison, most: int = 4) -> Iterator[go.Figure]:
    """For each of the first measures its values over the first varied parameter, a color for each of the others."""
    for measure, frame in islice(comparison.numbers.groupby("measure", sort=False), most):
        first, *others = [name for name in comparison.grid if frame[name].notna().any()] or ["stage"]
        kinds = frame[["series", *others]].agg(lambda row: ", ".join(map(str, row.dropna())), axis=1)
        shown = frame.assign(kind=kinds, point=[f"{first} = {x}" for x in frame[first]])
        place = {"x": "point", "y": "value", "color": "kind", "points": "all", "color_discrete_sequence": PALETTE[1:]}
        figure = px.box(shown, **place, labels={"point": "", "value": measure, "kind": ""})
        figure.update_traces(pointpos=0, jitter=0.4, boxmean=True, hovertemplate=None)
        yield lay_out(figure, str(measure), 420)


def save_page(folder: Path, reports_dir: Path) -> Path:
    """Run the sweep's notebook on its folder and export it as `sweep-<name>.html`; the index is written anew."""
    source, inside = NOTEBOOKS / "sweep.ipynb", folder.is_relative_to(NOTEBOOKS.parent)
    place = os.path.relpath(folder, NOTEBOOKS) if inside else str(folder)  # a page of the checkout names no machine
    notebook = execute(source, reports_dir, {"folder": place}, progress=False)
    notebook.metadata |= {"title": f"Sweep: {folder.name}", "summary": read_comparison(folder).about}
    page = export(nbformat.from_dict(notebook), source.with_name(f"sweep-{folder.name}.ipynb"), reports_dir)
    write_index(reports_dir)
    return page
