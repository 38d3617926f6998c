"""Checked parameters: a config is a frozen dataclass of fields with a default, a help text and limits."""

import difflib
import math
import operator
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, TypeVar

LIMITS: dict[str, Any] = {
    "ge": ("at least", operator.ge),
    "le": ("at most", operator.le),
    "gt": ("above", operator.gt),
    "lt": ("below", operator.lt),
    "multiple_of": ("a multiple of", lambda value, limit: value % limit == 0),
}


class ParameterError(ValueError):
    """Parameters that cannot serve: a line for each, with the value got and the values allowed."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()  # Jupyter, papermill and nbconvert show the lines, not the stack


def parameter(default: Any, help: str, **limits: Any) -> Any:
    """A field with its help text and limits.

    ge, le, gt, lt, multiple_of, choices (names, or what returns them), check (raises ValueError with the reason).
    """
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class Parameters:
    """Base of a config, whose fields are checked one by one; ParameterError for those that cannot serve."""

    def __post_init__(self) -> None:
        check_values(fields(self), vars(self))
        for f in fields(self):
            if type(f.default) is float:  # an int there is the same config
                object.__setattr__(self, f.name, float(getattr(self, f.name)))


Config = TypeVar("Config", bound=Parameters)


def make(kind: type[Config], values: dict[str, Any]) -> Config:
    """A checked config from names and values; ParameterError, a line for each mistake, an unknown name too."""
    check_values(fields(kind), values)
    return kind(**values)


def seeds(config: Config, runs: int) -> list[Config]:
    """The config with the seeds seed, seed + 1, ..."""
    first: Any = config
    return [replace(first, seed=first.seed + run) for run in range(runs)]


def check_values(known: Iterable[Field], values: dict[str, Any]) -> None:
    """ParameterError for values of another type, out of range or no choice, and for names that are not known."""
    fields_of = {f.name: f for f in known}
    lines = [_mistake(fields_of, name, value) for name, value in values.items()]
    if any(lines):
        text = "\n".join(" ".join(line.split()) for line in lines if line)
        raise ParameterError(text.encode("utf-8", "backslashreplace").decode())  # of half a character its number


def _mistake(known: dict[str, Field], name: str, value: Any) -> str:
    """Why a value cannot serve; '' where it can."""
    got = f"{name if str(name).isidentifier() else ascii(name)} = {_shown(value)}"
    if name not in known:
        near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0)[0]
        return f"{got}: no such parameter; did you mean {near!r}? ({allowed(known[near])})"
    f = known[name]
    fits = type(value) is type(f.default) or (type(f.default) is float and type(value) is int)
    beyond = " and below 2 ** 63" if fits and type(value) is int and abs(value) >= 2**63 else ""  # as numpy and torch
    if not fits or beyond or not _is_within(f, value):
        return f"{got}: allowed: {allowed(f)}{beyond} ({f.metadata['help']})"
    try:
        f.metadata.get("check", str)(value)
    except ValueError as error:
        return f"{got}: {error}; allowed: {f.metadata['help']}"
    return ""


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # a number of thousands of digits, or a foreign object
        text = f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:97]}..."


def _is_within(f: Field, value: Any) -> bool:
    if "choices" in f.metadata:
        return value in choices(f)
    holds = (LIMITS[name][1](value, limit) for name, limit in f.metadata.items() if name in LIMITS)
    return isinstance(value, str | bool) or (math.isfinite(value) and all(holds))


def choices(f: Field) -> tuple[str, ...]:
    """The values of a field with choices, as they are now."""
    found = f.metadata["choices"]
    return tuple(found() if callable(found) else found)


def allowed(f: Field) -> str:
    """'a float above 0 and below 1', or the choices."""
    if "choices" in f.metadata:
        return ", ".join(choices(f))
    limits = [f"{LIMITS[name][0]} {limit}" for name, limit in f.metadata.items() if name in LIMITS]
    return " ".join([f"{type(f.default).__name__}", " and ".join(limits)]).strip()
