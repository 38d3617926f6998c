"""The command `python -m flatlib.search`: needs torch and numpy only, so that it runs on a bare GPU machine."""

import sys
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flatlib.search.command_line import Options, help_text, read_arguments
from flatlib.search.config import SearchConfig

if TYPE_CHECKING:
    from flatlib.data.images import ImageSet
    from flatlib.search.runs import Run
    from flatlib.search.searcher import StepProgress
    from flatlib.search.trace import SearchTrace

QUIET = 30.0  # seconds without a line, at most


def main(argv: list[str]) -> int:
    """Exit code 0; 2 for a mistake, before any work; 1 where a search had to stop; 130 interrupted. One line each."""
    warnings.formatwarning = lambda message, *_, **__: f"flatlib.search: {message}\n"
    if {"--help", "-h"} & set(argv):
        print(help_text())
        return 0
    try:
        return prepare(*read_arguments(argv))()
    except KeyboardInterrupt as stop:
        return _say(str(stop) or "interrupted", 130)
    except (ValueError, OSError, ImportError) as error:
        return _say(error, 2)


def _say(what: object, code: int) -> int:
    print(f"flatlib.search: {what}", file=sys.stderr)
    return code


def prepare(config: SearchConfig, options: Options) -> Callable[[], int]:
    """Everything that can be wrong, then the estimate; what is returned does the work."""
    import torch

    from flatlib.memory import keep_freed_memory
    from flatlib.search.hardware import resolve_device
    from flatlib.search.runs import finished_run, open_run
    from flatlib.search.search import load_for, seeds

    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    configs = seeds(config, options.runs)
    waiting = [one for one in configs if finished_run(options.runs_dir, one) is None]
    image_set: ImageSet | None = None
    if waiting:
        image_set = load_for(config, options.data_dir).to(resolve_device(config.device))
    for one in waiting:
        with open_run(options.runs_dir, one) as folder:
            if folder.load():
                print(f"going on with {folder.path}")
    if image_set:
        print(f"{len(waiting)} of {len(configs)} searches to do, each: {_estimate(config, image_set, options)}")
    return lambda: work(configs, options, image_set)


def _estimate(config: SearchConfig, image_set: "ImageSet", options: Options) -> str:
    from flatlib.search.estimate import estimate

    try:
        return estimate(config, image_set, options.chunk or None).text
    except RuntimeError as error:  # such as too little memory: the search itself will deal with it
        return f"no estimate ({str(error).splitlines()[0]})"


def work(configs: list[SearchConfig], options: Options, image_set: "ImageSet | None") -> int:
    """Search after search; 1, and one line, where one had to stop."""
    from flatlib.search.bilevel import SearchError
    from flatlib.search.checkpoint import RunStoppedError
    from flatlib.search.search import search, summarize

    found = []
    for config in configs:
        try:
            with Progress() as progress:
                run = search(
                    config,
                    options.runs_dir,
                    image_set=image_set,
                    on_epoch=progress.epoch,
                    on_step=progress.step,
                    chunk=options.chunk or None,
                    checkpoint_seconds=options.checkpoint_seconds,
                )
        except (RunStoppedError, SearchError) as error:
            return _say(error, 1)
        report(run)
        found.append(run)
    if len(found) > 1:
        for name, (mean, std, n) in summarize(found).items():
            if name in ("learning_rate", "seconds"):  # of the last epoch: no results
                continue
            print(f"{name}: {mean:.4g} +- {std:.2g} (n = {n})")
    return 0


class Progress:
    """A line an epoch; within it a bar on a terminal with tqdm, elsewhere a line every half minute."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.said = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar = None

    def step(self, config: SearchConfig, now: "StepProgress") -> None:
        words = f"loss {now.loss:.3f}, accuracy {now.accuracy:.1f} %, entropy of alpha {now.entropy:.3f}"
        if self.bar is None:
            self.bar = _bar(now)
        if self.bar is not None:
            self.bar.set_postfix_str(words, refresh=False)
            self.bar.update()
        elif time.monotonic() - self.said > QUIET and now.step < now.steps:
            self._print(f"seed {config.seed}, epoch {now.epoch}, step {now.step}/{now.steps}: {words}")

    def epoch(self, config: SearchConfig, trace: "SearchTrace") -> None:
        self.__exit__()
        self._print(epoch_line(config, trace))

    def _print(self, line: str) -> None:
        print(line, flush=True)
        self.said = time.monotonic()


def _bar(now: "StepProgress") -> Any:
    """tqdm's, with the time left of the epoch; None without a terminal or tqdm."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=now.steps, initial=now.step - 1, desc=f"epoch {now.epoch}", leave=False)


def epoch_line(config: SearchConfig, trace: "SearchTrace") -> str:
    """What an epoch brought, and the time left by the mean of the epochs so far."""
    from flatlib.search.estimate import duration

    last, left = trace.epochs[-1], config.epochs - len(trace.epochs)
    words = [f"training {last.train_loss:.3f} ({last.train_accuracy:.1f} %)"]
    if last.valid_loss == last.valid_loss:  # not while the weights warm up
        words.append(f"validation {last.valid_loss:.3f} ({last.valid_accuracy:.1f} %)")
        words.append(f"objective {last.objective:.3f}")
    words.append(f"entropy of alpha {last.entropy:.3f}")
    if last.eigenvalue == last.eigenvalue:
        words.append(f"eigenvalue {last.eigenvalue:.3g}")
    if left:
        words.append(f"{duration(left * float(trace.column('seconds').mean()))} left")
    return f"seed {config.seed}, epoch {last.epoch}/{config.epochs}: {', '.join(words)}"


def report(run: "Run") -> None:
    """The cell as it is pasted elsewhere, and the folder."""
    from flatlib.search.estimate import duration

    assert run.result is not None  # `search` returns finished runs only
    cell, result = run.result.cell, run.result
    print(cell)
    early = f"; stopped early, the cell is of epoch {result.epoch}" if result.epoch < result.epochs else ""
    print(f"{run.folder}: {result.steps} steps in {duration(result.seconds)}{early}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
