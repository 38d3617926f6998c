"""Markdown with formulas to HTML that needs neither JavaScript nor the network: formulas become MathML."""

import html
import re
from typing import Any
from xml.etree import ElementTree

from bs4 import BeautifulSoup, Tag
from latex2mathml.converter import Converter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

REWRITES = (  # what latex2mathml does not know, or sets otherwise than TeX
    (r"\\arg\s*\\(min|max)(?![a-zA-Z])", r"\\arg\1"),
    (r"(?<![_\\a-zA-Z])(\\[a-zA-Z]+|[a-zA-Z])'(?!')", r"{\1\\prime}"),  # fonts raise the prime already
    (r"(?<=[\[(,=])\s*-(\w+)", r"{-\1}"),  # a sign, no difference
)


def latex_to_mathml(latex: str, *, block: bool = False) -> str:
    """A formula as MathML; as visible LaTeX in <code> where it cannot be converted.

    >>> latex_to_mathml(r"x^2").split(">", 1)[1]
    '<mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    >>> latex_to_mathml(r"\\nosuch{x}")
    '<code class="latex">\\\\nosuch{x}</code>'
    """
    rewritten = latex
    for pattern, replacement in REWRITES:
        rewritten = re.sub(pattern, replacement, rewritten)
    try:
        math = Converter(display="block" if block else "inline").convert_to_element(rewritten)
        for node in math.iter():
            _tidy(node, block)
    except Exception:  # latex2mathml's errors share no base class; reports go on with the LaTeX
        return f'<code class="latex">{html.escape(latex)}</code>'
    math.set("alttext", latex)
    return ElementTree.tostring(math, encoding="unicode")


def _tidy(node: ElementTree.Element, block: bool) -> None:
    """Repair what browsers show otherwise than TeX; ValueError for a command that latex2mathml did not understand."""
    node.text = html.unescape(node.text or "")
    if node.text.startswith("\\"):
        raise ValueError(f"unknown command {node.text}")
    if node.text == "|":
        node.attrib |= {"lspace": "0", "rspace": "0"}
    elif node.tag in ("mi", "mo") and len(node.text) > 1 and node.text[:2].isalpha():  # log, arg min
        node.tag, node.attrib = "mo", {"lspace": "0.167em", "rspace": "0.167em"}
    elif node.tag == "msub" and block and (node[0].text or "").endswith(("min", "max")):
        node.tag = "munder"


class _Renderer(IPythonRenderer):
    def heading(self, text: str, level: int, **attributes: Any) -> str:
        """With an id to link to: `## Is it flat?` is #is-it-flat."""
        name = re.sub(r"\W+", "-", to_text(BeautifulSoup(text, "html.parser")).lower()).strip("-")
        return str(super().heading(text, level, **attributes | {"id": name}))

    def block_math(self, body: str) -> str:
        return latex_to_mathml(body.strip(), block=True)

    def inline_math(self, body: str) -> str:
        return latex_to_mathml(body.strip())


def to_html(source: str, **options: Any) -> str:
    """Markdown to HTML; `options` are nbconvert's IPythonRenderer's (attachments, embedded images)."""
    return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True, **options)).render(source)


def to_text(tag: Tag | None) -> str:
    """What an element says, on one line; '' for None."""
    return " ".join(tag.get_text().split()) if tag else ""
