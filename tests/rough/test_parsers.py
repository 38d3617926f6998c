"""Sees a reader let another exception through than the documented one, or a message of several lines."""

import copy
import json
import pickle
import shutil
import string
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official_file import ARCHS, cell, official, save
from test_runs import CONFIG, fill

from flatlib import parameters
from flatlib.display.card import Card, json_for_script, read_card
from flatlib.display.report import write_index
from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell, name_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.runs import Epoch, EvaluationRun
from flatlib.parameters import check
from flatlib.run.checkpoint import RunError
from flatlib.run.command_line import Options, read_arguments
from flatlib.run.config import ParameterError, make
from flatlib.run.folder import Trace, open_run
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.spaces import genotype
from flatlib.tabular.importers import import_table
from flatlib.tabular.table import TableError

MODELS = [getattr(parameters, name) for name in ("Assumption", "RandomSearch", "NaDarts", "Variants", "LossLandscape")]
MODELS += [parameters.Evaluation, parameters.Cells]
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


# --- run folders ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A finished search and a finished training, and a place to spoil them."""
    place = tmp_path_factory.mktemp("runs")
    config = EvaluationConfig(epochs=1)
    path = EvaluationRun.path(place, config)
    with open_run(path, EvaluationRun.identity(config)) as folder:
        folder.write_config(device="cpu")
        folder.write_trace(Trace((Epoch(1, *[1.0] * 7),)))
        folder.write_result({"epoch": 1})
    return {"search": (fill(place / "searches"), Run.read), "training": (path, EvaluationRun.read)}


@pytest.mark.parametrize("kind", ["search", "training"])
@pytest.mark.parametrize("name", ["config.json", "result.json", "trace.csv", "alphas.npy"])
def test_spoiled_run_folders(folders, kind, name):
    """Sees what json, csv or numpy raise for a damaged file; and a wrong value that a reader stumbles over."""
    path, read = folders[kind]
    if not (path / name).exists():
        return
    spoiled, whole = path.with_name("spoiled"), (path / name).read_bytes()
    shutil.copytree(path, spoiled, dirs_exist_ok=True)

    @seeded
    @given(damage, st.integers(0, 500), values, st.sampled_from([b"", b"[" * 9000, b'"' + b"x" * 200_000, b"\n\n"]))
    def spoil(changes, at, value, more):
        contents = [damaged(whole, changes), whole + more, more]
        if name.endswith(".json"):
            contents.append(json.dumps(put(json.loads(whole), at, value)).encode())
        for content in contents:
            (spoiled / name).write_bytes(content)
            with refuses_in_one_line(RunError):
                read(spoiled)

    spoil()
    (spoiled / name).write_bytes(whole)
    if kind == "search":
        assert Run.finished(path.parent, CONFIG).result.epoch == 2


# --- parameters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SearchConfig, EvaluationConfig])
def test_values_of_a_stored_config(kind):
    """Sees a value of config.json that no check foresaw."""
    names = [f.name for f in fields(kind)]

    @seeded
    @given(st.sampled_from([*names, "a\nb"]), values)
    def one(name, value):
        with refuses_in_one_line(ValueError):
            make(kind, {name: value})

    one()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


LINES = st.lists(
    st.tuples(st.sampled_from([f.name for f in (*fields(SearchConfig), *fields(Options))]), st.text(max_size=12)),
    max_size=3,
)


@seeded
@given(LINES, st.one_of(st.binary(max_size=40), st.text(max_size=40).map(lambda text: text.encode("utf8", "replace"))))
def test_presets(scratch, lines, noise):
    """Sees a preset of any bytes, or with any value, end otherwise than in one line."""
    path = scratch / "preset.yaml"
    path.write_bytes("".join(f"{name}: {text}\n" for name, text in lines).encode("utf8", "replace") + noise)
    with refuses_in_one_line(ValueError, mistakes=4):
        read_arguments([str(path)], SearchConfig, Options)


@pytest.mark.parametrize("place", ["/dev/null", "/dev/zero"])  # the first ends at once, whatever is done with it
def test_a_preset_that_never_ends(place):
    """Sees a device or a pipe read for ever."""
    with pytest.raises(ValueError, match="no such file"):
        read_arguments([place], SearchConfig, Options)


@seeded
@given(st.lists(st.one_of(st.text(max_size=9), st.sampled_from(["--d", "--n_nbr=", "--lam", "9" * 400])), max_size=4))
def test_command_lines(words):
    """Sees a word of a command line that breaks its check, or its message."""
    with refuses_in_one_line(ValueError, mistakes=4):
        read_arguments([word for word in words if word.startswith("-")], SearchConfig, Options)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_parameters_of_a_notebook(model, scratch, monkeypatch):
    """Sees a value that papermill may inject end in another exception, or in more lines than mistakes."""
    monkeypatch.setenv("FLATLIB_REPORTS", str(scratch / "reports"))
    monkeypatch.chdir(scratch)
    defaults = {field.name: field.default for field in fields(model)} | {"In": ["", "seed: int = 0"]}
    places = ("reports_dir", "runs_dir")  # a name that can be made is one

    @seeded
    @given(st.sampled_from([field.name for field in fields(model) if field.name not in places]), values)
    def one(name, value):
        with refuses_in_one_line(ParameterError):
            assert check(model, defaults | {name: value}).output_dir().name

    one()
    for name, value in (("seed", 10**5000), ("reports_dir", "\0"), ("reports_dir", "x" * 5000)):
        with refuses_in_one_line(ParameterError):
            check(model, defaults | {name: value})


