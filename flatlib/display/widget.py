"""What the explorers share: their files, as a widget and a page load them, and numbers for the browser."""

import base64
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def module(name: str) -> str:
    """An explorer's JavaScript module: the shared parts, its numbers, its drawing."""
    return "".join(_text(f"{part}.js") for part in ("explorer_parts", f"{name}_numbers", name))


def style(name: str) -> str:
    return _text("explorer_parts.css") + _text(f"{name}.css")


def _text(file: str) -> str:
    return (HERE / file).read_text(encoding="utf-8")


def packed(array: np.ndarray) -> str:
    """Little-endian numbers in base64."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
