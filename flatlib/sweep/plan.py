"""A sweep: notebooks over grids of parameters, read from a YAML file and checked before any work."""

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from flatlib import parameters as notebook_parameters
from flatlib.parameter_check import ParameterError, validate
from flatlib.run.config import seeds
from flatlib.run.folder import digest
from flatlib.search.config import SearchConfig
from flatlib.search.runs import run_path
from flatlib.settings import Settings

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
MODELS: dict[str, type[Settings]] = {
    "01_assumption": notebook_parameters.Assumption,
    "02_na_rs": notebook_parameters.RandomSearch,
    "03_na_darts": notebook_parameters.NaDarts,
    "04_evaluation": notebook_parameters.Evaluation,
    "05_s3_and_variants": notebook_parameters.Variants,
    "06_loss_landscape": notebook_parameters.LossLandscape,
    "07_cells": notebook_parameters.Cells,
}
SEARCHING = ("03_na_darts", "05_s3_and_variants", "06_loss_landscape")
NAME = r"\w[\w.-]*"  # of a sweep or a stage: they name folders
PLACES = {"reports_dir", "runs_dir"}  # the sweep's own
FOUND = "found"  # in `train`: the cells of the searches that an evaluation follows


@dataclass(frozen=True)
class Job:
    """One notebook with its parameters; its folder is named by its key."""

    stage: str
    notebook: str  # file name without .ipynb
    parameters: dict[str, Any]  # given ones, without places
    grid: dict[str, Any]  # those of them that vary, and the preset's name where it does
    searches: tuple["Job", ...] = ()  # whose cells it trains
    last: bool = False  # waits for all others

    @property
    def key(self) -> str:
        """Readable, and unique for notebook and parameters."""
        searched = [job.key for job in self.searches]
        unique = digest({"notebook": self.notebook, "parameters": self.parameters, "searches": searched})
        words = ",".join(f"{name}={value}" for name, value in self.grid.items())
        return f"{re.sub('[^A-Za-z0-9_.,=-]', '', f'{self.stage}-{words}')[:80].rstrip('-')}-{unique}"

    def settings(self, **more: Any) -> Any:
        """The notebook's checked parameters; ParameterError for what cannot serve."""
        return validate(MODELS[self.notebook], self.parameters | more)


@dataclass(frozen=True)
class Sweep:
    """All jobs of a file, in its order."""

    name: str
    about: str
    jobs: tuple[Job, ...]
    slurm: dict[str, Any] = field(default_factory=dict)  # dask_jobqueue.SLURMCluster's options


class _Keys(BaseModel):
    """Of a YAML mapping; anything else is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True)


Names = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class _Stage(_Keys):
    notebook: Literal[tuple(MODELS)]  # type: ignore[valid-type]
    id: str = Field("", pattern=rf"^({NAME})?$")
    preset: Names = []
    parameters: dict[str, Any] = {}
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    each: Names = []
    last: bool = False


class _File(_Keys):
    name: str = Field("", pattern=rf"^({NAME})?$")
    about: str = ""
    stages: list[Any] = Field(min_length=1)
    slurm: dict[str, Any] = {}


K = TypeVar("K", bound=_Keys)


def _checked(kind: type[K], where: str, value: Any) -> K:
    """ValueError, one line, for the first mistake."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        name, reason = ".".join(map(str, first["loc"])), first["msg"][0].lower() + first["msg"][1:]
        got = f"{name} = {first['input']!r:.60}: {reason}" if name else f"{value!r:.60}: not a mapping"
        known = ", ".join(kind.model_fields)
        raise ValueError(f"{where}: {got}; its keys are {known}, as in notebooks/sweeps/small.yaml") from None


def read_sweep(path: Path) -> Sweep:
    """The sweep that a YAML file describes; ValueError, one line, for a mistake in it or in any job's parameters."""
    file = _checked(_File, path.name, _yaml(path, NOTEBOOKS / "sweeps"))
    jobs: dict[str, list[Job]] = {}
    for at, content in enumerate(file.stages, 1):
        where = f"{path.name}, stage {at}"
        stage = _checked(_Stage, where, content)
        found = _stage_jobs(where, stage, jobs, path.parent)
        if found[0].stage in jobs:
            raise ValueError(f"{where}: a stage named {found[0].stage} is there already; give this one another id")
        jobs[found[0].stage] = found
    every = tuple(itertools.chain(*jobs.values()))
    works = [(job.notebook, job.parameters, job.searches) for job in every]
    if twice := next((job for job, work in zip(every, works, strict=True) if works.count(work) > 1), None):
        raise ValueError(f"{path.name}: {twice.key} comes twice; change or drop one of the two")
    return Sweep(file.name or path.stem, file.about, every, file.slurm)


