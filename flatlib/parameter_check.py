"""The check of a notebook's parameters: one line for each mistake, before any work.

A notebook sets its parameters as plain names in one cell, papermill overrides them in a second one,
and the cell after calls `check`, which knows both from the kernel's history.
"""

import ast
import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

INJECTED = "# Parameters"  # the first line of papermill's cell
PAPERMILL_OWN = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")  # set by its --inject-paths


class ParameterError(ValueError):
    """Parameters that cannot serve: a line for each, with the value got and the values allowed."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()  # Jupyter, papermill and nbconvert show the lines, not the stack


S = TypeVar("S", bound=BaseModel)


def check(model: type[S], namespace: dict[str, Any] | None = None) -> S:
    """The parameters set in the running kernel; ParameterError, a line a mistake, before any work.

    Values are the namespace's globals. What is assigned in the latest parameters cell or in
    papermill's cell, but is no field of the model, is a mistake too.
    """
    if namespace is None:
        from IPython import get_ipython

        shell = get_ipython()
        namespace = shell.user_ns if shell else {}
    fields = model.model_fields
    names = [*_assigned(namespace.get("In"), model), *fields]
    return validate(model, {name: namespace.get(name) for name in names if name in namespace or name not in fields})


def validate(model: type[S], values: dict[str, Any]) -> S:
    """Checked parameters from names and values; ParameterError, a line a mistake."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [" ".join(_line(model, detail).split()) for detail in error.errors()]
    except UnicodeError:  # pydantic cannot carry a message with half a character
        lines = ["a value holds half a character (a lone surrogate); write it anew"]
    raise ParameterError("\n".join(lines))


def _assigned(sources: Any, model: type[BaseModel]) -> list[str]:
    """Names assigned in the latest parameters cell and in the latest papermill cell after it.

    The parameters cell is known by an annotated field (`d: int = 1`): its comment can be edited
    away, and papermill writes no annotations. Older versions of either cell do not count.
    """
    injected: list[str] | None = None
    for source in reversed(sources if isinstance(sources, list) else []):
        targets = _targets(source)
        if any(annotated and name in model.model_fields for name, annotated in targets):
            names = [name for name, _ in targets] + (injected or [])
            return [name for name in names if name not in PAPERMILL_OWN]
        if injected is None and source.strip().split("\n")[0].strip() == INJECTED:
            injected = [name for name, _ in targets]
    raise ParameterError("no parameters found: run the cell of lines such as seed: int = 0 first, then this one")


def _targets(source: str) -> list[tuple[str, bool]]:
    """(name, annotated) of each assignment at module level."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):  # a cell that did not run
        return []
    return [
        (node.id, isinstance(statement, ast.AnnAssign))
        for statement in body
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


# --- one line a mistake ---------------------------------------------------------------------------

EXCLUSIVE = {"exclusiveMinimum": "above", "exclusiveMaximum": "below"}
REASONS = {  # pydantic's error type -> ours
    "int_type": "not an int",
    "float_type": "not a float",
    "string_type": "not a str",
    "literal_error": "no such choice",
    "finite_number": "not finite",
    "greater_than_equal": "too small",
    "greater_than": "too small",
    "less_than_equal": "too large",
    "less_than": "too large",
}


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # a number of thousands of digits, or a foreign object
        return f"a {type(value).__name__}"


def _line(model: type[BaseModel], detail: ErrorDetails) -> str:
    reason = REASONS.get(detail["type"]) or detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not detail["loc"]:  # a contradiction, which names its parameters itself
        return reason
    name, value = str(detail["loc"][0]), detail["input"]
    shown = _repr(value)
    got = f"{name} = {shown if len(shown) <= 100 else shown[:97] + '...'}"
    schemas = model.model_json_schema()["properties"]
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name.lower(), schemas, n=1, cutoff=0)[0]
        return f"{got}: no such parameter; did you mean '{near}'? ({_kind(schemas[near])})"
    if detail["type"] == "float_type" and isinstance(value, str):
        reason += " but text (YAML takes 1e-3 for text, 1.0e-3 for a number)"
    limits, text = _limits(schemas[name]), schemas[name]["description"]
    return f"{got}: {reason}; allowed: {f'{limits} ({text})' if limits else text}"


def _kind(schema: dict[str, Any]) -> str:
    """Type and limits, such as 'int, 1 to 6' or "'first' or 'mean'"."""
    if "enum" in schema:
        return _limits(schema)
    names = {"integer": "int", "number": "float", "string": "str", "boolean": "bool"}
    return f"{names[schema['type']]}, {_limits(schema) or schema['description']}"


def _limits(schema: dict[str, Any]) -> str:
    """'1 to 6', '4 or more, even', "'first' or 'mean'"; '' where the description says it."""
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    parts = []
    if "minimum" in schema:
        parts.append(f"{schema['minimum']} " + (f"to {schema['maximum']}" if "maximum" in schema else "or more"))
    parts += [f"{word} {schema[key]}" for key, word in EXCLUSIVE.items() if key in schema]
    if "multipleOf" in schema:
        parts.append("even" if schema["multipleOf"] == 2 else f"a multiple of {schema['multipleOf']}")
    return ", ".join(parts)
