"""Do runs side by side pay? python benchmarks/side_by_side.py [runs of each]

A notebook's small trainings and searches, one after another with all of torch's threads, then side by side in
processes that share them, whose start is included.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import machine
import torch

from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.runs import EvaluationRun
from flatlib.evaluation.training import evaluate
from flatlib.run.config import seeds
from flatlib.run.hardware import keep_freed_memory
from flatlib.run.workers import run_side_by_side
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.search.search import search

KINDS: dict[str, tuple[Any, ...]] = {
    "trainings": (evaluate, EvaluationRun, EvaluationConfig()),
    "searches, darts": (search, Run, SearchConfig(method="darts", epochs=4)),
    "searches, na-darts": (search, Run, SearchConfig(epochs=2)),
}


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    keep_freed_memory()
    print(machine.describe("torch", "numpy"), f"- {torch.get_num_threads()} threads, {n} runs of each")
    for name, (run, kind, config) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            run(replace(config, epochs=1, seed=n), folder)  # warms up
            begin = time.perf_counter()
            for one in seeds(config, n):
                run(one, Path(folder) / "apart")
            apart = time.perf_counter() - begin
            begin = time.perf_counter()
            run_side_by_side(run, kind, seeds(config, n), Path(folder) / "beside", lambda config, trace: None)
            beside = time.perf_counter() - begin
        print(f"{name}: one after another {apart:.1f} s, side by side {beside:.1f} s, ratio {apart / beside:.2f}")


if __name__ == "__main__":
    main()
