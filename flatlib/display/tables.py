"""Numbers as texts, and tables that several notebooks show."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from flatlib.run.config import seeds


def plain(table: pd.DataFrame, caption: str = "") -> Styler:
    """A table of texts as pages show it."""
    return table.style.set_caption(caption).set_table_attributes('class="dataframe"')


def short(number: float, digits: int) -> str:
    """A number without the zeros at its end; '' for nan.

    >>> [short(1234.5, 3), short(80.0, 0), short(float("nan"), 1)]
    ['1,234.5', '80', '']
    """
    text = "" if pd.isna(number) else f"{number:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def mean_and_std(values: pd.Series, digits: int) -> str:
    """Mean ± population standard deviation, of one value itself; '' where there is none."""
    mean = short(values.mean(), digits)
    return mean + f" ± {short(values.std(ddof=0), digits)}" * (len(values) > 1 and mean != "")


def by_method(frame: pd.DataFrame, labels: Mapping[str, str], text: Callable[[pd.Series], str]) -> Styler:
    """A column a method and a line a number, which stands for all of the method's runs."""
    named = frame.method + " (n = " + frame.groupby("method").method.transform("size").astype(str) + ")"
    return frame[[*labels]].groupby(named.rename(None), sort=False).agg(text).T.rename(labels).style


def estimates_of(
    configs: Mapping[str, Any],  # label -> config of the first seed
    runs: int,
    is_finished: Callable[[Any], object],
    estimate: Callable[[Any], str],  # of one run, on this machine
) -> Styler:
    """What runs will take on this machine; finished ones are read, not repeated."""
    rows = {}
    for label, config in configs.items():
        waiting = sum(not is_finished(one) for one in seeds(config, runs))
        each = estimate(config) if waiting else "finished: read from its folder"
        rows[label] = {"to run": f"{waiting} of {runs}", "each": each}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["to run", "each"]).style.format_index(escape="html")
