"""Files that are never half-written, and a run's checkpoint: saved, read back, refused in one line.

What makes a run itself, its identity, is a JSON object of groups of values: {"parameters": {...}, "recipe": {...}}.
"""

import io
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from flatlib.run.config import ParameterError

FORMAT = {"format": "flatlib-run", "version": 2}


class RunError(ParameterError):
    """A run folder that cannot serve, found before any work; one line."""


class RunStoppedError(RuntimeError):
    """A run that cannot go on: why, what is kept, what to do; one line."""


def write_beside(path: Path, writer: Callable[[BinaryIO], Any]) -> None:
    """Write beside the target and rename: complete, or what was there before, with a RunStoppedError."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # its own, should two processes write one file
    try:
        with open(part, "wb") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could keep the name and lose the content
        os.replace(part, path)
    except OSError as error:
        raise RunStoppedError(
            f"{path}: not written ({error.strerror or error}); what was there is kept: make room or make it writable, "
            "and give the same command again"
        ) from None
    finally:
        with suppress(OSError):  # where it could not even be opened there is nothing to remove
            part.unlink()


def save_checkpoint(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    """Tensors, numbers, strings, lists and dicts only, so that it is read without unpickling code."""
    import torch  # here, since tables, which need no torch, are written by this module too

    buffer = io.BytesIO()  # torch's own writer hides the system's error
    torch.save(FORMAT | {"identity": identity, "state": state}, buffer)
    write_beside(path, lambda file: file.write(buffer.getbuffer()))


def load_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The state that `save_checkpoint` took; None where there is none. RunError for anything else, which stays."""
    import torch

    anew = "move it away to start this run from the beginning"
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch itself compares no checksum
                raise ValueError(damaged)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content | FORMAT != content:
            raise ValueError("another format or version")
        own, state = content["identity"] == identity, content["state"]
    except Exception:  # what torch's zip reader, its unpickler or Python find: RuntimeError, EOFError, OSError, ...
        raise RunError(f"{path}: unreadable, damaged, or no checkpoint of this flatlib; {anew}") from None
    if not own:
        raise RunError(f"{path}: belongs to another run; {anew}, or take another runs_dir")
    return state
