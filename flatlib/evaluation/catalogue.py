"""Published cells by name, and cells as people hand them over: a file, a run folder, a pasted text. Needs no torch."""

import hashlib
import json
import re
import warnings
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from flatlib.spaces import PUBLISHED, Genotype, genotype, parse_genotype, string_to_arch

Cell = Genotype | str  # a string is NAS-Bench-201's


class PublishedCell(NamedTuple):
    """A method's cell as its authors, or a copy of their code, give it."""

    name: str
    source: str
    doubt: str  # what is not certain of it, '' for nothing
    rows: dict[str, str]  # table of the paper -> its row
    cell: Genotype


@cache
def catalogue() -> dict[str, PublishedCell]:
    """The published cells by name, in the order of the tables; NA-DARTS's own was published as a picture only."""
    entries = json.loads(files("flatlib.evaluation").joinpath("published_cells.json").read_text(encoding="utf-8"))
    return {one["name"]: PublishedCell(cell=genotype(one.pop("genotype"), PUBLISHED), **one) for one in entries}


@lru_cache(1000)
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


def find_cell(text: str) -> Cell:
    """A cell from a catalogue name, a JSON file, a run folder, a pasted genotype (Python or JSON) or a '|...|' string.

    Text is parsed, never evaluated; a file holds any of these texts. ValueError, one line, for anything else.
    """
    text = text.strip()
    named = {name.lower(): known.cell for name, known in catalogue().items()}
    if text.lower() in named:
        return named[text.lower()]
    if re.match(r"[|{]|Genotype\s*\(", text):
        return _parse(text)
    try:
        path = Path(text).expanduser()
        content = (path / "result.json" if path.is_dir() else path).read_text(encoding="utf-8").strip()
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", "") or "not a text file"
        raise ValueError(
            f"{text[:200]!r}: no such published cell, JSON file or run folder ({why}); there are "
            f"{', '.join(catalogue())}; or paste Genotype(...) or |op~0|+|...|"
        ) from None
    try:
        return _parse(content)
    except ValueError as error:
        raise ValueError(f"{text[:200]!r}: {error}") from None


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
