"""Files that are never half-written, and a search's checkpoint: saved, read back, refused in one line."""

import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import torch

from flatlib.search.config import SearchConfig, recipe

FORMAT, VERSION = "flatlib-search", 1


class RunError(ValueError):
    """A run folder that cannot serve, found before any work; one line."""


class RunStoppedError(RuntimeError):
    """A search that cannot go on: why, what is kept, what to do; one line."""


def identity(config: SearchConfig) -> dict[str, Any]:
    """What makes a search itself, as JSON has it: its parameters and its method's recipe."""
    return json.loads(json.dumps({"parameters": asdict(config), "recipe": asdict(recipe(config))}))


def difference(got: Any, expected: dict[str, Any]) -> str:
    """The first number two identities disagree on, 'channels = 4, not 8'; '' where they agree.

    >>> difference({"parameters": {"d": 2}, "recipe": {}}, {"parameters": {"d": 6}, "recipe": {}})
    'd = 2, not 6'
    """
    for group, values in expected.items():
        found = got.get(group) if isinstance(got, dict) else None
        if not isinstance(found, dict):
            return f"no {group}"
        for name in [*values, *found]:
            if found.get(name) != values.get(name):
                return f"{name} = {found.get(name)!r:.40}, not {values.get(name)!r}"
    return ""


def write_beside(path: Path, writer: Callable[[BinaryIO], Any]) -> None:
    """Write beside the target and rename: complete, or what was there before, with a RunStoppedError."""
    part = path.with_name(f"{path.name}.part")
    try:
        with open(part, "wb") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could keep the name and lose the content
        os.replace(part, path)
    except OSError as error:
        raise RunStoppedError(
            f"{path}: not written ({error.strerror or error}); what was there is kept: make room or make it writable, "
            "and the same command goes on from the last checkpoint"
        ) from None
    finally:
        with suppress(OSError):  # where it could not even be opened there is nothing to remove
            part.unlink()


def save_checkpoint(path: Path, config: SearchConfig, state: dict[str, Any]) -> None:
    """Tensors, numbers, strings, lists and dicts only, so that it is read without unpickling code."""
    buffer = io.BytesIO()  # torch's own writer hides the system's error
    torch.save({"format": FORMAT, "version": VERSION, "identity": identity(config), "state": state}, buffer)
    write_beside(path, lambda file: file.write(buffer.getbuffer()))


def load_checkpoint(path: Path, config: SearchConfig) -> dict[str, Any] | None:
    """The state that `save_checkpoint` took; None where there is none. RunError for anything else, which stays."""
    start_anew = "move it away to start this search from the beginning"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error}); {start_anew}") from None
    except Exception:  # torch raises what its zip reader, its unpickler or Python find: RuntimeError, EOFError, ...
        size = f"{path.stat().st_size:,} bytes"
        raise RunError(f"{path}: damaged, or no checkpoint of flatlib ({size}); {start_anew}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or "state" not in content:
        raise RunError(f"{path}: a file of torch, but no checkpoint of a search; {start_anew}")
    if content.get("version") != VERSION:
        version = f"version {content.get('version')!r:.20}"
        raise RunError(
            f"{path}: {version} of the format, this flatlib reads {VERSION}; {start_anew}, or update flatlib"
        )
    if other := difference(content.get("identity"), identity(config)):
        raise RunError(f"{path}: belongs to another search ({other}); {start_anew}, or take another runs_dir")
    return content["state"]
