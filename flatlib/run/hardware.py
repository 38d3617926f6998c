"""What a run runs on, for its folder and its estimate."""

import os
import platform
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import torch


def resolve_device(name: str) -> str:
    """'auto' is a GPU where there is one. ValueError, one line, for a GPU that is not there."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ValueError("device = 'cuda': this torch sees no GPU; allowed here: auto, cpu")
    return "cuda" if there and name == "auto" else name.replace("auto", "cpu")


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}


def hardware(device: str = "cpu") -> dict[str, Any]:
    """Names of processor and device, cores and torch's threads."""
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "device": name}


def machine(device: str) -> str:
    """'2 threads, AMD EPYC', or the GPU's name."""
    about = hardware(device)
    return f"{about['threads']} thread{'s' * (about['threads'] > 1)}, {about['cpu' if device == 'cpu' else 'device']}"


def peak_bytes(device: str) -> int:
    """Memory at its peak so far: of the GPU, else of this process; 0 where the system does not tell."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return (1 if sys.platform == "darwin" else 1024) * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cpu_name() -> str:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:  # Linux; elsewhere Python's own answer
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
