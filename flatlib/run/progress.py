"""How far runs are, line by line, and their mean."""

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

NO_RESULTS = ("epoch", "learning_rate", "seconds")


class Progress:
    """A line an epoch; within it a bar on a terminal, elsewhere a line every half minute."""

    def __init__(self) -> None:
        self.said = time.monotonic()

    def step(self, work: Any) -> None:
        """`work` is a run between two steps."""
        terminal = sys.stdout.isatty()
        if time.monotonic() - self.said < (0.1 if terminal else 30.0):
            return
        left = duration(work.seconds / work.at * (work.steps - work.at))
        done = 20 * work.at // work.steps
        bar = f"{len(work.done) + 1} [{'#' * done}{'.' * (20 - done)}] step {work.at}/{work.steps}"
        self._print(work.config, bar, work.so_far(), left, "\r" if terminal else "\n")

    def epoch(self, config: Any, trace: Any) -> None:
        """What it brought, and the time left by the mean of the epochs so far."""
        last = trace.epochs[-1]
        left = duration((config.epochs - last.epoch) * float(trace.column("seconds").mean()))
        self._print(config, f"{last.epoch}/{config.epochs}", last._asdict(), left, "\n")

    def _print(self, config: Any, at: str, values: dict[str, float], left: str, end: str) -> None:
        words = [f"{name} {value:.4g}" for name, value in values.items() if _is_result(name, value)]
        clear = "\x1b[K" if sys.stdout.isatty() else ""  # the rest of a longer line before
        print(f"seed {config.seed}, epoch {at}: {', '.join(words)}, {left} left{clear}", end=end, flush=True)
        self.said = time.monotonic()


def _is_result(name: str, value: float) -> bool:
    return name not in NO_RESULTS and math.isfinite(value)


def summary(finals: Sequence[dict[str, float]]) -> list[str]:
    """Mean and population standard deviation of each final number over the runs that have it."""
    lines = []
    for name in finals[0]:
        if values := [final[name] for final in finals if _is_result(name, final[name])]:
            lines.append(f"{name}: {np.mean(values):.4g} +- {np.std(values):.2g} (n = {len(values)})")
    return lines


def duration(seconds: float) -> str:
    """Two figures.

    >>> duration(4.2), duration(69.6), duration(700), duration(86400)
    ('4.2 s', '70 s', '12 min', '24 h')
    """
    size, unit = next((size, unit) for size, unit in ((3600, "h"), (60, "min"), (0, "s")) if seconds >= 2 * size)
    value = seconds / (size or 1)
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
