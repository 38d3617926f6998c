"""What all notebooks take, and how checked parameters show: the bases of the classes in `parameters`."""

import hashlib
import html
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from flatlib.run.config import Config

LONGEST = 100  # letters of a folder's name
MIME = "application/vnd.flatlib.settings+json"  # {name: value}, read by the report's index page


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
        if not os.access(path, os.W_OK):
            raise ValueError(f"{path} cannot be written (read-only)")
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
        name = ",".join(changed)
        if len(name) > LONGEST:
            name = f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return folder / "custom" / name if changed and self.reports_dir == "auto" else folder

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """A table with what differs from the defaults in bold; plain lines; {name: value}."""
        lines, rows = [], ""
        known = type(self).model_fields
        for name in sorted(known, key=lambda name: name in Settings.model_fields):  # the notebook's own first
            value, default, text = getattr(self, name), known[name].default, known[name].description
            note = "" if value == default else f" (default {default!r})"
            lines.append(f"{name} = {value!r}  # {text}{note}")
            cell = html.escape(f"{value!r}{note}")
            cell = f"<b>{cell}</b>" if note else cell
            rows += f"<tr><td><code>{name}</code></td><td>{cell}</td><td>{html.escape(str(text))}</td></tr>"
        head = "<tr><th>parameter</th><th>value</th><th>meaning</th></tr>"
        table = f'<table class="flatlib-settings">{head}{rows}</table>'
        return {"text/plain": "\n".join(lines), "text/html": table, MIME: self.model_dump()}


class RunSettings(Settings):
    """What notebooks share that write or read run folders."""

    runs_dir: str = Field("auto", description="a folder for run folders; 'auto': the checkout's runs/")

    @field_validator("runs_dir")
    @classmethod
    def _is_no_file(cls, value: str) -> str:
        if os.path.isfile(os.path.expanduser(value)):
            raise ValueError("a file, not a folder")
        return value

    @property
    def runs_folder(self) -> Path:
        """Where run folders go: `runs_dir`; 'auto' is runs/ beside a folder named reports, else below it."""
        if self.runs_dir != "auto":
            return Path(os.path.expanduser(self.runs_dir))
        folder = resolve_reports_dir(self.reports_dir).absolute()
        return (folder.parent if folder.name == "reports" else folder) / "runs"

    def config(self, kind: type[Config], **own: Any) -> Config:
        """A config whose fields are these parameters, but for its own ones."""
        shared = {f.name: getattr(self, f.name) for f in fields(kind) if hasattr(self, f.name)}
        return kind(**shared | own)


class SweepPage(Settings):
    """The page of a sweep: `notebooks/sweep.ipynb`, run by `flatlib sweep`."""

    folder: str = Field("sweeps/small", description="a sweep's folder, from here or from the checkout's root")
    figures: int = Field(4, ge=1, description="measures that are drawn; the table has all")

    @field_validator("folder")
    @classmethod
    def _is_a_sweep(cls, value: str) -> str:
        if not os.path.isfile(os.path.join(_from_here_or_root(value), "sweep.json")):
            raise ValueError("no sweep there (no sweep.json); run flatlib sweep SWEEP.yaml first")
        return value

    def output_dir(self) -> Path:
        """The reports folder: which sweep it is does not make a run of other parameters."""
        return resolve_reports_dir(self.reports_dir)

    @property
    def sweep_folder(self) -> Path:
        return Path(_from_here_or_root(self.folder))


def _from_here_or_root(folder: str) -> str:
    path = os.path.expanduser(folder)
    return path if os.path.exists(path) else os.path.join(os.path.dirname(resolve_reports_dir("auto")), path)


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
