"""The pages for those who reuse the package: every Python example of docs/ and of the README runs."""

import re
from pathlib import Path

import pytest

from flatlib import aggregators, spaces
from flatlib.search import bilevel, config, operations

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLES = {
    f"{page.name}, line {text.count(chr(10), 0, found.start()) + 1}": found[1]
    for page in PAGES
    for text in [page.read_text(encoding="utf-8")]
    for found in FENCE.finditer(text)
}
OPEN = (  # the dicts that an example may add to
    aggregators.AGGREGATORS,
    bilevel.LEARNERS,
    config.RECIPES,
    aggregators.SLOPES,
    operations.OPERATIONS,
    operations.WEIGHTS,
    spaces.SPACES,
)


@pytest.fixture
def as_shipped():
    """What an example adds is taken out again."""
    before = [dict(names) for names in OPEN]
    yield
    for names, shipped in zip(OPEN, before, strict=True):
        names.clear()
        names.update(shipped)


@pytest.mark.parametrize("place", EXAMPLES)
def test_an_example_runs(place, as_shipped):
    """Sees a page that shows what the package no longer does."""
    exec(compile(EXAMPLES[place], place, "exec"), {"__name__": "example"})
