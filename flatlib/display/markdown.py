"""Markdown with formulas to HTML that needs neither JavaScript nor the network: formulas become MathML."""

import html
import re
import unicodedata
from typing import Any
from xml.etree import ElementTree

from bs4 import BeautifulSoup
from latex2mathml.converter import Converter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath, MathInlineParser

REWRITES = (  # what latex2mathml does not know
    (r"\\(?:nonumber|notag)(?![a-zA-Z])|\\label\{[^}]*\}", ""),
    (r"\\arg\s*\\(min|max)(?![a-zA-Z])", r"\\arg\1"),
    (r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}"),
    (r"\\operatorname\*?\{arg\\,(min|max)\}", r"\\arg\1"),
    (r"(?<![_\\a-zA-Z])(\\[a-zA-Z]+|[a-zA-Z])'(?!')", r"{\1\\prime}"),  # fonts raise the prime already
    (r"\\(begin|end)\{(equation|align|gather)\}", r"\\\1{\2*}"),  # its numbers would start anew in each formula
)
THIN = "\u2009"  # the space in latex2mathml's arg min
OPENING = ("(", "[", "{", ",", "=")
SIGNS = ("+", "\u2212", "\u00b1")
LIMITS = ("min", "max", "inf", "sup", "lim", f"arg{THIN}min", f"arg{THIN}max")
LOADS = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)


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
        _unescape(math)
    except Exception:  # latex2mathml's errors share no base class; reports go on with the LaTeX
        return f'<code class="latex">{html.escape(latex)}</code>'
    for node in math.iter():
        _tidy(node, block)
        _space(node)
    math.set("alttext", latex)
    return ElementTree.tostring(math, encoding="unicode")


def _unescape(math: ElementTree.Element) -> None:
    """Turn latex2mathml's entities into characters; ValueError for a command that it did not understand."""
    for node in math.iter():
        node.text = html.unescape(node.text or "")
        node.attrib.pop("href", None)
        if node.text.startswith("\\"):
            raise ValueError(f"unknown command {node.text}")


def _tidy(node: ElementTree.Element, block: bool) -> None:
    """Repair what browsers show otherwise than TeX: relations, fences, limits, blackboard digits."""
    text = node.text or ""
    if node.tag == "mi" and len(text) == 1 and unicodedata.category(text) in ("Sm", "Ps", "Pe"):
        node.tag, node.text = "mo", "\u223c" if text == "~" else text
    if node.tag == "mo" and text in ("|", "\u2016"):
        node.attrib = {"stretchy": "false", "lspace": "0", "rspace": "0"} | node.attrib
    if node.tag == "msub" and block and node[0].text in LIMITS:
        node.tag = "munder"
    if node.get("mathvariant") == "double-struck" and text.isdigit():
        node.text = "".join(chr(0x1D7D8 + int(digit)) for digit in text)


def _space(row: ElementTree.Element) -> None:
    """Space functions and signs as TeX does, which looks at what stands before and after."""
    for before, part, after in zip([None, *row], row, [*row[1:], None], strict=False):
        opens = before is None or (before.text or "") in OPENING
        name = (part.text or "").replace(THIN, "")
        if part.tag == "mo" and name in SIGNS and opens:
            part.set("form", "prefix")
        elif part.tag in ("mi", "mo") and len(name) > 1 and name.isalpha():  # log, max, arg min
            closes = after is None or after.text == "("
            part.tag = "mo"
            part.set("lspace", "0" if opens and row.tag == "mrow" else "0.167em")
            part.set("rspace", "0" if closes and row.tag == "mrow" else "0.167em")


class _Inline(MathInlineParser):
    """Formulas between dollars, but not `$5 and $6`: pandoc's rule."""

    SPECIFICATION = MathInlineParser.SPECIFICATION | {
        "inline_math_tex": r"(?s:(?<![$\\])\$(?=[^\s$])(?P<math_inline_tex>(?:\\.|[^$\\])+?)(?<!\s)\$(?![\d$]))"
    }


class _Renderer(IPythonRenderer):
    def heading(self, text: str, level: int, **attributes: Any) -> str:
        """With an id to link to: `## Is it flat?` is #is-it-flat."""
        name = re.sub(r"\W+", "-", _text(BeautifulSoup(text, "html.parser")).lower()).strip("-")
        return str(super().heading(text, level, **attributes | {"id": name}))

    def block_math(self, body: str) -> str:
        return latex_to_mathml(body.strip(), block=True)

    def inline_math(self, body: str) -> str:
        return latex_to_mathml(body.strip())

    def latex_environment(self, name: str, body: str) -> str:
        return latex_to_mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", block=True)


def to_html(source: str, **options: Any) -> str:
    """Markdown to HTML; `options` are nbconvert's IPythonRenderer's (attachments, embedded images)."""
    renderer = _Renderer(escape=False, exclude_anchor_links=True, **options)
    return without_network(MarkdownWithMath(renderer=renderer, inline=_Inline(hard_wrap=False)).render(source))


def to_text(source: str) -> str:
    """Markdown to one line of plain text."""
    return _text(BeautifulSoup(to_html(source), "html.parser"))


def first_paragraph(source: str) -> str:
    """The first paragraph of a Markdown text that holds words, as plain text; '' without one."""
    soup = BeautifulSoup(to_html(source), "html.parser")
    return next(filter(None, map(_text, soup.find_all("p"))), "")


def _text(tag: Any) -> str:
    return " ".join(tag.get_text().split())


def without_network(fragment: str) -> str:
    """Take out of a piece of HTML what a browser would load from the net; pictures become links."""
    if "//" not in fragment:
        return fragment
    soup = BeautifulSoup(fragment, "html.parser")
    loading = soup.find_all(src=LOADS) + soup.find_all("link", href=LOADS)
    for tag in loading:
        if tag.name == "img":
            link = soup.new_tag("a", href=str(tag["src"]))
            link.string = str(tag.get("alt") or tag["src"])
            tag.replace_with(link)
        else:
            tag.decompose()
    return str(soup) if loading else fragment
