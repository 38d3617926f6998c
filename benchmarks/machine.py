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


def in_turn(
    script: str, workers: list[str], arguments: list[str], repetitions: int, own: dict[str, object] | None = None
) -> dict[str, list[list[float]]]:
    """Worker -> the numbers of each repetition but the first. Each worker is `script worker arguments`, a process that
    answers a line with a line of numbers, `own` its last argument, if any; all do a repetition in turn, so that what
    else the machine does hits all."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    last = {name: [str(own[name])] if own else [] for name in workers}
    processes = {
        name: subprocess.Popen([sys.executable, script, name, *arguments, *last[name]], **pipes) for name in workers
    }
    results: dict[str, list] = {name: [] for name in workers}
    for _ in range(repetitions + 1):
        for name, process in processes.items():
            process.stdin.write("\n")
            process.stdin.flush()
            results[name].append([float(word) for word in process.stdout.readline().split()])
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return {name: rows[1:] for name, rows in results.items()}


def answer(work: Callable[[], list[float]]) -> None:
    """The worker's side of `in_turn`: its numbers, and the peak memory of the process so far, GiB."""
    import resource

    for _ in sys.stdin:
        print(*work(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, flush=True)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