def _yaml(path: Path, beside: Path) -> Any:
    """ValueError, one line, for a file that is missing, empty or no YAML; it names those that there are."""
    there = ", ".join(other.name for other in sorted(beside.glob("*.yaml")))
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = f", line {error.problem_mark.line + 1}" if isinstance(error, yaml.MarkedYAMLError) else ""
        why = getattr(error, "strerror", None) or getattr(error, "problem", None) or "not a text file"
        raise ValueError(f"{path}{line}: cannot be read as YAML ({why}); {beside.name}/ has {there}") from None
    if content is None:
        raise ValueError(f"{path}: empty; {beside.name}/ has {there}")
    return content


def _stage_jobs(where: str, stage: _Stage, before: dict[str, list[Job]], folder: Path) -> list[Job]:
    """The jobs of one stage, each of them checked."""
    searches = _searches(where, stage, before)
    listed = {"preset": stage.preset} if len(stage.preset) > 1 else {}
    jobs = []
    for search, *point in itertools.product(searches or (None,), *(listed | stage.grid).values()):
        shown = dict(zip(listed | stage.grid, point, strict=True))
        values = dict(shown)
        presets = [values.pop("preset")] if listed else stage.preset
        given = {name: value for preset in presets for name, value in _preset(where, preset).items()}
        if search:  # what varied there varies here too
            shown = {f"search {key}" if key in shown else key: value for key, value in search.grid.items()} | shown
        parents = (search,) if search else ()
        given = _placed(given | stage.parameters | values, folder)
        job = Job(stage.id or stage.notebook, stage.notebook, given, shown, parents, stage.last)
        _check(where, job)
        jobs.append(job)
    return jobs


def _searches(where: str, stage: _Stage, before: dict[str, list[Job]]) -> list[Job]:
    """The jobs that `each` names, one evaluation for each of them."""
    if stage.each and stage.notebook != "04_evaluation":
        raise ValueError(f"{where}: each = {stage.each}: only 04_evaluation follows searches, not {stage.notebook}")
    for name in stage.each:
        if name not in before:
            known = f"above are {', '.join(before)}" if before else "no stage stands above it"
            raise ValueError(f"{where}: each = {name!r}: not a stage above; {known}")
    return [job for name in stage.each for job in before[name]]


def _preset(where: str, name: str) -> dict[str, Any]:
    """The values of a file of notebooks/params/."""
    try:
        values = _yaml(NOTEBOOKS / "params" / Path(name).name, NOTEBOOKS / "params")
    except ValueError as error:
        raise ValueError(f"{where}: preset = {name!r}: {error}") from None
    return dict(values)


def _placed(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A table's path is taken from the sweep's file, since notebooks run in their own folder."""
    table = given.get("table")
    return (
        given | {"table": str((folder / table).resolve())} if isinstance(table, str) and table != "digits201" else given
    )


def _check(where: str, job: Job) -> None:
    """ValueError, one line, for parameters that cannot serve, or a place, which is the sweep's own."""
    if taken := sorted(PLACES & job.parameters.keys()):
        raise ValueError(f"{where}: {taken[0]} is the sweep's own: each job writes to its folder; drop it")
    if job.notebook == "04_evaluation" and not job.searches and FOUND in _words(job.parameters.get("train", FOUND)):
        raise ValueError(f"{where}: train = 'found' needs `each`, a stage of searches above; or name cells")
    try:
        job.settings()
    except ParameterError as error:
        raise ValueError(f"{where}: {str(error).splitlines()[0]}") from None


def _words(text: Any) -> list[str]:
    return [word.strip() for word in str(text).split(";") if word.strip()]


# --- what a job searches and trains ----------------------------------------------------------------


def cells_to_train(job: Job, folder: Path) -> str:
    """`train` with the run folders of the job's searches in place of 'found'."""
    found = [str(path) for search in job.searches for path in search_folders(search, folder / "runs")]
    words = _words(job.settings().train)
    return "; ".join(dict.fromkeys(one for word in words for one in (found if word == FOUND else [word])))


def search_configs(job: Job) -> list[SearchConfig]:
    """Each method from each seed; none where the notebook makes no searches."""
    settings = job.settings()
    if job.notebook not in SEARCHING or job.parameters.get("folders"):
        return []
    return [one for config in settings.configs().values() for one in seeds(config, settings.runs)]


def search_folders(job: Job, runs_dir: Path) -> list[Path]:
    """Where those searches are, finished or not."""
    return [run_path(runs_dir, config) for config in search_configs(job)]
