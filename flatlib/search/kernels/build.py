"""The compiled kernels: built once for each source, compiler and processor, kept in the user's cache.

A build lies in a folder of its own until it is whole and is then moved into place, so two processes may build
at once and a killed one leaves nothing that is read.
"""

import hashlib
import os
import platform
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("lanes.cpp")
FLAGS = ["-O3", "-march=native", "-fopenmp", "-std=c++20", "-Werror=return-type"]


@cache
def missing() -> str | None:
    """Load the kernels, building them first if need be. What keeps them from it, in one line; None: loaded."""
    if platform.system() != "Linux":
        return f"the compiled kernels are for Linux, not {platform.system()}"
    try:
        library = _library()
        if not library.exists():
            _build(library)
        torch.ops.load_library(library)
    except Exception as error:  # whatever compilers do: a slower search beats none
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = [line for line in lines if "error: " in line] or lines or [type(error).__name__]
        return f"no compiled kernels: {told[0][:200]}"
    return None


def _library() -> Path:
    compiler = os.environ.get("CXX", "c++")
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    processor = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    flags = [line for line in processor.splitlines() if line.startswith(("model name", "flags", "Features"))]
    key = "\n".join([SOURCE.read_text(), *FLAGS, compiler, version, torch.__version__, *flags])
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flatlib" / "kernels"
    return home / f"lanes-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"


def _build(library: Path) -> None:
    from torch.utils import cpp_extension  # slow to import

    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        cpp_extension.load(
            "lanes",
            [str(SOURCE)],
            extra_cflags=FLAGS,
            extra_ldflags=["-fopenmp"],
            build_directory=folder,
            is_python_module=False,
        )
        (Path(folder) / "lanes.so").replace(library)
