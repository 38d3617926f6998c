"""Sees a reader let another exception through than the documented one, or a message of several lines."""

import json
import shutil
import string
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoiled import damage, damaged, put, refuses_in_one_line, seeded, values
from test_runs import CONFIG, fill

from flatlib import parameters
from flatlib.evaluation import runs as trainings
from flatlib.evaluation.catalogue import catalogue, cell_key, find_cell
from flatlib.evaluation.config import EvaluationConfig
from flatlib.parameters import check
from flatlib.run.checkpoint import RunError
from flatlib.run.command_line import Options, read_arguments
from flatlib.run.config import ParameterError, make
from flatlib.run.folder import open_run
from flatlib.search.config import SearchConfig
from flatlib.search.runs import finished_run, read_run
from flatlib.spaces import genotype

MODELS = [getattr(parameters, name) for name in ("Assumption", "RandomSearch", "NaDarts", "Variants", "LossLandscape")]
MODELS += [parameters.Evaluation, parameters.Cells]

# --- run folders ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A finished search and a finished training, and a place to spoil them."""
    place = tmp_path_factory.mktemp("runs")
    config = EvaluationConfig(epochs=1)
    path = trainings.run_path(place, config)
    with open_run(path, trainings.identity(config)) as folder:
        folder.write_config(device="cpu")
        folder.write_trace(trainings.EvaluationTrace((trainings.Epoch(1, *[1.0] * 7),)))
        folder.write_result(dict.fromkeys(trainings.NUMBERS, 1.0) | {"epochs": 1})
    return {"search": (fill(place / "searches"), read_run), "training": (path, trainings.read_run)}


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
        assert finished_run(path.parent, CONFIG).result.epochs == 2


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
    with pytest.raises(ValueError, match=r"cannot be read \((not a file|No such file)"):
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
        found = find_cell(json.dumps(data)).cell
        assert cell_key(find_cell(cell_key(found)).cell) == cell_key(found)
    with refuses_in_one_line(ValueError):
        genotype(value)


@seeded
@given(st.sampled_from([*catalogue()]), st.integers(0, 12), st.text(string.printable + "é\u2028\0", max_size=2))
def test_nearly_a_published_name(name, at, text):
    """Sees a slip in a name that finds another cell in silence, or that is no line."""
    slip = name[:at] + text + name[at + len(text) :]
    with refuses_in_one_line(ValueError):
        found = find_cell(slip).name
        also = {word.lower() for word in (found, *catalogue()[found].also)}
        assert slip.strip().lower() in also


def test_the_spoiled_files_are_whole_before():
    """Sees helpers that spoil nothing, so that every test above passes for nothing."""
    assert damaged(b"abcdef", [(0.5, b"X")]) == b"abcXef" and damaged(b"abcdef", [(0.5, b"")]) == b"abc"
    assert put({"a": {"b": [1, 2]}}, 3, 9) == {"a": {"b": [1, 9]}}
