"""Memory and speed of the official file's import: python benchmarks/importers.py [CELLS]

The goals: at most 2 GB for all 15,625 cells, and 30 ms a cell.
"""

import sys
import tempfile
from pathlib import Path

import machine

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from official_file import write_long

ALL = 15_625
MEASURE = """
import re, time, warnings
from pathlib import Path
from flatlib.tabular.importers import import_table
warnings.simplefilter("ignore")
def peak(): return int(re.search("VmHWM: *(\\d+)", Path("/proc/self/status").read_text().replace("\t", " "))[1]) / 1024
before, wall, core = peak(), time.perf_counter(), time.process_time()
import_table(Path({path!r}))
print(before, peak(), time.perf_counter() - wall, time.process_time() - core)
"""


def measure(n_cells: int) -> list[float]:
    """MB before and at the peak, seconds on the wall and on the core, MB of the file; a process of its own (Linux)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "official.pth"
        write_long(path, n_cells)
        measured = machine.in_new_process(MEASURE.format(path=str(path))).split()
        return [*map(float, measured), path.stat().st_size / 1e6]


def main() -> None:
    n_cells = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print(machine.describe("numpy", "torch"))
    _, few_peak, *_ = measure(n_cells // 10)
    before, peak, wall, core, size = measure(n_cells)
    growth = (peak - few_peak) / (n_cells - n_cells // 10)
    print(f"{n_cells:,} cells, {size:.0f} MB: {before:.0f} MB before, {peak:.0f} MB at the peak")
    print(f"{growth:.3f} MB a cell, so {few_peak + growth * (ALL - n_cells // 10):.0f} MB for all {ALL:,}")
    print(f"{core / n_cells * 1e3:.1f} ms a cell on the core, {wall / n_cells * 1e3:.1f} on the wall; all: ", end="")
    print(f"{core / n_cells * ALL / 60:.1f} minutes")


if __name__ == "__main__":
    main()
