"""Published cells by name, and cells as people hand them over: a file, a run folder, a pasted text. Needs no torch."""

import difflib
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from flatlib.spaces import PUBLISHED, Genotype, genotype, parse_genotype, string_to_arch

LARGEST = 1_000_000  # bytes of a file with a genotype
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
    """One text for one network, which `find_cell` reads: a node's two edges stand in a fixed order."""
    if isinstance(cell, str):
        return cell
    fields = cell.to_json()
    for kind in ("normal", "reduce"):
        nodes = [
            sorted(fields[kind][at : at + 2], key=lambda pair: pair[::-1]) for at in range(0, len(fields[kind]), 2)
        ]
        fields[kind] = [pair for node in nodes for pair in node]
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
    text = text.strip()
    named = {name.lower(): known for known in catalogue().values() for name in (known.name, *known.also)}
    if known := named.get(text.lower()):
        return NamedCell(known.name, known.cell)
    cell: Cell
    if text.startswith("|"):
        string_to_arch(cell := text)
    elif text.startswith("Genotype"):
        cell = parse_genotype(text, PUBLISHED)
    elif text.startswith("{"):
        cell = _from_json(text, "genotype")
    else:
        return _from_place(text)
    return NamedCell(name_of(cell), cell)


def _from_place(text: str) -> NamedCell:
    """A cell from a file or a run folder."""
    try:
        path = Path(text).expanduser()
        path = path / "result.json" if path.is_dir() else path
        if path.is_file() and path.stat().st_size > LARGEST:
            raise ValueError(f"{path}: {path.stat().st_size:,} bytes; a JSON file of a genotype has some hundred")
        content = path.read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(_unknown(text, error)) from None
    cell = _from_json(content, str(path))
    known = name_of(cell)
    return NamedCell(
        known if known in catalogue() else path.parent.name if path.name == "result.json" else path.stem, cell
    )


def _unknown(text: str, error: Exception) -> str:
    """What a text that names no cell may have meant."""
    shown, kinds = f"{text[:80]!r}", "a JSON file, a run folder, Genotype(...) or |op~0|+|...|"
    looks_like_path = "/" in text or "\\" in text or text.endswith(".json") or not isinstance(error, FileNotFoundError)
    if looks_like_path and len(text) < 1000 and "\0" not in text:
        reason = "not a text file" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", "") or error
        return f"{shown}: no cell there ({reason}); expected a published cell's name, {kinds}"
    near = difflib.get_close_matches(text[:80], catalogue(), n=1, cutoff=0)[0]
    return f"{shown}: no such published cell; did you mean {near}? There are {', '.join(catalogue())}; or give {kinds}"


def _from_json(text: str, place: str) -> Cell:
    """A genotype in the project's form, or a search's result with a genotype or an architecture."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(
            f"{place[:200]}: not valid JSON; expected {{'normal': [['sep_conv_3x3', 0], ...], ...}}"
        ) from None
    try:
        if isinstance(data, dict) and isinstance(data.get("arch"), str):
            string_to_arch(data["arch"])
            return data["arch"]
        return genotype(data.get("genotype", data) if isinstance(data, dict) else data, PUBLISHED)
    except ValueError as error:
        raise ValueError(f"{place[:200]}: {error}" if place != "genotype" else str(error)) from None
