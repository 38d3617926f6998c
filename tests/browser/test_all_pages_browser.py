"""Every page of the committed reports/, as a reader with any screen, without a mouse or without eyes meets it."""

from pathlib import Path

import pytest
from in_browser import CHROMIUM, ROOT, chromium, offline_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
PAGES = sorted((ROOT / "reports").glob("*.html"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]  # contrast, names, structure, focus


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def axe() -> str:
    package = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(page, axe: str) -> list[str]:
    page.evaluate(axe)
    options = {"runOnly": RULES, "resultTypes": ["violations"]}  # what passes takes minutes to list
    found = page.evaluate("(options) => axe.run(document, options)", options)["violations"]
    return [f"{one['id']} ({one['impact']}): {node['html'][:200]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_page_can_be_read_by_everyone(browser, axe, path, width, scheme):
    """Sees a request to the network, an error, a page that scrolls sideways, poor contrast, parts without a name."""
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with offline_page(browser, path, **options) as page:
        page.wait_for_function(
            "[...document.querySelectorAll('.figure')].every((box) => box.querySelector('svg, canvas'))"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not violations(page, axe)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_page_can_be_walked_by_keyboard(browser, path):
    """Sees a page whose first links and buttons cannot be reached by Tab, or do not show where the focus is."""
    with offline_page(browser, path) as page:
        reached = []
        for _ in range(5):
            page.keyboard.press("Tab")
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            reached.append((page.evaluate("document.activeElement.tagName"), page.evaluate(outline)))
        assert all(tag != "BODY" and style != "none" for tag, style in reached), reached


def test_the_reports_are_there():
    """Sees a checkout whose pages cannot be read before they are made, or that carries plotly.js twice."""
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    assert notebooks | {"index", "claims", "api", "extend"} <= {path.stem for path in PAGES}
    assert [path.name for path in (ROOT / "reports").rglob("*.js")] == ["plotly.min.js"]
