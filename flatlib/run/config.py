"""Checked parameters: a config is a frozen dataclass of fields with a default, a help text and limits."""

import difflib
import math
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, TypeVar


def parameter(default: Any, help: str, **limits: Any) -> Any:
    """A field with its help text and limits: ge, le, gt, lt, multiple_of, choices (names, or what returns them)."""
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class Parameters:
    """Base of a config, whose fields are checked one by one: ValueError, one line."""

    def __post_init__(self) -> None:
        for f in fields(self):
            check_value(f, getattr(self, f.name))
            if type(f.default) is float:  # an int there is the same config
                object.__setattr__(self, f.name, float(getattr(self, f.name)))


Config = TypeVar("Config", bound=Parameters)


def make(kind: type[Config], values: dict[str, Any]) -> Config:
    """A checked config from names and values; ValueError, one line, for an unknown name."""
    check_names(values, {f.name: f for f in fields(kind)})
    return kind(**values)


def seeds(config: Config, runs: int) -> list[Config]:
    """The config with the seeds seed, seed + 1, ..."""
    first: Any = config
    return [replace(first, seed=first.seed + run) for run in range(runs)]


# --- one line a mistake ---------------------------------------------------------------------------


def check_value(f: Field, value: Any) -> None:
    """ValueError, one line, for a value of another type, out of range or no choice."""
    kind, limits = type(f.default), f.metadata
    wrong = type(value) is not kind and not (kind is float and type(value) is int)
    if type(value) is int and abs(value) >= 2**63:
        raise ValueError(f"{f.name}: a number of {value.bit_length()} bits; allowed: {allowed(f)} and below 2 ** 63")
    if not wrong and "choices" in limits:
        wrong = value not in choices(f)
    elif not wrong and kind is not str:
        wrong = not (
            value >= limits.get("ge", value)
            and value <= limits.get("le", value)
            and value > limits.get("gt", float("-inf"))
            and value < limits.get("lt", float("inf"))
            and ("multiple_of" not in limits or value % limits["multiple_of"] == 0)
            and math.isfinite(value)
        )
    if wrong:
        raise ValueError(f"{f.name} = {value!r}: allowed: {allowed(f)} ({limits['help']})")


def choices(f: Field) -> tuple[str, ...]:
    """The values of a field with choices, as they are now."""
    found = f.metadata["choices"]
    return tuple(found() if callable(found) else found)


def allowed(f: Field) -> str:
    """'a float above 0 and below 1', or the choices."""
    if "choices" in f.metadata:
        return ", ".join(choices(f))
    words = {"ge": "at least", "le": "at most", "gt": "above", "lt": "below", "multiple_of": "a multiple of"}
    limits = [f"{words[name]} {f.metadata[name]}" for name in words if name in f.metadata]
    return " ".join([f"{type(f.default).__name__}", " and ".join(limits)]).strip()


def check_names(values: dict[str, Any], known: dict[str, Field]) -> None:
    """ValueError, one line, for a name that is no parameter: it names the nearest one."""
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
            name = name if name.isidentifier() else ascii(name)
            raise ValueError(f"{name} = {value!r}: no such parameter; did you mean {near}? ({allowed(known[near])})")
