"""The checked notebook parameters: one class a notebook, one line for each mistake.

A notebook sets its parameters as plain names in one cell, papermill overrides them in a second one,
and the cell after calls `check`, which knows both from the kernel's history. Another notebook's
parameters are another subclass of `Settings`: fields with a default, limits and a description.
"""

import ast
import difflib
import html
import os
from math import comb
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

MIME = "application/vnd.flatlib.settings+json"  # {name: value}, read by the report's index page
INJECTED = "# Parameters"  # the first line of papermill's cell
PAPERMILL_OWN = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")  # set by its --inject-paths


class ParameterError(ValueError):
    """Parameters that cannot serve: a line for each, with the value got and the values allowed."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()  # Jupyter, papermill and nbconvert show the lines, not the stack


# --- the parameters of each notebook --------------------------------------------------------------


class Settings(BaseModel):
    """What every notebook takes. Checked values, frozen; in a notebook they show as a table."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: int = Field(0, ge=0, description="seed of every random draw")
    reports_dir: str = Field("auto", description="a folder to write to; 'auto': the checkout's reports/")

    @field_validator("reports_dir")
    @classmethod
    def _is_folder_or_new(cls, value: str) -> str:
        path = resolve_reports_dir(value)
        if os.path.exists(path) and not os.path.isdir(path):
            raise ValueError(f"{path} is a file, not a folder")
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{path} cannot be written ({error.strerror})") from None
        return value

    def output_dir(self) -> Path:
        """Where the run writes: `reports_dir`; 'auto' keeps runs with other parameters below custom/.

        So the results at the defaults, and those kept on the real columns, stay what they are.
        """
        folder = resolve_reports_dir(self.reports_dir)
        changed = [
            f"{name}={value}".replace("/", "-")
            for name, value in self.model_dump().items()
            if name not in ("table", "reports_dir") and value != type(self).model_fields[name].default
        ]
        return folder / "custom" / ",".join(changed) if changed and self.reports_dir == "auto" else folder

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """A table with what differs from the defaults in bold; plain lines; {name: value}."""
        lines, rows = [], ""
        fields = type(self).model_fields
        for name in sorted(fields, key=lambda name: name in Settings.model_fields):  # the notebook's own first
            value, default, text = getattr(self, name), fields[name].default, fields[name].description
            note = "" if value == default else f" (default {default!r})"
            lines.append(f"{name} = {value!r}  # {text}{note}")
            cell = html.escape(f"{value!r}{note}")
            cell = f"<b>{cell}</b>" if note else cell
            rows += f"<tr><td><code>{name}</code></td><td>{cell}</td><td>{html.escape(str(text))}</td></tr>"
        head = "<tr><th>parameter</th><th>value</th><th>meaning</th></tr>"
        table = f'<table class="flatlib-settings">{head}{rows}</table>'
        return {"text/plain": "\n".join(lines), "text/html": table, MIME: self.model_dump()}


class TableSettings(Settings):
    """What notebooks 01 and 02 share: a tabular benchmark and a neighborhood."""

    table: str = Field("digits201", description="'digits201' or the path of a .npz table")
    search_quantity: str = Field(
        "auto", description="what f is read from: 'auto' or a key such as 'cifar10-valid/200/x-valid'"
    )
    trial: Literal["first", "mean"] = Field("first", description="f from each cell's first seed, or their mean")
    epoch: int = Field(-1, ge=-1, description="epoch of f; -1: nearest to 45 % of the schedule, 0: the last")
    d: int = Field(1, ge=1, le=6, description="distance threshold of Eq. 3")
    lam: float = Field(1.0, ge=0, allow_inf_nan=False, description="lambda of the variance aggregator, Sec. A.1")

    @field_validator("table")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value == "digits201":
            return value
        path = os.path.expanduser(value)
        if not path.endswith(".npz"):
            raise ValueError("not a .npz file")
        if not os.path.isfile(path):
            raise ValueError(f"no such file (the folder is {os.path.dirname(os.path.abspath(path))})")
        return path


class Assumption(TableSettings):
    """Notebook 01, Sec. 3.3 and B."""

    n_top: int = Field(
        100, ge=4, le=15624, multiple_of=2, description="local minima, half flat and half sharp, Sec. 3.3.1"
    )
    n_sample: int = Field(100, ge=3, le=15625, description="cells ranked by each criterion, Sec. B.3")
    repeats: int = Field(10, ge=2, description="rankings averaged, Sec. B.3")


class RandomSearch(TableSettings):
    """Notebook 02, Sec. 4.1 and C."""

    steps: int = Field(100, ge=1, description="search steps T of NA-RS; RS runs T * n_nbr, Sec. C")
    n_nbr: int = Field(10, ge=2, description="neighbors looked at, the cell itself included, Sec. C")
    aggregator: Literal["mean", "median", "max", "variance"] = Field("mean", description="g of Eq. 1")
    runs: int = Field(500, ge=2, description="searches from different seeds")
    bo_runs: int = Field(5, ge=0, description="of Bayesian optimization, seconds each; 0 leaves it out")

    @model_validator(mode="after")
    def _neighborhood_holds_n_nbr(self) -> "RandomSearch":
        size = sum(comb(6, k) * 4**k for k in range(self.d + 1))  # Eq. 3 on NAS-Bench-201
        if self.n_nbr > size:
            raise ValueError(f"n_nbr = {self.n_nbr}: only {size} cells within d = {self.d}; allowed: 2 to {size}")
        return self


def resolve_reports_dir(value: str) -> Path:
    """The folder that `reports_dir` names.

    'auto' is $FLATLIB_REPORTS if set, else reports/ of the checkout around the working folder
    (it has a pyproject.toml and a notebooks/), else ./reports.
    """
    if value != "auto":
        return Path(os.path.expanduser(value))
    if folder := os.environ.get("FLATLIB_REPORTS"):
        return Path(folder)
    for parent in (Path.cwd(), *Path.cwd().parents):
        if (parent / "pyproject.toml").is_file() and (parent / "notebooks").is_dir():
            return parent / "reports"
    return Path.cwd() / "reports"


# --- the check ------------------------------------------------------------------------------------

S = TypeVar("S", bound=Settings)


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
    values = {name: namespace.get(name) for name in names if name in namespace or name not in fields}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [" ".join(_line(model, detail).split()) for detail in error.errors()]
    raise ParameterError("\n".join(lines))


def _assigned(sources: Any, model: type[Settings]) -> list[str]:
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

REASONS = {  # pydantic's error type -> ours
    "int_type": "not an int",
    "float_type": "not a float",
    "string_type": "not a str",
    "literal_error": "no such choice",
    "finite_number": "not finite",
    "greater_than_equal": "too small",
    "less_than_equal": "too large",
}


def _line(model: type[Settings], detail: ErrorDetails) -> str:
    reason = REASONS.get(detail["type"]) or detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not detail["loc"]:  # a contradiction, which names its parameters itself
        return reason
    name, value = str(detail["loc"][0]), detail["input"]
    shown = repr(value)
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
    if "multipleOf" in schema:
        parts.append("even" if schema["multipleOf"] == 2 else f"a multiple of {schema['multipleOf']}")
    return ", ".join(parts)