SEPARATED = {  # parameters that hold several words
    parameters.Variants: ("methods", ["darts", "pc-darts", "snas"]),
    parameters.LossLandscape: ("methods", ["darts", "na-darts"]),
    parameters.Evaluation: ("train", ["DARTS_V2", "found", "all", ";", "pc-darts"]),
    parameters.Cells: ("cells", ["DARTS_V1", ";", "all", "nasnet-a"]),
}


@pytest.mark.parametrize("model", SEPARATED, ids=lambda model: model.__name__)
def test_lists_in_one_parameter(model, scratch, monkeypatch):
    """Sees a list with an empty, doubled or unknown word that is neither understood nor refused."""
    monkeypatch.chdir(scratch)
    name, known = SEPARATED[model]
    defaults = {field.name: field.default for field in fields(model)} | {"In": ["", "seed: int = 0"]}
    defaults |= {"reports_dir": str(scratch), "runs_dir": str(scratch)}

    @seeded
    @given(st.lists(st.one_of(st.sampled_from(known), st.text(";,/. \n<", max_size=3)), max_size=4))
    def one(words):
        with refuses_in_one_line(ParameterError):
            check(model, defaults | {name: " ".join(words)})

    one()


# --- cells ------------------------------------------------------------------------------------------

GENOTYPE = catalogue()["DARTS_V2"].cell.to_json()


@seeded
@given(st.integers(0, 100), values, st.booleans())
def test_genotypes_as_json(at, value, in_a_result):
    """Sees a field of any value, at any depth, that is taken or that breaks the check."""
    data = put({"genotype": GENOTYPE} if in_a_result else GENOTYPE, at, value)
    with refuses_in_one_line(ValueError):
        found = find_cell(json.dumps(data))
        assert cell_key(find_cell(cell_key(found))) == cell_key(found)
    with refuses_in_one_line(ValueError):
        genotype(value)


@seeded
@given(st.sampled_from([*catalogue()]), st.integers(0, 12), st.text(string.printable + "é\u2028\0", max_size=2))
def test_nearly_a_published_name(name, at, text):
    """Sees a slip in a name that finds another cell in silence, or that is no line."""
    slip = name[:at] + text + name[at + len(text) :]
    with refuses_in_one_line(ValueError):
        assert slip.strip().lower() == name_of(find_cell(slip)).lower()


# --- archives and pages -------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["legacy", "zip"])
def benchmark(request, tmp_path_factory):
    data = official({2: cell(np.random.default_rng(0), 2)}, ARCHS[:5])
    path = save(data, tmp_path_factory.mktemp("official") / "whole.pth", request.param)
    return path, path.read_bytes()


@settings(seeded, max_examples=40)
@given(changes=damage)
def test_a_spoiled_benchmark(benchmark, changes):
    """Sees what an opcode in a wrong place raises; or takes minutes, or the memory, to find out."""
    path, whole = benchmark
    path.write_bytes(damaged(whole, changes))
    with refuses_in_one_line(TableError), suppress(UserWarning):
        import_table(path)


HEAD = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
OPCODES = b"()0120NKMJGXU}]{ls.uabetq\x85\x86\x87\x88\x89\x8e\x8c\x90\x91\x94\x95hjgprRcVIFSLdo\x80\x93"


@settings(seeded, max_examples=300)
@given(st.lists(st.sampled_from([OPCODES[at : at + 1] for at in range(len(OPCODES))]) | st.binary(max_size=4)))
def test_any_opcodes(scratch, parts):
    """Sees a program for the unpickler end in another error than the table's, or not at all."""
    path = scratch / "program.pth"
    path.write_bytes(HEAD + b"".join(parts))
    with pytest.raises(TableError) as error:
        import_table(path)
    assert len(str(error.value).splitlines()) == 1


@settings(seeded, max_examples=15)
@given(st.lists(values, min_size=7, max_size=7), st.binary(max_size=30))
def test_cards_of_foreign_pages(scratch, parts, noise):
    """Sees a page beside the reports whose card, of any values, ends the index or breaks out of its script."""
    folder = scratch / "pages"
    folder.mkdir(exist_ok=True)
    text = json_for_script(asdict(Card(*parts))).encode("utf8", "replace")
    assert b"<" not in text
    (folder / "page.html").write_bytes(b'<script type="application/json" id="flatlib-card">' + text + b"</script>")
    (folder / "noise.html").write_bytes(b'<script id="flatlib-card">' + noise + b"</script>")
    index = write_index(folder).read_text()
    assert "<script>alert" not in index and index.rstrip().endswith("</html>")
    assert read_card((folder / "noise.html").read_text(errors="replace")) is None


def test_the_spoiled_files_are_whole_before():
    """Sees helpers that spoil nothing, so that every test above passes for nothing."""
    assert damaged(b"abcdef", [(0.5, b"X")]) == b"abcXef" and damaged(b"abcdef", [(0.5, b"")]) == b"abc"
    assert put({"a": {"b": [1, 2]}}, 3, 9) == {"a": {"b": [1, 9]}}
