"""Compiled kernels for the search, and the choice of what computes it."""

import os
import warnings
from importlib.util import find_spec

import torch

from flatlib.search.config import SearchConfig, recipe
from flatlib.search.kernels import build
from flatlib.spaces import DARTS, NAS_BENCH_201, S3, SPACES, Space


def folds(space: Space) -> bool:
    """Whether the fast ways know the operations, in their order; others are computed one by one (`naive`)."""
    return space == NAS_BENCH_201 or space.operations in (DARTS.operations, S3.operations)


def choose(config: SearchConfig, device: torch.device, asked: str = "auto") -> str:
    """`compiled` where the kernels can serve, else `plain`: torch itself; `naive` on a space that was added.

    They know DARTS's operations on all channels, in 32 and 64 bits, on a CPU. `auto` without a compiler warns, in one
    line; what is asked for and cannot be is a ValueError, one line. `triton` has not been seen on a GPU yet, so `auto`
    does not take it.
    """
    if not folds(SPACES[config.space]):
        if asked in ("auto", "naive"):
            return "naive"
        reason: str | None = f"operations of {config.space} are computed one by one"
    elif asked == "triton":
        reason = _no_triton(device)
    elif asked in ("auto", "compiled"):
        reason = _unfit(config, device)
        if reason is None and (reason := build.missing()) and asked == "auto":
            warnings.warn(f"{reason}; going on with plain torch, several times slower", stacklevel=2)
    else:
        return asked
    if reason and asked != "auto":
        raise ValueError(
            f"kernels = {asked!r}: {reason}; choose auto or {'plain' if folds(SPACES[config.space]) else 'naive'}"
        )
    return "plain" if reason else asked.replace("auto", "compiled")


def _unfit(config: SearchConfig, device: torch.device) -> str | None:
    """Why the compiled kernels cannot serve."""
    if config.space == "nas-bench-201":
        return "they lack NAS-Bench-201's convolutions"
    if recipe(config).partial > 1:
        return f"they take all channels, and {config.method} some"
    if config.precision == "bf16":
        return "they compute in float32 and float64, not in bf16"
    if device.type != "cpu":
        return f"they run on a CPU, not on {device.type}"
    return None


def _no_triton(device: torch.device) -> str | None:
    if find_spec("triton") is None:
        return "no module named triton"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"Triton's are for CUDA, not for {device.type}"
    return None
