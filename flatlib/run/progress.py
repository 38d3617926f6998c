"""How far runs are, as lines or a bar, and their mean. Needs tqdm for the bar only."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

QUIET = 30.0  # seconds without a line, at most
NO_RESULTS = ("epochs", "learning_rate", "seconds")


class Progress:
    """A line an epoch; within it a bar on a terminal with tqdm, elsewhere a line every half minute."""

    def __init__(self, step: str, epoch: Sequence[str]) -> None:
        """Formats of where a run stands within an epoch, and of a trace's line, where those with a nan are left out."""
        self.words, self.epoch_words, self.bar, self.said = step, epoch, None, time.monotonic()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    def step(self, config: Any, now: Any) -> None:
        """`now` has an epoch, a step and the epoch's steps."""
        self.bar = self.bar or _bar(now)
        if self.bar is not None:
            self.bar.set_postfix_str(self.words.format(now), refresh=False)
            self.bar.update()
        elif time.monotonic() - self.said > QUIET and now.step < now.steps:
            self._print(config, f"{now.epoch}, step {now.step}/{now.steps}", [self.words.format(now)])

    def epoch(self, config: Any, trace: Any) -> None:
        """What it brought, and the time left by the mean of the epochs so far."""
        self.close()
        last, left = trace.epochs[-1], config.epochs - len(trace.epochs)
        words = [text for text in (words.format(last) for words in self.epoch_words) if "nan" not in text]
        words += [f"{duration(left * float(trace.column('seconds').mean()))} left"] if left else []
        self._print(config, f"{last.epoch}/{config.epochs}", words)

    def _print(self, config: Any, at: str, words: Sequence[str]) -> None:
        print(f"seed {config.seed}, epoch {at}: {', '.join(words)}", flush=True)
        self.said = time.monotonic()


def _bar(now: Any) -> Any:
    """tqdm's, with the time left of the epoch; None without a terminal or tqdm."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=now.steps, initial=now.step - 1, desc=f"epoch {now.epoch}", leave=False)


def summary(finals: Sequence[dict[str, float]]) -> list[str]:
    """Mean and population standard deviation of each final number over the runs that have it."""
    lines = []
    for name in finals[0]:
        values = np.array([final[name] for final in finals])
        values = values[np.isfinite(values)]
        if len(values) and name not in NO_RESULTS:
            unit = " %" * any(word in name for word in ("error", "accuracy"))
            lines.append(f"{name}: {values.mean():.4g} +- {values.std():.2g}{unit} (n = {len(values)})")
    return lines


def duration(seconds: float) -> str:
    """Two figures.

    >>> duration(4.2), duration(69.6), duration(700), duration(86400)
    ('4.2 s', '70 s', '12 min', '24 h')
    """
    size, unit = next((size, unit) for size, unit in ((3600, "h"), (60, "min"), (0, "s")) if seconds >= 2 * size)
    value = seconds / (size or 1)
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
