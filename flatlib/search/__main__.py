"""The command `python -m flatlib.search`: needs torch and numpy only, so that it runs on a bare GPU machine."""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from flatlib.run import command_line
from flatlib.run.config import parameter, seeds
from flatlib.run.progress import Progress, duration
from flatlib.search.config import SearchConfig

if TYPE_CHECKING:
    from flatlib.data.images import ImageSet
    from flatlib.search.runs import Run
    from flatlib.search.searcher import StepProgress
    from flatlib.search.trace import SearchTrace

USAGE = """usage: python -m flatlib.search [config.yaml] [--name value ...]

The file has lines 'name: value'; the command line wins. The same command goes on with a search that was
interrupted, and reads one that is finished.

example: python -m flatlib.search --method na-darts --d 6 --channels 4 --epochs 10 --runs 3
"""


@dataclass(frozen=True)
class Options(command_line.Options):
    """How searches are run."""

    chunk: int = parameter(0, "neighbors at once; 0: chosen from the sizes", ge=0)
    kernels: str = parameter(
        "auto", "what computes; 'auto': compiled, where they can be", choices=("auto", "plain", "compiled", "triton")
    )


def main(argv: list[str]) -> int:
    return command_line.main(argv, "flatlib.search", USAGE, (SearchConfig, Options), prepare)


def prepare(config: SearchConfig, options: Options) -> Callable[[], None]:
    """Everything that can be wrong, then the estimate; what is returned does the work."""
    from flatlib.run.folder import tell_begun
    from flatlib.run.hardware import resolve_device
    from flatlib.search.config import identity
    from flatlib.search.runs import finished_run, run_path
    from flatlib.search.search import load_for

    command_line.set_up(options)
    configs = seeds(config, options.runs)
    waiting = [one for one in configs if finished_run(options.runs_dir, one) is None]
    image_set: ImageSet | None = None
    if waiting:
        image_set = load_for(config, options.data_dir).to(resolve_device(config.device))
    for one in waiting:
        tell_begun(run_path(options.runs_dir, one), identity(one))
    if image_set:
        print(f"{len(waiting)} of {len(configs)} searches to do, each: {_estimate(config, image_set, options)}")
    return partial(work, configs, waiting, options, image_set)


def _estimate(config: SearchConfig, image_set: "ImageSet", options: Options) -> str:
    from flatlib.search.estimate import estimate

    try:
        return estimate(config, image_set, options.chunk or None, options.kernels)
    except RuntimeError as error:  # such as too little memory: the search itself will deal with it
        return f"no estimate ({str(error).splitlines()[0]})"


def work(
    configs: list[SearchConfig], waiting: list[SearchConfig], options: Options, image_set: "ImageSet | None"
) -> None:
    """Search after search, and the means over their seeds."""
    from flatlib.search.search import search

    found = []
    with closing(Progress(step_words, epoch_line)) as progress:
        for config in configs:
            run = search(
                config,
                options.runs_dir,
                image_set=image_set,
                on_epoch=progress.epoch,
                on_step=progress.step,
                chunk=options.chunk or None,
                kernels=None if options.kernels == "auto" else options.kernels,
                checkpoint_seconds=options.checkpoint_seconds,
            )
            report(run, "" if config in waiting else "read from ")
            found.append(run)
    if len(found) > 1:
        print("\n".join(summary([run.result.final for run in found if run.result])))


def summary(finals: Sequence[dict[str, float]]) -> list[str]:
    """Mean and population standard deviation of each final number over the searches that have it."""
    import numpy as np

    lines = []
    for name in finals[0]:
        values = np.array([final[name] for final in finals])
        values = values[np.isfinite(values)]
        if len(values) and name not in ("learning_rate", "seconds"):  # of the last epoch: no results
            lines.append(f"{name}: {values.mean():.4g} +- {values.std():.2g} (n = {len(values)})")
    return lines


def step_words(now: "StepProgress") -> str:
    return f"loss {now.loss:.3f}, accuracy {now.accuracy:.1f} %, entropy of alpha {now.entropy:.3f}"


def epoch_line(config: SearchConfig, trace: "SearchTrace") -> str:
    """What an epoch brought, and the time left by the mean of the epochs so far."""
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


def report(run: "Run", read: str = "") -> None:
    """The cell as it is pasted elsewhere, and the folder."""
    assert run.result is not None  # `search` returns finished runs only
    cell, result = run.result.cell, run.result
    print(cell)
    early = f"; stopped early, the cell is of epoch {result.epoch}" if result.epoch < result.epochs else ""
    print(f"{read}{run.folder}: {result.steps} steps in {duration(result.seconds)}{early}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
