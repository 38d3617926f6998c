"""A notebook as a user runs it, and what it then holds."""

import base64
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
PLOTLY = "application/vnd.plotly.v1+json"


def papermill(stem: str, folder: Path, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run notebooks/<stem>.ipynb to folder/<stem>.ipynb; what it writes goes below folder too."""
    source = ROOT / "notebooks" / f"{stem}.ipynb"
    command = [sys.executable, "-m", "papermill", str(source), str(folder / f"{stem}.ipynb"), "--no-progress-bar"]
    return subprocess.run(
        [*command, "-p", "reports_dir", str(folder), *arguments], cwd=cwd, capture_output=True, text=True
    )


class Executed:
    """A stored notebook: the outputs of a cell are found by a call in its source."""

    def __init__(self, path: Path) -> None:
        self.cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]

    @property
    def streams(self) -> set[str]:
        """Names of what was printed, 'stderr' among them."""
        return {output.name for cell in self.cells for output in cell.outputs if output.output_type == "stream"}

    def shown(self, call: str) -> list[dict]:
        """MIME type -> content of each output of the one cell that makes the call, named with arguments or without."""
        sought = call if "(" in call else f"{call}("
        (cell,) = (cell for cell in self.cells if sought in cell.source)
        return [output["data"] for output in cell.outputs]

    def figures(self, call: str) -> list[dict]:
        """Figures as Plotly's JSON."""
        return [data[PLOTLY] for data in self.shown(call) if PLOTLY in data]

    def table(self, call: str) -> dict[str, dict[str, str]]:
        """Column -> line -> text of the one table that the call shows."""
        (data,) = self.shown(call)
        rows = BeautifulSoup(data["text/html"], "html.parser").find("table").find_all("tr")
        head, *lines = [[cell.get_text(strip=True) for cell in row.find_all(["th", "td"])] for row in rows]
        return {name: {line[0]: line[at] for line in lines} for at, name in enumerate(head[1:], 1)}

    def captions(self, call: str) -> list[str]:
        """The title below the first drawing of each output that has one."""
        pages = [BeautifulSoup(data.get("text/html", ""), "html.parser") for data in self.shown(call)]
        return [title.get_text() for page in pages if (title := page.select_one("figcaption b"))]


def run_notebook(stem: str, folder: Path, **parameters: object) -> Executed:
    """The notebook run with these parameters; it must end well and print no warning."""
    arguments = [word for name, value in parameters.items() for word in ("-p", name, str(value))]
    done = papermill(stem, folder, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    notebook = Executed(folder / f"{stem}.ipynb")
    assert "stderr" not in notebook.streams
    return notebook


def numbers(values: list | dict) -> list:
    """Numbers of a stored figure, which Plotly keeps as a list or as base64."""
    if isinstance(values, list):
        return values
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
