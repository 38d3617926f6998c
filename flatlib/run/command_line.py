"""A command with names and values from a flat YAML file and its own line, checked before any work."""

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.config import Config, Parameters, allowed, check_values, parameter, seeds
from flatlib.run.hardware import keep_freed_memory
from flatlib.run.progress import Progress, summary

USAGE = """
The file has lines 'name: value'; the command line wins. The same command goes on with a run that was interrupted, and
reads one that is finished. On several GPUs a training runs by torchrun --nproc-per-node 4 -m flatlib.evaluation ...

example: python -m flatlib.search --method na-darts --d 6 --channels 4 --epochs 10 --runs 3
example: python -m flatlib.evaluation --cell DARTS_V2 --epochs 10 --runs 3
"""


@dataclass(frozen=True)
class Options(Parameters):
    """How runs are run; what they find does not depend on it. A command may add its own."""

    runs: int = parameter(1, "runs, from the seeds seed, seed + 1, ...", ge=1)
    runs_dir: str = parameter("runs", "where each run has its folder")
    data_dir: str = parameter("", "where the data set lies; '': $FLATLIB_DATA, else ./data")
    checkpoint_seconds: float = parameter(60.0, "at most so old is a checkpoint, in seconds", ge=0)


Option = TypeVar("Option", bound=Options)


def main(
    argv: list[str],
    name: str,
    kinds: tuple[type[Config], type[Option]],
    kind: Any,  # of runs
    estimate: Callable[..., str],  # of one run; raises what makes it impossible
    run: Callable[..., Any],
) -> int:
    """Exit code 0; 2 for a mistake, before any work; 1 where a run had to stop; 130 interrupted. One line each."""
    warnings.formatwarning = lambda message, *_, **__: f"{name}: {message}\n"
    if {"--help", "-h"} & set(argv):
        print(help_text(name, *kinds))
        return 0
    try:
        run_all(*read_arguments(argv, *kinds), kind, estimate, run)
        return 0
    except KeyboardInterrupt as stop:
        what, code = str(stop) or "interrupted", 130
    except RunStoppedError as error:
        what, code = str(error), 1
    except (ValueError, OSError, ImportError) as error:
        what, code = str(error), 2
    print(f"{name}: {' '.join(what.split())}", file=sys.stderr)  # one line, also for a path of two
    return code


def run_all(config: Any, options: Options, kind: Any, estimate: Callable[..., str], run: Callable[..., Any]) -> None:
    """A run from each seed, read where it is finished: what it will take, how far it is, and the mean of all."""
    keep_freed_memory()
    how, progress, finals = dict(vars(options)), Progress(), []
    configs, runs_dir, seconds = seeds(config, how.pop("runs")), how.pop("runs_dir"), how.pop("checkpoint_seconds")
    if waiting := [one for one in configs if not kind.finished(runs_dir, one)]:
        print(f"{len(waiting)} of {len(configs)} runs to do, each: {estimate(config, **how)}", flush=True)
    how |= {"checkpoint_seconds": seconds, "on_epoch": progress.epoch, "on_step": progress.step}
    for one in configs:
        found = run(one, runs_dir, **how)
        print(f"{found.result.cell}\n{'' if one in waiting else 'read from '}{found.folder}", flush=True)
        finals.append(found.result.final)
    print("\n".join(summary(finals)))


def read_arguments(argv: list[str], config: type[Config], options: type[Option]) -> tuple[Config, Option]:
    """`[config.yaml] [--name value | --name=value ...]`, checked; the command line wins. ValueError, one line."""
    words = list(argv)
    given = read_yaml(Path(words.pop(0))) if words and not words[0].startswith("--") else {}
    while words:
        name, equals, text = words.pop(0).removeprefix("--").partition("=")
        given[name.replace("-", "_")] = text if equals or not words else words.pop(0)
    known: dict[str, Any] = {f.name: f for kind in (config, options) for f in fields(kind)}
    values: dict[str, Any] = dict(given)
    for name in given.keys() & known.keys():
        with suppress(ValueError):  # what is no number stays text, for the check to judge
            values[name] = type(known[name].default)(given[name])
    check_values(known.values(), values)
    own: Any = [{f.name: values[f.name] for f in fields(kind) if f.name in values} for kind in (config, options)]
    return config(**own[0]), options(**own[1])


def read_yaml(path: Path) -> dict[str, str]:
    """The lines `name: value` of a file, without comments and quotes; ValueError, one line, for any other."""
    if not path.is_file():  # a pipe would keep us waiting, a device has no end
        raise ValueError(f"{path}: no such file; expected a file, then --name value; --help lists the names")
    given = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        name, colon, text = f" {line}".partition(" #")[0].partition(":")
        if colon:
            given[name.strip()] = text.strip().strip("\"'")
        elif name.strip():
            raise ValueError(f"{path}, line {number}: {line.strip()[:60]!r} is not flat; expected 'name: value'")
    return given


def help_text(name: str, *kinds: type[Parameters]) -> str:
    """How it is used, and each parameter with its default, what is allowed and its meaning."""
    known = [f for kind in kinds for f in fields(kind)]
    lines = [f"  --{f.name} {f.default!r}".ljust(30) + f"{f.metadata['help']} ({allowed(f)})" for f in known]
    return "\n".join([f"usage: python -m {name} [config.yaml] [--name value ...]", USAGE, *lines])
