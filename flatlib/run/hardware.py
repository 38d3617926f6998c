"""What a run runs on: its device, the machine as its folder and its estimate tell it."""

import ctypes
import os
import platform
import resource
import sys
from contextlib import suppress
from typing import Any

import torch


def resolve_device(name: str) -> str:
    """'auto' is a GPU where there is one. ValueError, one line, for a GPU that is not there."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ValueError("device = 'cuda': this torch sees no GPU; allowed here: auto, cpu")
    return "cuda" if there and name == "auto" else name.replace("auto", "cpu")


def hardware(device: str = "cpu") -> dict[str, Any]:
    """Names of processor and device, cores and torch's threads."""
    cpu = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration), open("/proc/cpuinfo", encoding="utf-8") as file:  # Linux knows better
        cpu = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "device": name}


def peak_bytes(device: str) -> int:
    """Memory at its peak so far: of the GPU, else of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return (1 if sys.platform == "darwin" else 1024) * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def keep_freed_memory() -> None:
    """Ask glibc to reuse freed memory instead of returning it: a third to a half less time here."""
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return  # another C library: slower, not wrong
    for option, value in ((-3, 1 << 25), (-1, 1 << 30), (-2, 1 << 27)):  # mmap, trim, top pad
        libc.mallopt(option, value)
