"""The command `python -m flatlib.search`: needs torch and numpy only, so that it runs on a bare GPU machine."""

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from flatlib.run import command_line
from flatlib.run.config import parameter, seeds
from flatlib.search.config import SearchConfig

USAGE = """usage: python -m flatlib.search [config.yaml] [--name value ...]

The file has lines 'name: value'; the command line wins. The same command goes on with a search that was
interrupted, and reads one that is finished.

example: python -m flatlib.search --method na-darts --d 6 --channels 4 --epochs 10 --runs 3
"""
STEP = "loss {0.loss:.3f}, accuracy {0.accuracy:.1f} %, entropy of alpha {0.entropy:.3f}"
EPOCH = (
    "training {0.train_loss:.3f} ({0.train_accuracy:.1f} %)",
    "validation {0.valid_loss:.3f} ({0.valid_accuracy:.1f} %)",  # not while the weights warm up
    "objective {0.objective:.3f}",
    "entropy of alpha {0.entropy:.3f}",
    "eigenvalue {0.eigenvalue:.3g}",
)


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
    """Everything that can be wrong, then the estimate; what is returned searches from each seed."""
    from flatlib.run.hardware import resolve_device
    from flatlib.run.progress import Progress, duration, summary
    from flatlib.search.runs import Run
    from flatlib.search.search import estimate, load_for, search

    command_line.set_up(options)
    configs, chunk = seeds(config, options.runs), options.chunk or None
    waiting = [one for one in configs if not Run.finished(options.runs_dir, one)]
    images = load_for(config, options.data_dir).to(resolve_device(config.device)) if waiting else None
    Run.tell_begun(options.runs_dir, waiting)
    if images:
        each = estimate(config, images, chunk, options.kernels)
        print(f"{len(waiting)} of {len(configs)} searches to do, each: {each}")

    def work() -> None:
        finals = []
        with closing(Progress(STEP, EPOCH)) as progress:
            for one in configs:
                run = search(
                    one,
                    options.runs_dir,
                    image_set=images,
                    on_epoch=progress.epoch,
                    on_step=progress.step,
                    chunk=chunk,
                    kernels=None if options.kernels == "auto" else options.kernels,
                    checkpoint_seconds=options.checkpoint_seconds,
                )
                found = run.result
                assert found is not None  # `search` returns finished runs only
                print(found.cell)
                early = f"; stopped early, the cell is of epoch {found.epoch}" if found.epoch < found.epochs else ""
                read = "" if one in waiting else "read from "
                print(f"{read}{run.folder}: {found.steps} steps in {duration(found.seconds)}{early}", flush=True)
                finals.append(found.final)
        if len(finals) > 1:
            print("\n".join(summary(finals)))

    return work


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
