"""Tables 3, 4, 5, 6, Fa and Fb beside the published ones: their CSV files, and how notebook 04 shows them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from flatlib import published
from flatlib.display.reproduction import csv_path, reproduction, side_by_side, write_csv
from flatlib.display.tables import plain
from flatlib.evaluation.tables import COUNTED, ERRORS, Trained, counted, measured, seed_noise

TABLES = tuple(ERRORS)


def table_frames(table: str, groups: Sequence[Trained]) -> dict[str, pd.DataFrame]:
    """Source -> the table's lines: the paper's data always, and each stand-in that was trained on."""
    sources = dict.fromkeys([published.IMAGES, *(group.source for group in groups)])
    stands_for = published.table(table)[0].column
    frames = {}
    for source in sources:
        own = source == published.IMAGES
        lines = [*measured(table, groups, source), *(counted(table) if own else [])]
        if lines or own:
            lines = [line._replace(note=line.note + noise_in_words(line.setting, groups)) for line in lines]
            column = {} if own else {f"Test Error / {source}": stands_for}
            frames[source] = reproduction(table, lines, source=source, stands_for=column)
    return frames


def save_and_show(table: str, groups: Sequence[Trained], reports_dir: Path) -> Styler:
    """Write a table's CSV files and return it beside the published one, a line a row of the paper."""
    frames = table_frames(table, groups)
    for source, frame in frames.items():
        write_csv(frame, csv_path(reports_dir, source, table))
    view, settings = blocks(table, pd.concat(frames.values()))
    told = [f"<br>{label}: {setting}{noise_in_words(setting, groups)}." for label, setting in settings.items()]
    if not any(label.startswith("ours, trained") for label in settings):
        told.append("<br>No cell of this table was trained here.")
    caption = f"Table {table}. {published.CAPTIONS[table]}.{''.join(told)}"
    return plain(view, caption)


def blocks(table: str, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The published block and one for each setting of ours, with the settings by the blocks' names."""
    ours = frame[frame.ours.notna()].sort_values("setting", key=lambda text: text != COUNTED, kind="stable")
    trained = [setting for setting in dict.fromkeys(ours.setting) if setting != COUNTED]
    names = {COUNTED: "ours, counted"} if COUNTED in set(ours.setting) else {}
    names |= {text: f"ours, trained{f' ({at})' * (len(trained) > 1)}" for at, text in enumerate(trained, 1)}
    lines = [(names[line.setting], line.row, line.column, _text(line)) for line in ours.itertuples()]
    return side_by_side(table, lines), {name: setting for setting, name in names.items()}


def _text(line: Any) -> str:
    """A measured error with its spread and n; a count; each with its difference from what was published."""
    paper = "" if math.isnan(line.paper) else f"; {line.ours - line.paper:+.2f}"
    if math.isnan(line.ours_std):
        return f"{line.ours:.2f}{paper}"
    spread = f" ± {line.ours_std:.2f}" * bool(line.n > 1)
    return f"{line.ours:.2f}{spread} (n = {line.n}){paper}"


def noise_in_words(told: str, groups: Sequence[Trained]) -> str:
    """The seed noise of all trainings made as those of a block were; '' for the block of counts."""
    alike = next((group.setting for group in groups if group.told == told), None)
    if alike is None:
        return ""
    noise = seed_noise({run.folder: run for group in groups if group.setting == alike for run in group.runs}.values())
    if math.isnan(noise.std):
        return "; seed noise unknown, since no cell was trained twice"
    return f"; seed noise of one training {noise.std:.2f} points ({noise.runs} trainings of {noise.cells} cells)"
