"""A sweep: notebooks over grids of parameters, read from a YAML file and checked before any work."""

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

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
SWEEP_KEYS = {"name", "about", "stages", "slurm"}
STAGE_KEYS = {"notebook", "id", "preset", "parameters", "grid", "each", "last"}
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


def read_sweep(path: Path) -> Sweep:
    """The sweep that a YAML file describes; ValueError, one line, for a mistake in it or in any job's parameters."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "problem", None) or "not a text file"
        raise ValueError(f"{path}: cannot be read as YAML ({why})") from None
    content = _mapping(path.name, content, SWEEP_KEYS)
    name, stages = str(content.get("name", path.stem)), content.get("stages")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"{path.name}: name = {name!r}: allowed: letters, digits, '.', '_' and '-'")
    if not isinstance(stages, list) or not stages:
        raise ValueError(f"{path.name}: no stages; expected a list of 'notebook: ...' with 'grid: {{...}}'")
    jobs: dict[str, list[Job]] = {}
    for at, stage in enumerate(stages, 1):
        where = f"{path.name}, stage {at}"
        stage = _mapping(where, stage, STAGE_KEYS)
        found = _stage_jobs(where, stage, jobs, path.parent)
        if found[0].stage in jobs:
            raise ValueError(f"{where}: a stage named {found[0].stage} is there already; give this one another id")
        jobs[found[0].stage] = found
    every = tuple(itertools.chain(*jobs.values()))
    keys = [job.key for job in every]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ValueError(f"{path.name}: {twice} comes twice; change or drop one of the two")
    return Sweep(name, str(content.get("about", "")), every, dict(content.get("slurm") or {}))


def _mapping(where: str, value: Any, known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or (unknown := next((key for key in value if key not in known), None)):
        got = f"{unknown!r}: no such key" if isinstance(value, dict) else f"{value!r:.40}: not a mapping"
        raise ValueError(f"{where}: {got}; allowed: {', '.join(sorted(known))}")
    return value


def _stage_jobs(where: str, stage: dict[str, Any], before: dict[str, list[Job]], folder: Path) -> list[Job]:
    """The jobs of one stage, each of them checked."""
    notebook = stage.get("notebook")
    if notebook not in MODELS:
        raise ValueError(f"{where}: notebook = {notebook!r}; allowed: {', '.join(MODELS)}")
    name, grid, presets = str(stage.get("id", notebook)), dict(stage.get("grid") or {}), stage.get("preset")
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where}: grid: {key} = {values!r}: expected a list of values")
    searches = _searches(where, stage, before)
    listed = {"preset": presets} if isinstance(presets, list) else {}
    jobs = []
    for search, *point in itertools.product(searches or (None,), *(listed | grid).values()):
        shown = dict(zip(listed | grid, point, strict=True))
        values = dict(shown)
        given = _preset(where, values.pop("preset", presets)) | dict(stage.get("parameters") or {}) | values
        if search:  # what varied there varies here too
            shown = {f"search {key}" if key in shown else key: value for key, value in search.grid.items()} | shown
        parents = (search,) if search else ()
        job = Job(name, notebook, _placed(given, folder), shown, parents, bool(stage.get("last")))
        _check(where, job)
        jobs.append(job)
    return jobs


def _searches(where: str, stage: dict[str, Any], before: dict[str, list[Job]]) -> list[Job]:
    """The jobs that `each` names, one evaluation for each of them."""
    each = stage.get("each", [])
    names = each if isinstance(each, list) else [each]
    for name in names:
        if name not in before or stage["notebook"] != "04_evaluation":
            raise ValueError(
                f"{where}: each = {name!r}: allowed: with 04_evaluation, a stage above ({', '.join(before)})"
            )
    return [job for name in names for job in before[name]]


def _preset(where: str, name: Any) -> dict[str, Any]:
    """The values of a file of notebooks/params/."""
    if name is None:
        return {}
    try:
        return dict(yaml.safe_load((NOTEBOOKS / "params" / str(name)).read_text(encoding="utf-8")))
    except OSError:
        there = ", ".join(path.name for path in sorted((NOTEBOOKS / "params").glob("*.yaml")))
        raise ValueError(f"{where}: preset = {name!r}: no such file; there are {there}") from None


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
    try:
        job.settings()
    except ParameterError as error:
        raise ValueError(f"{where}: {str(error).splitlines()[0]}") from None


# --- what a job searches and trains ----------------------------------------------------------------


def cells_to_train(job: Job, folder: Path) -> str:
    """`train` with the run folders of the job's searches in place of 'found'."""
    found = [str(path) for search in job.searches for path in search_folders(search, folder / "runs")]
    words = [word.strip() for word in job.settings().train.split(";") if word.strip()]
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
