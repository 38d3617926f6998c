"""Formulas of pages: sees one left as LaTeX, set otherwise than TeX sets it, or taken from code."""

import re
from xml.etree import ElementTree

import nbformat
import pytest
from made_notebooks import ROOT, executed
from nbformat.v4 import new_markdown_cell

from flatlib.display.card import make_card
from flatlib.display.markdown import latex_to_mathml, to_html

SOURCES = [*sorted((ROOT / "notebooks").glob("*.ipynb")), ROOT / "docs" / "extend.md"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_formulas_of_the_project_become_mathml(path):
    """Sees a formula of a notebook that is shown as LaTeX, in part or whole, and MathML that is not well-formed."""
    cells = nbformat.read(path, 4).cells if path.suffix == ".ipynb" else [new_markdown_cell(path.read_text())]
    page = "".join(to_html(cell.source) for cell in cells if cell.cell_type == "markdown")
    assert 'class="latex"' not in page and "$" not in re.sub(r"<(math|code|pre)\b.*?</\1>", "", page, flags=re.DOTALL)
    for formula in re.findall("<math.*?</math>", page):
        assert not [node.text for node in ElementTree.fromstring(formula).iter() if "\\" in (node.text or "")]


@pytest.mark.parametrize(
    "latex",
    [
        r"\tfrac12\lVert p-q\rVert_1",
        r"\sum_{k=0}^{d} \binom{E}{k}(m-1)^k",
        r"q_k \sim \mathcal{U}(\max(-\epsilon, -\alpha_k), \epsilon)",
        r"\begin{cases} a & b \\ c & d \end{cases}",
        r"\text{a < b}",
    ],
)
def test_formulas_become_mathml(latex):
    """Sees a command that is left as text, and MathML that is not well-formed."""
    for block in (False, True):
        math = ElementTree.fromstring(latex_to_mathml(latex, block=block))
        assert math.tag.endswith("math") and math.get("display") == ("block" if block else "inline")
        assert not [node.text for node in math.iter() if "\\" in (node.text or "")]


def test_a_sign_is_no_difference():
    """Sees the minus of [-1, 1] set with the spaces of a difference, or that of a - 1 without."""
    assert "<mrow><mo>\u2212</mo><mn>1</mn></mrow>" in latex_to_mathml(r"x \in [-1, 1]")
    assert "<mi>a</mi><mo>\u2212</mo><mn>1</mn>" in latex_to_mathml("a - 1")


def test_limits_stand_below():
    """Sees arg min with its set at the right in a displayed formula."""
    assert "<munder><mo" in latex_to_mathml(r"\arg\min_{a} f", block=True)
    assert "<msub><mo" in latex_to_mathml(r"\arg\min_{a} f")


@pytest.mark.parametrize("latex", [r"\frac{", r"\nosuch{<b>}"])
def test_a_failing_formula_stays_readable(latex):
    """Sees an export that dies of a formula, or that shows half of it or its markup."""
    assert latex_to_mathml(latex) == f'<code class="latex">{latex.replace("<", "&lt;").replace(">", "&gt;")}</code>'


@pytest.mark.parametrize(
    ("markdown", "formulas"),
    [
        ("costs $5", 0),
        ("`$x$`", 0),
        (r"\$x\$", 0),
        ("$x$", 1),
        ("$x$ and $y$", 2),
        ("$$x$$", 1),
        ("$a\n= b$", 1),
    ],
)
def test_dollars_are_told_apart(markdown, formulas):
    """Sees code set as formulas, and formulas left as text."""
    page = to_html(markdown)
    assert page.count("<math") == formulas
    assert formulas or markdown.strip("`").replace("\\", "") in page


def test_the_summary_is_the_first_paragraph():
    """Sees headings, markup or the second paragraph in a card's summary."""
    card = make_card(executed(text="# $f$ *and* more\n\nOne *word*,\nand a [link](x).\n\nTwo."), "a")
    assert (card.title, card.summary) == ("f and more", "One word, and a link.")
    assert make_card(executed(text="# Title"), "a").summary == ""
