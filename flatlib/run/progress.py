"""How far a run is, as lines or a bar. Needs tqdm for the bar only."""

import sys
import time
from collections.abc import Callable
from typing import Any

QUIET = 30.0  # seconds without a line, at most


class Progress:
    """A line an epoch; within it a bar on a terminal with tqdm, elsewhere a line every half minute."""

    def __init__(self, step_words: Callable[[Any], str], epoch_words: Callable[[Any, Any], str]) -> None:
        """Words for so_far, which has an epoch, a step and the epoch's steps; for a config and its trace."""
        self.step_words, self.epoch_words = step_words, epoch_words
        self.bar: Any = None
        self.said = time.monotonic()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    def step(self, config: Any, now: Any) -> None:
        if self.bar is None:
            self.bar = _bar(now)
        if self.bar is not None:
            self.bar.set_postfix_str(self.step_words(now), refresh=False)
            self.bar.update()
        elif time.monotonic() - self.said > QUIET and now.step < now.steps:
            self._print(f"seed {config.seed}, epoch {now.epoch}, step {now.step}/{now.steps}: {self.step_words(now)}")

    def epoch(self, config: Any, trace: Any) -> None:
        self.close()
        self._print(self.epoch_words(config, trace))

    def _print(self, line: str) -> None:
        print(line, flush=True)
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


def duration(seconds: float) -> str:
    """Two figures.

    >>> duration(4.2), duration(69.6), duration(700), duration(86400)
    ('4.2 s', '70 s', '12 min', '24 h')
    """
    size, unit = next((size, unit) for size, unit in ((3600, "h"), (60, "min"), (0, "s")) if seconds >= 2 * size)
    value = seconds / (size or 1)
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
