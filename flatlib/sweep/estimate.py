"""What a sweep will take, in GPU-hours: searches by the paper's costs, trainings by arithmetic."""

from functools import cache

from flatlib import published
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.cost import cost
from flatlib.evaluation.plan import IMAGES as SHAPES
from flatlib.search.config import SearchConfig
from flatlib.sweep.plan import Job, search_configs

TFLOPS = 1.0  # sustained by a data-center GPU on these networks, whose depthwise layers wait for memory: assumed
IMAGES = {"digits": 1437, "cifar10": 50_000, "cifar100": 50_000, "imagenet": 1_281_167}  # of training
OVERHEAD = "some 20 s more to start and end each job"
STAND_IN = "DARTS_V2"  # size of a cell that is not found yet


def gpu_hours(job: Job) -> tuple[float, float]:
    """Hours of a job's searches and trainings on one GPU; tables and landscapes (minutes) count as 0."""
    settings = job.settings()
    searches = sum(map(search_hours, search_configs(job)))
    if job.notebook != "04_evaluation":
        return searches, 0.0
    unknown = dict.fromkeys(range(sum(len(search_configs(one)) for one in job.searches)), catalogue()[STAND_IN].cell)
    trainings = settings.configs({str(number): cell for number, cell in unknown.items()}).values()
    return searches, settings.runs * sum(map(training_hours, trainings))


def search_hours(config: SearchConfig) -> float:
    """The paper's GPU days (Tables 4 and Fa) for 50 epochs at C = 16, 8 cells and 10 neighbors, in proportion.

    Its DARTS costs 0.3 days and NA-DARTS with 10 neighbors 1.1 (max: 0.5), so a further neighbor costs a ninth of
    the difference. The variance looks at each neighbor twice, once without a gradient: a third more.
    """
    days = _published("4", "PC-DARTS" if config.base_method == "pc-darts" else "DARTS 1st")
    if config.order == 2:
        days = _published("4", "DARTS 2nd")
    if config.neighborhood_aware:
        ten = _published("Fa", "max" if config.aggregator == "max" else "mean") / _published("4", "DARTS 1st")
        share = 4 / 3 if config.aggregator == "variance" else 1.0
        days *= 1 + (ten - 1) * share * (config.n_nbr - 1) / 9
    images = min(config.n_train or IMAGES[config.dataset], IMAGES[config.dataset]) / IMAGES["cifar10"]
    area = (SHAPES[config.dataset].shape.height / SHAPES["cifar10"].shape.height) ** 2
    return 24 * days * config.epochs / 50 * images * area * config.channels / 16 * config.cells / 8


@cache
def _published(table: str, row: str) -> float:
    return next(n.value for n in published.table(table) if n.row == row and n.unit == "GPU days")


def training_hours(config: EvaluationConfig) -> float:
    """Forward and backward pass: three times the forward pass's multiply-adds, two operations each."""
    images = min(config.n_train or IMAGES[config.dataset], IMAGES[config.dataset])
    return 6 * cost(config.plan()).multi_adds * images * config.epochs / (TFLOPS * 1e12) / 3600


def in_words(jobs: list[Job]) -> str:
    """One line for all of them."""
    hours = [gpu_hours(job) for job in jobs]
    search, training = map(sum, zip((0.0, 0.0), *hours, strict=True))
    longest = max(map(sum, hours), default=0.0)
    return (
        f"about {_figures(search + training)} GPU-hours: searches {_figures(search)} (by the paper's costs), trainings "
        f"{_figures(training)} (at {TFLOPS:g} TFLOP/s, assumed); the longest job {_figures(longest)}"
    )


def _figures(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def here(jobs: list[Job]) -> list[str]:
    """A line for the first job of each stage that searches: what its first search takes on this machine, alone.

    ValueError or OSError, one line, where its images are missing.
    """
    from flatlib.search.search import estimate

    lines = []
    for job in {job.stage: job for job in reversed(jobs)}.values():
        for config in search_configs(job)[:1]:
            lines.append(f"{job.stage}, a search of the first job, alone: {estimate(config)}; {OVERHEAD}")
    return lines[::-1]
