"""What a run runs on: its device, the machine as its folder and its estimate tell it, worker processes."""

import multiprocessing
import os
import platform
import sys
import threading
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


def end_with_parent() -> None:
    """In a worker: end as soon as the parent does. A pool's workers would wait for ever for one that was killed."""

    def follow() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
