"""Compiled kernels for the search, and the choice of what computes it."""

import warnings

import torch

from flatlib.search.config import SearchConfig, recipe
from flatlib.search.kernels import build


def choose(config: SearchConfig, device: torch.device, asked: str = "auto") -> str:
    """`compiled` where the kernels can serve, else `plain`: torch itself.

    They know DARTS's operations on all channels, in 32 and 64 bits, on a CPU. `auto` without a compiler warns, in one
    line; `compiled` that cannot be is a ValueError, one line.
    """
    if asked not in ("auto", "compiled"):
        return asked
    reason = _why_not(config, device)
    if reason is None:
        reason = build.missing()
        if reason and asked == "auto":
            warnings.warn(f"{reason}; going on with plain torch, several times slower", stacklevel=2)
    if reason and asked == "compiled":
        raise ValueError(f"kernels = 'compiled': {reason}; choose auto or plain")
    return "plain" if reason else "compiled"


def _why_not(config: SearchConfig, device: torch.device) -> str | None:
    if config.space == "nas-bench-201":
        return "they lack NAS-Bench-201's convolutions"
    if recipe(config).partial > 1:
        return f"they take all channels, and {config.method} some"
    if config.precision == "bf16":
        return "they compute in float32 and float64, not in bf16"
    if device.type != "cpu":
        return f"they run on a CPU, not on {device.type}"
    return None
