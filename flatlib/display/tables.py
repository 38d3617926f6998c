"""Numbers as texts, and tables that several notebooks show."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from flatlib.run.config import seeds


def plain(table: pd.DataFrame, caption: str = "") -> Styler:
    """A table of texts as pages show it."""
    return table.style.set_caption(caption).set_table_attributes('class="dataframe"')


def mean_and_std(values: pd.Series, digits: int) -> str:
    """Mean ± population standard deviation without zeros at the end, of one value itself; '' where there is none.

    >>> mean_and_std(pd.Series([2.0, 2.5]), 2), mean_and_std(pd.Series([80.0]), 1)
    ('2.25 ± 0.25', '80')
    """
    numbers = (values.mean(), values.std(ddof=0))[: len(values)]  # one value has no deviation
    texts = [np.format_float_positional(number, digits, trim="-") for number in numbers]
    return "" if values.isna().all() else " ± ".join(texts)


def with_n(names: pd.Series) -> pd.Series:
    """'darts (n = 2)' for each line of a group."""
    return (names + " (n = " + names.groupby(names).transform("size").astype(str) + ")").rename(None)


def estimates_of(
    configs: Mapping[str, Any],  # label -> config of the first seed
    runs: int,
    is_finished: Callable[[Any], object],
    estimate: Callable[[Any], str],  # of one run, on this machine
) -> Styler:
    """What runs will take on this machine; finished ones are read, not repeated."""
    table = pd.DataFrame(columns=["to run", "each"])
    for label, config in configs.items():
        waiting = sum(not is_finished(one) for one in seeds(config, runs))
        each = estimate(config) if waiting else "finished: read from its folder"
        table.loc[label] = [f"{waiting} of {runs}", each]
    return table.style.format_index(escape="html")
