"""Published cells by name, and cells as people hand them over: a file, a run folder, a pasted text. Needs no torch."""

import difflib
import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from flatlib.spaces import PUBLISHED, Genotype, genotype, parse_genotype, string_to_arch

Cell = Genotype | str  # a string is NAS-Bench-201's


@dataclass(frozen=True)
class PublishedCell:
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
        nodes = [
            sorted(fields[kind][at : at + 2], key=lambda pair: pair[::-1]) for at in range(0, len(fields[kind]), 2)
        ]
        fields[kind] = [pair for node in nodes for pair in node]
        fields[f"{kind}_concat"].sort()
    return json.dumps(fields)


@cache
def _names() -> dict[str, str]:
    return {cell_key(known.cell): known.name for known in catalogue().values()}


def name_of(cell: Cell) -> str:
    """A published cell's name, or 'cell-' and eight digits that are this cell's alone."""
    key = cell_key(cell)
    return _names().get(key) or f"cell-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


# --- from what is handed over ----------------------------------------------------------------------


def find_cell(text: str) -> NamedCell:
    """A cell from a catalogue name, a JSON file, a run folder, a pasted genotype (Python or JSON) or a '|...|' string.

    Text is parsed, never evaluated. ValueError, one line, for anything else.
    """
    text = re.sub(r"^\w+\s*=\s*(?=Genotype\b)", "", text.strip())  # a whole line of a genotypes.py
    named = {name.lower(): known for known in catalogue().values() for name in (known.name, *known.also)}
    if known := named.get(text.lower()):
        return NamedCell(known.name, known.cell)
    cell: Cell
    if text.startswith("|"):
        string_to_arch(cell := text)
    elif re.match(r"Genotype\s*\(", text):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python warns of '2and'; to us it is no genotype
            cell = parse_genotype(text, PUBLISHED)
    elif text.startswith("{"):
        cell = _from_json(text)
    else:
        return _from_place(text)
    return NamedCell(name_of(cell), cell)


def _from_place(text: str) -> NamedCell:
    """A cell from a file or a run folder; a published cell keeps its name, and no other cell takes it."""
    try:
        path = Path(text).expanduser()
        if path.is_dir() and not (path := path / "result.json").exists():
            raise OSError(0, "a folder without result.json")
        content = path.read_text(encoding="utf-8")
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(_unknown(text, error)) from None
    cell = _from_json(content, f"{str(path)[:200]!r}: ")
    known, own = name_of(cell), path.parent.resolve().name if path.name == "result.json" else path.stem
    return NamedCell(known if {known, own} & catalogue().keys() else own, cell)


def _unknown(text: str, error: Exception) -> str:
    """What a text that names no cell may have meant."""
    kinds = "a JSON file, a run folder, Genotype(...) or |op~0|+|...|"
    looks_like_path = "/" in text or "\\" in text or text.endswith(".json") or not isinstance(error, FileNotFoundError)
    if text and looks_like_path and len(text) < 1000 and "\0" not in text:
        reason = "not a text file" if isinstance(error, UnicodeError) else getattr(error, "strerror", "") or error
        return f"{text[:200]!r}: no cell there ({reason}); expected a published cell's name, {kinds}"
    near = difflib.get_close_matches(text[:80], catalogue(), n=1, cutoff=0)[0]
    known = ", ".join(catalogue())
    return f"{text[:80]!r}: no such published cell; did you mean {near}? There are {known}; or give {kinds}"


def _from_json(text: str, place: str = "") -> Cell:
    """A genotype in the project's form, or a search's result with a genotype or an architecture.

    `place` begins the message of what is neither.
    """
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(
            f"{place or 'genotype: '}not valid JSON; expected {{'normal': [['sep_conv_3x3', 0], ...], ...}}"
        ) from None
    found = (data.get("arch") or data.get("genotype") or data) if isinstance(data, dict) else data
    try:
        if isinstance(found, str):
            string_to_arch(found)
            return found
        return genotype(found, PUBLISHED)
    except ValueError as error:
        other = ", or a search's result with 'genotype' or 'arch'" if place and found is data else ""
        raise ValueError(f"{place}{error}{other}") from None
