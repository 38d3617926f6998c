"""`nbconvert --to flatlib`: a page that opens from disk, with nothing loaded from the network."""

import copy
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from jinja2 import pass_context
from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from plotly.offline import get_plotlyjs
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from traitlets.config import Config

from flatlib import __version__
from flatlib.display import markdown
from flatlib.display.card import PLOTLY_MIME, json_for_script, make_card, title_line
from flatlib.display.explorer import module, style

TEMPLATES = Path(__file__).parent / "templates"
PLOTLY_JS = "assets/plotly.min.js"  # one for all pages of a folder
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
STATE_MIME = "application/vnd.jupyter.widget-state+json"
EXPLORER_MIME = "application/vnd.flatlib.explorer+json"  # a widget's state that the page's own module shows
EXPLORERS = {  # packaged modules, the only ones that a page runs -> what it needs of a widget's state
    "explorer": ("data", "cell", "path"),
    "landscape_explorer": ("data", "run", "at"),
}
# The first that an output has is shown.
MIMES = [PLOTLY_MIME, EXPLORER_MIME, "text/html", "text/markdown", "image/svg+xml", "image/png", "text/plain"]
WARNING = re.compile(r"\b(?:User|Runtime)Warning: (.+)")


class FlatlibExporter(HTMLExporter):
    """HTML with folded code, MathML formulas and Plotly figures that share one plotly.js."""

    export_from_notebook = "flatlib report"

    @property
    def default_config(self) -> Config:
        template = {"template_name": "flatlib", "extra_template_basedirs": [str(TEMPLATES)]}
        shown = {"embed_images": True, "exclude_input_prompt": True, "exclude_output_prompt": True}
        return Config({"NbConvertBase": {"display_data_priority": MIMES}, "HTMLExporter": template | shown})

    def default_filters(self) -> Any:
        yield from super().default_filters()
        yield "markdown2html", self.markdown2html
        yield "json_for_script", json_for_script

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Markdown to HTML with MathML; pictures beside the notebook are embedded."""
        return markdown.to_html(
            source,
            attachments=context.get("cell", {}).get("attachments", {}),
            embed_images=self.embed_images,
            path=context.get("resources", {}).get("metadata", {}).get("path", ""),
        )

    def from_notebook_node(  # type: ignore[override]  # as nbconvert's own
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """The page, and in resources["outputs"] the files that belong beside it."""
        resources = self._init_resources(resources)
        card = make_card(nb, resources["metadata"].get("name") or "notebook")
        nb = _readable(nb)
        outputs = [output.get("data", {}) for cell in nb.cells for output in cell.get("outputs", [])]
        explorers = sorted({data[EXPLORER_MIME]["module"] for data in outputs if EXPLORER_MIME in data})
        resources["flatlib"] = {
            "card": card,
            "card_json": json_for_script(asdict(card)),
            "ran": "papermill" in nb.metadata,
            "version": __version__,
            "plotly_js": PLOTLY_JS,
            "pygments": highlighting(),
            "explorers": {name: {"js": module(name), "css": style(name)} for name in explorers},
        }
        html, resources = super().from_notebook_node(nb, resources, **kw)
        resources["outputs"] = {**(resources.get("outputs") or {}), **assets()}
        return html, resources


def assets() -> dict[str, bytes]:
    """What lies beside the pages: path -> content."""
    return {PLOTLY_JS: get_plotlyjs().encode()}


def environment() -> jinja2.Environment:
    """What renders the templates that are no notebook's."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    made = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"quote": quote, "json_for_script": json_for_script}
    return made


def highlighting() -> str:
    """Style sheet of highlighted code, for light and dark pages."""
    light, dark = (
        HtmlFormatter(style=style, nobackground=True).get_style_defs(".highlight") for style in ("xcode", "github-dark")
    )
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"


# --- what is shown of a notebook ------------------------------------------------------------------


def _readable(notebook: NotebookNode) -> NotebookNode:
    """A copy without the title, which the header shows, and without outputs that say nothing on a page."""
    notebook = copy.deepcopy(notebook)
    widgets = notebook.metadata.pop("widgets", {}).get(STATE_MIME, {}).get("state", {})  # as papermill stores them
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [shown for output in cell.outputs if (shown := _shown(output, widgets))]
    first = next((cell for cell in notebook.cells if cell.cell_type == "markdown"), None)
    if first and (heading := title_line(first.source)):
        first.source = first.source.lstrip()[len(heading) :].lstrip("\n")
    return notebook


def _shown(output: NotebookNode, widgets: dict[str, Any]) -> NotebookNode | None:
    """An output as the page shows it: of stderr the warnings only, no progress bars, of widgets the explorers."""
    if output.output_type == "stream" and output.name == "stderr":
        output.text = "\n".join(dict.fromkeys(WARNING.findall(output.text)))
        return output if output.text else None
    if WIDGET_MIME in output.get("data", {}):
        state = widgets.get(output.data[WIDGET_MIME].get("model_id"), {}).get("state", {})
        name = next((name for name in EXPLORERS if state.get("_esm") == module(name)), None)
        if name is None:  # of another program, or of another version: its code must not get into a page
            return None
        output.data = {EXPLORER_MIME: {"module": name} | {trait: state.get(trait) for trait in EXPLORERS[name]}}
    if "data" in output and not output.data.keys() & set(MIMES):
        return None
    return output
