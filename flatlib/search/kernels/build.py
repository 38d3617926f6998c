"""The compiled kernels: built once for each source, compiler and processor, kept in the user's cache.

A build lies in a folder of its own until it is whole and is then moved into place, so two processes may build
at once and a killed one leaves nothing that is read.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("lanes.cpp")
FLAGS = ["-O3", "-march=native", "-fopenmp", "-std=c++20", "-Werror=return-type", "-fPIC", "-shared"]


@cache
def missing() -> str | None:
    """Load the kernels, building them first if need be. What keeps them from it, in one line; None: loaded."""
    if platform.system() != "Linux":
        return f"no compiled kernels: they are for Linux, not {platform.system()}"
    try:
        torch.ops.load_library(_library())
    except subprocess.CalledProcessError as error:
        lines = error.stderr.splitlines() or [str(error)]
        return f"no compiled kernels: {next((line for line in lines if 'error' in line), lines[0])[:200]}"
    except (OSError, RuntimeError) as error:  # no compiler, no room, another torch
        return f"no compiled kernels: {str(error).splitlines()[0][:200]}"
    return None


def _library() -> Path:
    """Where it lies, built if it did not."""
    compiler, extra = os.environ.get("CXX", "c++"), os.environ.get("FLATLIB_KERNEL_FLAGS", "").split()
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    processor = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    about = [line for line in processor if line.startswith(("model name", "flags", "Features"))]
    key = "\n".join([SOURCE.read_text(), *FLAGS, *extra, compiler, version, torch.__version__, *about])
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flatlib" / "kernels"
    library = home / f"lanes-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        home.mkdir(parents=True, exist_ok=True)
        print("building the search's kernels: once, about 20 s", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=home) as folder:
            built = Path(folder) / library.name
            command = [compiler, *FLAGS, *extra, *_torch_flags(), str(SOURCE), "-o", str(built), "-lc10", "-ltorch_cpu"]
            subprocess.run(command, capture_output=True, text=True, check=True)
            built.replace(library)
    return library


def _torch_flags() -> list[str]:
    from torch.utils import cpp_extension  # slow to import

    paths = [("-isystem", path) for path in cpp_extension.include_paths()]
    paths += [("-L", path) for path in cpp_extension.library_paths()]
    abi = int(torch.compiled_with_cxx11_abi())
    return [*(word for pair in paths for word in pair), f"-D_GLIBCXX_USE_CXX11_ABI={abi}"]
