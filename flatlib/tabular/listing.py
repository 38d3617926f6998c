"""Which benchmark tables are on this machine, and how to get the rest, CIFAR too."""

import contextlib
import os
from pathlib import Path

import numpy as np

from flatlib.tabular.table_file import embedded_path

ELSEWHERE = """
NAS-Bench-201-v1_1-096897.pth, 4.7 GB, from github.com/D-X-Y/NAS-Bench-201
  flatlib data import NAS-Bench-201-v1_1-096897.pth nb201.npz
  enables: notebooks 01 and 02 on the paper's own data, at every epoch

NATS-tss-v1_0-3ffb9-simple.tar, about 1.3 GB, from github.com/D-X-Y/NATS-Bench
  flatlib data import NATS-tss-v1_0-3ffb9-simple nb201.npz, once unpacked
  enables: the same, of the benchmark's later edition

CIFAR-10 and CIFAR-100, 170 MB each, from www.cs.toronto.edu/~kriz/cifar.html
  flatlib data fetch cifar10, flatlib data fetch cifar100
  enables: searches and trainings on the images"""


def tables_here() -> list[tuple[str, str, str]]:
    """Name, size and path of the embedded table, then of those in the current folder and below $FLATLIB_DATA."""
    paths = [embedded_path(), *sorted(Path().glob("*.npz"))]
    if os.environ.get("FLATLIB_DATA"):
        paths += sorted(Path(os.environ["FLATLIB_DATA"]).rglob("*.npz"))
    found: dict[Path, tuple[str, str, str]] = {}
    for path in paths:
        # the accuracies stay unread; a file that is no table is left out
        with contextlib.suppress(Exception), open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            if str(data["format"].ravel()[0]) == "flatlib-table":
                table = str(data["name"].ravel()[0])[:40], f"{len(data['arch_str']):,} cells", str(path)
                found.setdefault(path.resolve(), table)
    return list(found.values())


def listing() -> str:
    """Both lists as plain text."""
    here = tables_here()
    widths = [max(len(row[column]) for row in here) for column in range(2)]
    lines = ["On this machine (here and below $FLATLIB_DATA):"]
    lines += [f"  {name:{widths[0]}}  {cells:>{widths[1]}}  {path}" for name, cells, path in here]
    return "\n".join([*lines, ELSEWHERE])
