"""Are cells found on the digits better than random ones? python benchmarks/found_cells.py 03|05 [seeds] [runs folder]

Each method of notebook 03 or 05 searches from several seeds at that notebook's defaults; each found cell, and
twice as many random cells, is trained alone from new weights for 10 epochs and judged on the test images.
"""

import sys
from dataclasses import replace
from typing import Any

import machine
import numpy as np
import torch

from flatlib.evaluation.catalogue import cell_key
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.training import evaluate
from flatlib.parameters import NaDarts, Variants
from flatlib.run.config import seeds
from flatlib.run.hardware import keep_freed_memory
from flatlib.search.derive import random_cell
from flatlib.search.search import search
from flatlib.spaces import SPACES

EPOCHS = 10  # of the trainings
NA_DARTS = {
    "darts": {"method": "darts"},
    "na-darts, mean": {"method": "na-darts"},
    "na-darts, max": {"method": "na-darts", "aggregator": "max"},
    "na-darts, variance": {"method": "na-darts", "aggregator": "variance"},
}


def main() -> None:
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    folder = sys.argv[3] if len(sys.argv) > 3 else "runs"
    configs = Variants().configs()
    if sys.argv[1] == "03":
        base = NaDarts().configs()["na-darts"]
        configs = {name: replace(base, **changes) for name, changes in NA_DARTS.items()}
    torch.set_num_threads(1)
    keep_freed_memory()
    own = next(iter(configs.values()))
    print(machine.describe("torch", "numpy"), f"- 1 thread, {n} seeds, {EPOCHS} epochs a cell")
    cells = {name: [search(one, folder).result.cell for one in seeds(config, n)] for name, config in configs.items()}
    sizes = {name: getattr(own, name) for name in ("dataset", "n_train", "channels", "cells", "batch_size", "device")}
    shared: dict[str, Any] = sizes | {"epochs": EPOCHS, "learning_rate": 0.025}
    rng = np.random.default_rng(0)
    cells["random"] = [random_cell(SPACES[own.space], rng) for _ in range(2 * n)]
    for name, found in cells.items():
        configs = [EvaluationConfig(cell_key(cell), **shared, seed=seed) for seed, cell in enumerate(found)]
        accuracy = np.array([100 - evaluate(config, folder).test_error for config in configs])
        numbers = " ".join(f"{value:.1f}" for value in accuracy)
        print(f"{name:20} {accuracy.mean():.2f} +- {accuracy.std():.2f} % (n = {len(found)}): {numbers}", flush=True)


if __name__ == "__main__":
    main()
