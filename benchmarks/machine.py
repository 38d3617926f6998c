"""What a measurement must say of where it was made."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version


def describe(*packages: str) -> str:
    """Processor, cores, Python and the versions of the packages, in one line."""
    cpu = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), cpu)
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return (
        f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {versions}"
    )


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median wall-clock time of a few calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2]


def in_new_process(code: str) -> str:
    """What a line of Python prints in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
