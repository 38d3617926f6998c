"""The command `flatlib`: thin wrappers around the package's functions."""

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _Told(TyperGroup):
    """Ctrl-C as one line: typer would end without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            typer.echo(f"flatlib: {str(stop) or 'interrupted; what is finished is kept'}", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Told,
    help="A research workbook for neighborhood-aware neural architecture search.\n\nExample: flatlib report",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data = typer.Typer(
    no_args_is_help=True,
    help="Benchmark tables and data sets: listed, fetched, imported, rebuilt.\n\nExample: flatlib data list",
)
app.add_typer(data, name="data")


@app.command()
def report(
    notebooks: Annotated[list[Path] | None, typer.Argument(help="Notebooks; default: all of notebooks/.")] = None,
    reports_dir: Annotated[str, typer.Option(help="Where the pages go; 'auto': the checkout's reports/.")] = "auto",
) -> None:
    """Run notebooks and export them as pages that open from disk; executed ones are exported as they are.

    Example: flatlib report notebooks/01_assumption.ipynb
    """
    from flatlib.display.report import run_and_export
    from flatlib.settings import resolve_reports_dir

    folder = resolve_reports_dir(reports_dir)
    pages = run_and_export(notebooks or None, folder)
    for page in pages:
        typer.echo(page)
    typer.echo(f"open {folder / 'index.html'}")


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="Which notebooks, over which parameters.")],
    scheduler: Annotated[str, typer.Option(help="Of a running Dask cluster, tcp://HOST:PORT.")] = "",
    slurm: Annotated[int, typer.Option(min=0, help="At most so many SLURM jobs (the file's 'slurm:' options).")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes on this machine; 0: one a GPU, else a core.")] = 0,
    sweeps_dir: Annotated[Path, typer.Option(help="Where each sweep has its folder.")] = Path("sweeps"),
    reports_dir: Annotated[str, typer.Option(help="Where the page goes; 'auto': the checkout's reports/.")] = "auto",
    dry: Annotated[bool, typer.Option("--dry", help="Check the file and estimate, run nothing.")] = False,
) -> None:
    """Run notebooks over a grid of parameters; started again, a sweep runs only what is missing.

    Example: flatlib sweep notebooks/sweeps/small.yaml
    """
    from flatlib.display.report import check_writable
    from flatlib.display.sweeps import save_page
    from flatlib.settings import resolve_reports_dir
    from flatlib.sweep import cluster, estimate
    from flatlib.sweep.plan import read_sweep

    plan = read_sweep(file)
    folder, pages = sweeps_dir.expanduser().absolute() / plan.name, resolve_reports_dir(reports_dir).absolute()
    waiting = cluster.waiting(plan, folder)
    typer.echo(f"{plan.name}: {len(waiting)} of {len(plan.jobs)} jobs to do, {estimate.in_words(waiting)}")
    if dry:
        for job in waiting:
            typer.echo(f"  {job.key}: {sum(estimate.gpu_hours(job)):.3g} GPU-hours")
        return
    for option, place in (("--sweeps-dir", folder), ("--reports-dir", pages)):
        check_writable(place, option)
    for line in [] if scheduler or slurm else estimate.here(waiting):
        typer.echo(line)
    errors = cluster.run_missing(plan, folder, scheduler=scheduler, slurm=slurm, workers=workers)
    typer.echo(save_page(folder, pages))
    for error in errors:
        typer.echo(error, err=True)
    if errors:
        raise RuntimeError(f"{len(errors)} errors, see above; the same command tries what failed again")


@app.command()
def cost(
    genotypes: Annotated[
        list[str],
        typer.Argument(
            metavar="GENOTYPE",
            help="Names of published cells or 'all', JSON files, run folders, Genotype(...), or NAS-Bench-201 strings.",
        ),
    ],
    dataset: Annotated[str, typer.Option(help="Input and classes: cifar10, cifar100, imagenet or digits.")] = "cifar10",
    channels: Annotated[
        int | None,
        typer.Option(help="C; default 36, imagenet 48, NAS-Bench-201 16; 0: for 3 M parameters, imagenet 600 M."),
    ] = None,
    cells: Annotated[int | None, typer.Option(min=1, help="Default 20, imagenet 14, NAS-Bench-201 15.")] = None,
) -> None:
    """Count a network's parameters and multiply-adds, without the auxiliary classifier: one JSON line a genotype.

    Example: flatlib cost DARTS_V2 PC-DARTS --dataset imagenet --channels 0
    """
    import json

    from flatlib.evaluation.cost import costs

    for line in costs(genotypes, dataset, channels=channels, cells=cells):
        typer.echo(json.dumps(line))


@data.command("list")
def list_tables() -> None:
    """List the tables on this machine, and how to get the rest: page, size, what it enables.

    Example: flatlib data list
    """
    from flatlib.tabular.table_file import listing

    typer.echo(listing())


@data.command()
def fetch(
    name: Annotated[str, typer.Argument(help="'cifar10' or 'cifar100'.")],
    folder: Annotated[Path | None, typer.Option(help="Where it goes; default: $FLATLIB_DATA, else ./data.")] = None,
) -> None:
    """Fetch a data set's official archive (170 MB), verify and unpack it. Started again, it resumes.

    Example: flatlib data fetch cifar10
    """
    from flatlib.data.fetch import fetch as fetch_archive

    place, there = fetch_archive(name, folder)
    typer.echo(f"{place}: {'there already' if there else 'complete'}")


@data.command("import")
def import_benchmark(
    source: Annotated[Path, typer.Argument(help="NAS-Bench-201-v1_1-096897.pth, or a NATS-tss-...-simple folder.")],
    target: Annotated[Path, typer.Argument(help="The .npz to write; must not exist yet.")],
) -> None:
    """Import the real benchmark: about 5 minutes and 1 GB of memory for the official file of 4.7 GB.

    Example: flatlib data import NAS-Bench-201-v1_1-096897.pth nb201.npz
    """
    from flatlib.tabular.importers import import_to_file

    table = import_to_file(source, target)
    typer.echo(f"{target}: complete, {len(table.archs):,} cells")


@data.command()
def build(
    target: Annotated[Path, typer.Argument(help="The .npz to write; must not exist yet.")],
    work: Annotated[Path, typer.Option(help="Folder for the parts; a build started again resumes.")] = Path(
        "runs/digits201"
    ),
    processes: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one a core.")] = 0,
) -> None:
    """Measure Digits201 anew: 5,260 networks, 12 runs each; about 30 minutes on 2 cores.

    Example: flatlib data build digits201.npz
    """
    if target.exists() or not target.parent.is_dir():
        raise ValueError(f"{target}: {'exists already' if target.exists() else 'no such folder'}; name a new file")
    from tqdm import tqdm

    from flatlib.evaluation import digits201_build
    from flatlib.spaces import all_archs
    from flatlib.tabular.table import Quantity, Table
    from flatlib.tabular.table_file import EMBEDDED, save_table

    results = digits201_build.build(work, processes=processes or None, progress=tqdm)
    quantities = {key: Quantity(*arrays) for key, arrays in digits201_build.quantities(results).items()}
    save_table(Table(EMBEDDED, all_archs(), quantities), target)
    typer.echo(f"{target}: complete")


def main() -> None:
    """Run the command; a warning or an expected error is one line on stderr, an error exit code 1."""
    warnings.formatwarning = lambda message, *_, **__: f"flatlib: {message}\n"
    try:
        app()
    except (ValueError, RuntimeError, OSError) as error:
        print(f"flatlib: {' '.join(str(error).split())}", file=sys.stderr)  # one line, also for a path of two
        sys.exit(1)
