"""Values and files that are not what a reader expects, and the one line that it owes for them."""

import copy
from contextlib import contextmanager

from hypothesis import settings
from hypothesis import strategies as st

seeded = settings(max_examples=80, deadline=None, derandomize=True, database=None)
numbers = st.one_of(st.integers(), st.sampled_from([10**400, -(10**400), 2**63, 1e308, -0.0]), st.floats())
texts = st.one_of(st.text(max_size=20), st.sampled_from(["\ud800", "a\nb", "\0", "<script>", "~nobody/x", "[" * 2000]))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
damage = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3)), min_size=1, max_size=3)


def damaged(content: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    """Some bytes overwritten; where there are none, cut off there."""
    for share, put in changes:
        at = int(share * len(content))
        content = content[:at] + put + content[at + len(put) :] if put else content[:at]
    return content


@contextmanager
def refuses_in_one_line(*kinds: type[Exception], mistakes: int = 1):
    """Nothing, or one of these errors with a line for each of at most so many mistakes; else it comes through."""
    try:
        yield
    except kinds as error:
        assert 1 <= len(str(error).splitlines()) <= mistakes, str(error)[:300]
        str(error).encode()  # no half a character, which no terminal can show


def put(data: dict, at: int, value: object) -> dict:
    """A value in place of another, at any depth."""
    data = copy.deepcopy(data)
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    walk(data)
    node, key = places[at % len(places)]
    node[key] = value
    return data
