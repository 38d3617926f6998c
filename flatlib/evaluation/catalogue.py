"""Published cells by name, and cells as people hand them over: a file, a run folder, a pasted text. Needs no torch."""

import difflib
import hashlib
import json
import re
import warnings
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from flatlib.spaces import PUBLISHED, Genotype, genotype, parse_genotype, string_to_arch

Cell = Genotype | str  # a string is NAS-Bench-201's


class PublishedCell(NamedTuple):
    """A method's cell as its authors, or a copy of their code, give it."""

    name: str
    also: tuple[str, ...]  # other names for it
    source: str
    doubt: str  # what is not certain of it, '' for nothing
    rows: dict[str, str]  # table of the paper -> its row
    cell: Genotype


class NamedCell(NamedTuple):
    """A cell, and what to call it."""

    name: str
    cell: Cell


@cache
def catalogue() -> dict[str, PublishedCell]:
    """The published cells by name, in the order of the tables; NA-DARTS's own was published as a picture only."""
    entries = json.loads(files("flatlib.evaluation").joinpath("published_cells.json").read_text(encoding="utf-8"))
    found = {}
    for entry in entries:
        entry |= {"also": tuple(entry["also"]), "cell": genotype(entry.pop("genotype"), PUBLISHED)}
        found[entry["name"]] = PublishedCell(**entry)
    return found


def cell_key(cell: Cell) -> str:
    """One text for one network, which `find_cell` reads: a node's two edges and the joined nodes stand in order."""
    if isinstance(cell, str):
        return cell
    fields = cell.to_json()
    for kind in ("normal", "reduce"):
        edges = [(at // 2, source, name) for at, (name, source) in enumerate(fields[kind])]
        fields[kind] = [[name, source] for _, source, name in sorted(edges)]
        fields[f"{kind}_concat"].sort()
    return json.dumps(fields)


def name_of(cell: Cell) -> str:
    """A published cell's name, or 'cell-' and eight digits that are this cell's alone."""
    key = cell_key(cell)
    names = (known.name for known in catalogue().values() if cell_key(known.cell) == key)
    return next(names, f"cell-{hashlib.sha256(key.encode()).hexdigest()[:8]}")


# --- from what is handed over ----------------------------------------------------------------------


def find_cell(text: str) -> NamedCell:
    """A cell from a catalogue name, a JSON file, a run folder, a pasted genotype (Python or JSON) or a '|...|' string.

    Text is parsed, never evaluated; a file holds any of these texts, and gives its name to a cell that has none. No
    other cell takes a published one's. ValueError, one line, for anything else.
    """
    text = re.sub(r"^\w+\s*=\s*(?=Genotype\b)", "", text.strip())  # a whole line of a genotypes.py
    named = {name.lower(): known for known in catalogue().values() for name in (known.name, *known.also)}
    if known := named.get(text.lower()):
        return NamedCell(known.name, known.cell)
    if re.match(r"[|{]|Genotype\s*\(", text):
        cell = _parse(text)
        return NamedCell(name_of(cell), cell)
    path, content = _read(text)
    try:
        cell = _parse(content.strip())
    except ValueError as error:
        raise ValueError(f"{str(path)[:200]!r}: {error}") from None
    name, own = name_of(cell), path.parent.resolve().name if path.name == "result.json" else path.stem
    return NamedCell(name if {name, own} & catalogue().keys() else own, cell)


def _read(text: str) -> tuple[Path, str]:
    """What the file of this name, or the run folder's result, holds."""
    try:
        path = Path(text).expanduser()
        if path.is_dir() and not (path := path / "result.json").exists():
            raise OSError(0, "a folder without result.json")
        return path, path.read_text(encoding="utf-8")
    except (OSError, RuntimeError, ValueError) as error:
        why = "not a text file" if isinstance(error, UnicodeError) else getattr(error, "strerror", "") or str(error)
        near = difflib.get_close_matches(text, catalogue(), n=1)
        meant = f"did you mean {near[0]}? There" if near else "there"
        raise ValueError(
            f"{text[:200]!r}: no such published cell, JSON file or run folder ({why}); {meant} are "
            f"{', '.join(catalogue())}; or paste Genotype(...) or |op~0|+|...|"
        ) from None


def _parse(text: str) -> Cell:
    """A genotype in Python or in the project's JSON form, a search's result that has one, or an architecture string."""
    if text.startswith("Genotype"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python warns of '2and'; to us it is no genotype
            return parse_genotype(text, PUBLISHED)
    found: Any = text
    if not text.startswith("|"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("not valid JSON; expected {'normal': [['sep_conv_3x3', 0], ...], ...}") from None
    if isinstance(found, dict):
        found = found.get("arch") or found.get("genotype") or found
    if isinstance(found, str):
        string_to_arch(found)
        return found
    return genotype(found, PUBLISHED)
