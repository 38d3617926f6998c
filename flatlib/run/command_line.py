"""A command with names and values from a flat YAML file and its own line, checked before torch is even imported."""

import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from flatlib.run.checkpoint import RunStoppedError
from flatlib.run.config import Config, Parameters, allowed, check_values, parameter

PLAIN = r"(?![\[\]{}|>&*!%@`\"'#,?]|- |-$)\S+(?:\s+(?!#)\S+)*"  # up to a comment
LINE = re.compile(rf"""(\w+)\s*:\s+("[^"\\]*"|'[^']*'|{PLAIN})\s*(?:\s\#.*)?""")


@dataclass(frozen=True)
class Options(Parameters):
    """How runs are run; what they find does not depend on it. A command may add its own."""

    runs: int = parameter(1, "runs, from the seeds seed, seed + 1, ...", ge=1)
    runs_dir: str = parameter("runs", "where each run has its folder")
    data_dir: str = parameter("", "where the data set lies; '': $FLATLIB_DATA, else ./data")
    threads: int = parameter(0, "of torch; 0: its own choice", ge=0, le=1024)
    checkpoint_seconds: float = parameter(60.0, "at most so old is a checkpoint, in seconds", ge=0)


Option = TypeVar("Option", bound=Options)
Known = dict[str, Field]


def main(
    argv: list[str],
    name: str,
    usage: str,  # how the help text begins
    kinds: tuple[type[Config], type[Option]],
    prepare: Callable[[Config, Option], Callable[[], Any]],  # all that can be wrong; what it returns does the work
) -> int:
    """Exit code 0; 2 for a mistake, before any work; 1 where a run had to stop; 130 interrupted. One line each."""
    warnings.formatwarning = lambda message, *_, **__: f"{name}: {message}\n"
    if {"--help", "-h"} & set(argv):
        print(help_text(usage, *kinds))
        return 0
    try:
        prepare(*read_arguments(argv, *kinds))()
        return 0
    except KeyboardInterrupt as stop:
        what, code = str(stop) or "interrupted", 130
    except RunStoppedError as error:
        what, code = str(error), 1
    except (ValueError, OSError, ImportError) as error:
        what, code = str(error), 2
    print(f"{name}: {' '.join(what.split())}", file=sys.stderr)  # one line, also for a path of two
    return code


def set_up(options: Options) -> None:
    """The allocator, and torch's threads."""
    import torch

    from flatlib.run.hardware import keep_freed_memory

    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)


def read_arguments(argv: list[str], config: type[Config], options: type[Option]) -> tuple[Config, Option]:
    """`[config.yaml] [--name value | --name=value ...]`, checked; the command line wins. ValueError, one line."""
    known = {f.name: f for kind in (config, options) for f in fields(kind)}
    given: dict[str, Any] = {}
    files: list[str] = []
    words = iter(argv)
    for word in words:
        if not word.startswith("--"):
            files.append(word)
            continue
        name, equals, text = word[2:].partition("=")
        value = text if equals else next(words, "")
        if not equals and (not value or value.startswith("--")):
            raise ValueError(f"{word}: no value; write {word} VALUE, --help lists what is allowed")
        name = name.replace("-", "_")
        given[name] = parse(known, name, value)
    if len(files) > 1:
        raise ValueError(f"{files[1]!r}: one YAML file at most, then --name value; --help lists the names")
    values = (read_yaml(Path(files[0]), known) if files else {}) | given
    check_values(known.values(), values)
    of_options = {f.name: values.pop(f.name) for f in fields(options) if f.name in values}
    return config(**values), options(**of_options)


def read_yaml(path: Path, known: Known) -> dict[str, Any]:
    """The lines `name: value` of a file, with comments and quotes; ValueError, one line, for any other."""
    try:
        if path.exists() and not path.is_file():  # a pipe would keep us waiting, a device has no end
            raise OSError(0, "not a file")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file; expected lines 'name: value'") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    values: dict[str, Any] = {}
    for number, line in enumerate(lines, 1):
        if not line.split("#")[0].strip() or line.strip() == "---":
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise ValueError(f"{path}, line {number}: {line.strip()[:60]!r} is not flat; expected 'name: value'")
        name, text = match.groups()
        if name in values:
            raise ValueError(f"{path}, line {number}: {name} is given twice; keep one")
        values[name] = text[1:-1] if text[0] in "\"'" else parse(known, name, text)
    return values


def parse(known: Known, name: str, text: str) -> Any:
    """A number where the parameter is one and the text too, 1e-3 as well; else the text, for the check to judge.

    >>> known = {f.name: f for f in fields(Options)}
    >>> parse(known, "checkpoint_seconds", "1e-1"), parse(known, "runs", "six"), parse(known, "runs_dir", "2024")
    (0.1, 'six', '2024')
    """
    kind = type(known[name].default) if name in known else str
    for number in {int: (int, float), float: (float,)}.get(kind, ()):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def help_text(usage: str, config: type[Parameters], options: type[Options]) -> str:
    """Each parameter with its default, what is allowed and its meaning."""
    lines = usage.splitlines()
    for kind, title in ((config, "what is run"), (options, "how")):
        lines += ["", f"{title}:"]
        for f in fields(kind):
            lines.append(f"  --{f.name} {f.default!r}".ljust(30) + f"{f.metadata['help']} ({allowed(f)})")
    return "\n".join(lines)
