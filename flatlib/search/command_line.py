"""Names and values from a flat YAML file and from the command line, checked before torch is even imported."""

import re
from collections.abc import Iterable
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

from flatlib.search.config import SearchConfig, allowed, check_names, check_value, make_config, parameter

HELP = """usage: python -m flatlib.search [config.yaml] [--name value ...]

The file has lines 'name: value'; the command line wins. The same command goes on with a search that was
interrupted, and reads one that is finished.

example: python -m flatlib.search --method na-darts --d 6 --channels 4 --epochs 10 --runs 3
"""
PLAIN = r"(?![\[\]{}|>&*!%@`\"'#,?]|- |-$)\S+(?:\s+(?!#)\S+)*"  # up to a comment
LINE = re.compile(rf"""(\w+)\s*:\s+("[^"\\]*"|'[^']*'|{PLAIN})\s*(?:\s\#.*)?""")


@dataclass(frozen=True)
class Options:
    """How searches are run; what they find does not depend on it."""

    runs: int = parameter(1, "searches, from the seeds seed, seed + 1, ...", ge=1)
    runs_dir: str = parameter("runs", "where each search has its folder")
    data_dir: str = parameter("", "where CIFAR lies; '': $FLATLIB_DATA, else ./data")
    threads: int = parameter(0, "of torch; 0: its own choice", ge=0, le=1024)
    chunk: int = parameter(0, "neighbors at once; 0: chosen from the sizes", ge=0)
    checkpoint_seconds: float = parameter(60.0, "at most so old is a checkpoint, in seconds", ge=0)

    def __post_init__(self) -> None:
        for f in fields(self):
            check_value(f, getattr(self, f.name))


FIELDS: dict[str, Field] = {f.name: f for kind in (SearchConfig, Options) for f in fields(kind)}


def read_arguments(argv: list[str]) -> tuple[SearchConfig, Options]:
    """`[config.yaml] [--name value | --name=value ...]`, checked; the command line wins. ValueError, one line."""
    given, files = _pairs(argv)
    if len(files) > 1:
        raise ValueError(f"{files[1]!r}: one YAML file at most, then --name value; --help lists the names")
    values = (read_yaml(Path(files[0])) if files else {}) | given
    check_names(values, FIELDS)
    options = {f.name: values.pop(f.name) for f in fields(Options) if f.name in values}
    return make_config(values), Options(**options)


def _pairs(argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    files: list[str] = []
    words = iter(argv)
    for word in words:
        if not word.startswith("--"):
            files.append(word)
            continue
        name, given, text = word[2:].partition("=")
        value = text if given else next(words, "")
        if not given and (not value or value.startswith("--")):
            raise ValueError(f"{word}: no value; write {word} VALUE, --help lists what is allowed")
        values[name.replace("-", "_")] = parse(name.replace("-", "_"), value)
    return values, files


def read_yaml(path: Path) -> dict[str, Any]:
    """The lines `name: value` of a file, with comments and quotes; ValueError, one line, for any other."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file; expected lines 'name: value'") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    return dict(_read_lines(path, lines))


def _read_lines(path: Path, lines: list[str]) -> Iterable[tuple[str, Any]]:
    seen = set()
    for number, line in enumerate(lines, 1):
        if not line.split("#")[0].strip() or line.strip() == "---":
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise ValueError(f"{path}, line {number}: {line.strip()[:60]!r} is not flat; expected 'name: value'")
        name, text = match.groups()
        if name in seen:
            raise ValueError(f"{path}, line {number}: {name} is given twice; keep one")
        seen.add(name)
        yield name, text[1:-1] if text[0] in "\"'" else parse(name, text)


def parse(name: str, text: str) -> Any:
    """A number where the parameter is one and the text too, 1e-3 as well; else the text, for the check to judge.

    >>> parse("eps", "1e-1"), parse("d", "6"), parse("d", "six"), parse("runs_dir", "2024")
    (0.1, 6, 'six', '2024')
    """
    kind = type(FIELDS[name].default) if name in FIELDS else str
    for number in {int: (int, float), float: (float,)}.get(kind, ()):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def help_text() -> str:
    """Each parameter with its default, what is allowed and its meaning."""
    lines = HELP.splitlines()
    for kind, title in ((SearchConfig, "search"), (Options, "running it")):
        lines += ["", f"{title}:"]
        for f in fields(kind):
            lines.append(f"  --{f.name} {f.default!r}".ljust(30) + f"{f.metadata['help']} ({allowed(f)})")
    return "\n".join(lines)
