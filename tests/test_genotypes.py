"""Genotypes as text and JSON: sees text that is evaluated, or a bad cell that is read as another one."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flatlib.spaces import (
    DARTS,
    S3,
    Genotype,
    genotype,
    parse_genotype,
)

seeded = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
DARTS_V2 = (  # quark0/darts, cnn/genotypes.py
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)


def refusal(function, *arguments):
    with pytest.raises(ValueError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- Genotypes ------------------------------------------------------------------------------------


@st.composite
def genotypes(draw, space=DARTS):
    cells = []
    for _ in range(2):
        n_nodes = draw(st.integers(1, 5))
        sources = [draw(st.integers(0, 1 + at // 2)) for at in range(2 * n_nodes)]
        concat = draw(st.lists(st.integers(0, 1 + n_nodes), min_size=1, unique=True))
        cells += [tuple((draw(st.sampled_from(space.operations)), s) for s in sources), tuple(concat)]
    return Genotype(*cells)


@seeded
@given(genotypes())
def test_genotypes_round_trip(found):
    """Sees a genotype that JSON, or its own printed form, gives back changed."""
    text = json.dumps(found.to_json(), allow_nan=False)
    assert genotype(json.loads(text)) == found
    assert json.dumps(genotype(json.loads(text)).to_json()) == text
    assert parse_genotype(repr(found)) == found
    assert hash(found) == hash(parse_genotype(repr(found)))


@pytest.mark.parametrize(
    "text",
    [
        DARTS_V2,
        f"\n  {DARTS_V2}\n",
        DARTS_V2.replace(", ", ",\n    "),
        DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6)"),
        DARTS_V2.replace("[2, 3, 4, 5]", "list(range(2, 6))"),
        DARTS_V2.replace("[2, 3, 4, 5]", "(2, 3, 4, 5)"),
    ],
)
def test_published_genotype_is_read(text):
    """Sees a pasted genotype, as papers and repositories print it, that is refused or misread."""
    found = parse_genotype(text)
    conv, pool, skip = "sep_conv_3x3", "max_pool_3x3", "skip_connect"
    assert found.normal == (
        *((conv, 0), (conv, 1), (conv, 0), (conv, 1)),
        *((conv, 1), (skip, 0), (skip, 0), ("dil_conv_3x3", 2)),
    )
    assert found.reduce == (
        *((pool, 0), (pool, 1), (skip, 2), (pool, 1)),
        *((pool, 0), (skip, 2), (skip, 2), (pool, 1)),
    )
    assert found.normal_concat == found.reduce_concat == (2, 3, 4, 5)
    assert "s3 has none, skip_connect, sep_conv_3x3" in refusal(parse_genotype, text, S3)


CONCATS = (
    *("range(10**12)", "range(1000000000000)", "range(999999)", "range()", "range(2, 6, 0)"),
    *("range(*[2, 6])", "range('6')", "range(2.0, 6.0)", "list()", "list(", "list([])", "[]", "2", "None", "{}"),
    *("[True]", "[2.0]", "[-1]", "[6]", "[[2]]", "'2345'", "{2, [3]}", "{[]: 2}"),
    *("[" * 99 + "]" * 99, "[" * 9999, "-" * 9999 + "1", "list(" * 99 + "2" + ")" * 99, "9" * 9999),
    *("(lambda: [2])()", "[i for i in (2, 3)]", "open", "f'{2}'", "[2] * 10**9", "[2] if 1 else [3]", "sorted([2])"),
)


@pytest.mark.parametrize("concat", CONCATS, ids=lambda text: text[:20])
def test_hostile_fields_are_refused(concat):
    """Sees a field that is evaluated, expanded or let through, and an exception other than ValueError."""
    line = refusal(parse_genotype, DARTS_V2.replace("[2, 3, 4, 5]", concat))
    assert line.startswith("genotype") and len(line) < 1000


@pytest.mark.parametrize("shape", ["{}", "Genotype({})", "Genotype(normal={})", "Genotype({}={})", DARTS_V2 + ".{}"])
@pytest.mark.parametrize("call", ["__import__('os').mkdir({!r})", "open({!r}, 'w')", "(lambda: open({!r}, 'w'))()"])
def test_nothing_is_evaluated(tmp_path, shape, call):
    """Sees code in a pasted text that runs: it would leave a trace on the disk."""
    trace = tmp_path / "trace"
    text = call.format(str(trace))
    assert refusal(parse_genotype, shape.format(*[text] * shape.count("{}"))).startswith("genotype")
    assert refusal(parse_genotype, DARTS_V2.replace("[2, 3, 4, 5]", text)).startswith("genotype")
    assert not trace.exists()


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "\x00", "\ud800", "Genotype", "Genotype()", "Genotype(", "Genotype(1)", "Genotype(**{})", "1 is 1"),
        *("__import__('os').system('x')", "Genotype()()", "eval('1')", "'\\d'", "(" * 999, "a" + ".b" * 9999),
        *(f"DARTS_V2 = {DARTS_V2}", DARTS_V2 + DARTS_V2, DARTS_V2[:-1], DARTS_V2.replace("Genotype", "genotype")),
        *(DARTS_V2.replace("normal_concat=[2, 3, 4, 5], ", ""), DARTS_V2[:-1] + ", more=1)", DARTS_V2 + " or 1"),
        *(DARTS_V2.replace("Genotype(", f"Genotype({first}, ") for first in ("1", "*[]", "**{}")),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_other_texts_are_refused(text):
    """Sees a text without exactly the four fields that is taken, or an exception other than ValueError."""
    assert refusal(parse_genotype, text).startswith("genotype")


@pytest.mark.parametrize(
    "text",
    [
        DARTS_V2[:-1] + ", reduce_concat=[5])",
        DARTS_V2.replace("[2, 3, 4, 5]", "range(2, 6, step=2)"),
        DARTS_V2.replace("[2, 3, 4, 5]", "list([2, 3], [4, 5])"),
    ],
)
def test_what_python_refuses_is_refused(text):
    """Sees a repeated field or an unknown argument, errors in Python, of which one half is silently dropped."""
    assert refusal(parse_genotype, text).startswith("genotype")


@pytest.mark.parametrize("value", ["'" + "x" * 200_000 + "'", "[" * 60 + "2, " * 9999 + "]" * 60])
def test_quoted_values_are_short(value):
    """Sees a message of thousands of characters, or one that is about the message and not the genotype."""
    for text in (DARTS_V2.replace("'sep_conv_3x3'", value, 1), DARTS_V2.replace("[2, 3, 4, 5]", f"[{value}]")):
        line = refusal(parse_genotype, text)
        assert line.startswith("genotype") and len(line) < 500


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("normal", value) for value in ([], None, "ab", 3, {}, [["sep_conv_3x3", 0]], [["sep_conv_3x3", 0]] * 3)),
        *(("normal", [["sep_conv_3x3", source]] * 2) for source in (2, -1, True, 1.0, "0", None, [0])),
        ("normal", [["sep_conv_3x3", 0], ["sep_conv_3x3", 2]]),
        *(("reduce", [[op, 0]] * 2) for op in ("sep_conv_7x7", "", None, 4, ["none"], {"a": 1}, "none\n")),
        *(("reduce", [pair] * 2) for pair in (["none"], ["none", 0, 0], "no", None, {"none": 0})),
        *(("normal_concat", value) for value in ([], None, "23", 2, [6], [-1], [True], [2.0], [None], {2: 3})),
    ],
)
def test_bad_json_is_refused(field, value):
    """Sees a source that does not exist yet, an unknown operation, a bool as a number, and a TypeError."""
    data = {**parse_genotype(DARTS_V2).to_json(), field: value}
    assert refusal(genotype, data).startswith((f"genotype: {field} ", f"genotype: {field}["))


@pytest.mark.parametrize("change", [{"extra": 1}, {1: 2}, {"normal_concat": ...}, {"Normal": []}])
def test_other_fields_are_refused(change):
    """Sees a missing or an unknown field that is passed over."""
    data = {**parse_genotype(DARTS_V2).to_json(), **change}
    data = {key: value for key, value in data.items() if value is not ...}
    assert "normal, normal_concat, reduce, reduce_concat" in refusal(genotype, data)
    for value in (None, [], "Genotype", 1, list(data.items())):
        assert "expected exactly the fields" in refusal(genotype, value)


TOKENS = ("(", ")", "[", "]", ",", "0", "-1", "1e9", "'", "**", "*", "range", "list", "none", "lambda:", ".x", "\\")


@seeded
@given(
    st.one_of(st.text(), st.lists(st.sampled_from(TOKENS), max_size=4).map("".join)),
    st.integers(0, len(DARTS_V2)),
    st.integers(0, 9),
)
def test_any_text_is_a_genotype_or_refused(noise, start, length):
    """Sees anything but a valid genotype or a ValueError for text, alone or pasted over a part of a valid one."""
    for text in (noise, f"Genotype({noise})", DARTS_V2[:start] + noise + DARTS_V2[start + length :]):
        try:
            found = parse_genotype(text)
            assert genotype(found.to_json()) == found
        except ValueError as error:
            assert str(error).startswith("genotype") and "\n" not in str(error)
