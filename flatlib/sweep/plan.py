"""A sweep: notebooks over grids of parameters, read from a YAML file and checked before any work."""

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flatlib import parameters as notebook_parameters
from flatlib.parameters import words
from flatlib.run.config import make, seeds
from flatlib.run.folder import digest
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
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
        varied = ",".join(f"{name}={value}" for name, value in self.grid.items())
        return f"{re.sub('[^A-Za-z0-9_.,=-]', '', f'{self.stage}-{varied}')[:80].rstrip('-')}-{unique}"

    def settings(self, **more: Any) -> Any:
        """The notebook's checked parameters; ValueError for what cannot serve."""
        return make(MODELS[self.notebook], self.parameters | more)


@dataclass(frozen=True)
class Sweep:
    """All jobs of a file, in its order."""

    name: str
    about: str
    jobs: tuple[Job, ...]
    slurm: dict[str, Any] = field(default_factory=dict)  # dask_jobqueue.SLURMCluster's options


LETTERS = "letters, digits, '.', '_' and '-', a letter or digit first"
FILE = {  # key -> what its value is, in Python and in words
    "name": (str, LETTERS),
    "about": (str, "a text"),
    "stages": (list, "a list of stages"),
    "slurm": (dict, "options of dask_jobqueue.SLURMCluster"),
}
STAGE = {
    "notebook": (str, f"one of {', '.join(MODELS)}"),
    "id": (str, LETTERS),
    "preset": ((str, list), "a file of notebooks/params/, or a list of them"),
    "parameters": (dict, "names and values"),
    "grid": (dict, "names and lists of values"),
    "each": ((str, list), "a stage above, or a list of them"),
    "last": (bool, "true or false"),
}


def _mapping(where: str, content: Any, keys: dict[str, Any], *needed: str) -> dict[str, Any]:
    """A YAML mapping with these keys; ValueError, one line, for anything else."""
    known = f"its keys are {', '.join(keys)}, as in notebooks/sweeps/small.yaml"
    if not isinstance(content, dict):
        raise ValueError(f"{where}: {content!r:.60}: not a mapping; {known}")
    for name, value in content.items():
        if name not in keys:
            raise ValueError(f"{where}: {name} = {value!r:.60}: no such key; {known}")
        kind, allowed = keys[name]
        if not isinstance(value, kind) or value == [] or (allowed == LETTERS and not re.fullmatch(NAME, value)):
            raise ValueError(f"{where}: {name} = {value!r:.60}: allowed: {allowed}")
    for name in needed:
        if name not in content:
            raise ValueError(f"{where}: no {name}; {known}")
    return content


def _names(value: str | list[str]) -> list[str]:
    return [str(one) for one in ([value] if isinstance(value, str) else value)]


def read_sweep(path: Path) -> Sweep:
    """The sweep that a YAML file describes; ValueError, one line, for a mistake in it or in any job's parameters."""
    file = _mapping(path.name, _yaml(path, NOTEBOOKS / "sweeps"), FILE, "stages")
    jobs: dict[str, list[Job]] = {}
    for at, content in enumerate(file["stages"], 1):
        where = f"{path.name}, stage {at}"
        found = _stage_jobs(where, _mapping(where, content, STAGE, "notebook"), jobs, path.parent)
        if found[0].stage in jobs:
            raise ValueError(f"{where}: a stage named {found[0].stage} is there already; give this one another id")
        jobs[found[0].stage] = found
    every = tuple(itertools.chain(*jobs.values()))
    works = [(job.notebook, job.parameters, job.searches) for job in every]
    if twice := next((job for job, work in zip(every, works, strict=True) if works.count(work) > 1), None):
        raise ValueError(f"{path.name}: {twice.key} comes twice; change or drop one of the two")
    return Sweep(file.get("name", path.stem), file.get("about", ""), every, file.get("slurm", {}))


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


def _stage_jobs(where: str, stage: dict[str, Any], before: dict[str, list[Job]], folder: Path) -> list[Job]:
    """The jobs of one stage, each of them checked."""
    notebook, presets = stage["notebook"], _names(stage.get("preset", []))
    if notebook not in MODELS:
        raise ValueError(f"{where}: notebook = {notebook!r}: allowed: {STAGE['notebook'][1]}")
    grid = ({"preset": presets} if len(presets) > 1 else {}) | stage.get("grid", {})
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{where}: grid: {name} = {values!r:.60}: allowed: a list of values")
    searches = _searches(where, notebook, _names(stage.get("each", [])), before)
    jobs = []
    for search, *point in itertools.product(searches or (None,), *grid.values()):
        shown = dict(zip(grid, point, strict=True))
        varied = dict(shown)
        chosen = [varied.pop("preset")] if len(presets) > 1 else presets
        given = {name: value for preset in chosen for name, value in _preset(where, preset).items()}
        if search:  # what varied there varies here too
            shown = {f"search {key}" if key in shown else key: value for key, value in search.grid.items()} | shown
        given = _placed(given | stage.get("parameters", {}) | varied, folder)
        parents = (search,) if search else ()
        jobs.append(Job(stage.get("id", notebook), notebook, given, shown, parents, stage.get("last", False)))
        _check(where, jobs[-1])
    return jobs


def _searches(where: str, notebook: str, each: list[str], before: dict[str, list[Job]]) -> list[Job]:
    """The jobs that `each` names, one evaluation for each of them."""
    if each and notebook != "04_evaluation":
        raise ValueError(f"{where}: each = {each}: only 04_evaluation follows searches, not {notebook}")
    for name in each:
        if name not in before:
            known = f"above are {', '.join(before)}" if before else "no stage stands above it"
            raise ValueError(f"{where}: each = {name!r}: not a stage above; {known}")
    return [job for name in each for job in before[name]]


def _preset(where: str, name: str) -> dict[str, Any]:
    """The values of a file of notebooks/params/."""
    try:
        return dict(_yaml(NOTEBOOKS / "params" / Path(name).name, NOTEBOOKS / "params"))
    except ValueError as error:
        raise ValueError(f"{where}: preset = {name!r}: {error}") from None


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
    if job.notebook == "04_evaluation" and not job.searches and FOUND in words(str(job.parameters.get("train", FOUND))):
        raise ValueError(f"{where}: train = 'found' needs `each`, a stage of searches above; or name cells")
    try:
        job.settings()
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).splitlines()[0]}") from None


# --- what a job searches and trains ----------------------------------------------------------------


def cells_to_train(job: Job, folder: Path) -> str:
    """`train` with the run folders of the job's searches in place of 'found'."""
    found = [str(path) for search in job.searches for path in search_folders(search, folder / "runs")]
    named = words(job.settings().train)
    return "; ".join(dict.fromkeys(one for word in named for one in (found if word == FOUND else [word])))


def search_configs(job: Job) -> list[SearchConfig]:
    """Each method from each seed; none where the notebook makes no searches."""
    settings = job.settings()
    if job.notebook not in SEARCHING or job.parameters.get("folders"):
        return []
    return [one for config in settings.configs().values() for one in seeds(config, settings.runs)]


def search_folders(job: Job, runs_dir: Path) -> list[Path]:
    """Where those searches are, finished or not."""
    return [Run.path(runs_dir, config) for config in search_configs(job)]
