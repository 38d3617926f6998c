"""Are cells found on the digits better than random ones? python benchmarks/found_cells.py [seeds] [runs folder]

Each method searches from several seeds (the config's defaults); each found cell, and as many random cells,
is trained alone from new weights for 10 epochs on all training images, and judged on the test images.
"""

import sys
from dataclasses import replace

import machine
import numpy as np
import torch

from flatlib.data.images import load_images
from flatlib.memory import keep_freed_memory
from flatlib.search.config import SearchConfig
from flatlib.search.retrain import random_cell, trained_accuracy
from flatlib.search.search import search_runs
from flatlib.search.supernet import Supernet
from flatlib.spaces import SPACES

EPOCHS = 10  # of the trainings
METHODS = {
    "darts": {"method": "darts"},
    "na-darts, mean": {"method": "na-darts"},
    "na-darts, max": {"method": "na-darts", "aggregator": "max"},
    "na-darts, variance": {"method": "na-darts", "aggregator": "variance"},
}


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = sys.argv[2] if len(sys.argv) > 2 else "runs"
    torch.set_num_threads(1)
    keep_freed_memory()
    own = SearchConfig()
    space, images = SPACES[own.space], load_images(own.dataset)
    net = Supernet(space, own.channels, own.cells, images.n_classes)
    print(machine.describe("torch", "numpy"), f"- 1 thread, {seeds} seeds, {EPOCHS} epochs a cell")
    cells = {
        name: [run.result.cell for run in search_runs(replace(own, **changes), seeds, folder, image_set=images)]
        for name, changes in METHODS.items()
    }
    rng = np.random.default_rng(0)
    cells["random"] = [random_cell(space, rng) for _ in range(2 * seeds)]
    for name, found in cells.items():
        accuracy = np.array(
            [trained_accuracy(net, cell, images, epochs=EPOCHS, seed=seed) for seed, cell in enumerate(found)]
        )
        numbers = " ".join(f"{value:.1f}" for value in accuracy)
        print(f"{name:20} {accuracy.mean():.2f} +- {accuracy.std():.2f} % (n = {len(found)}): {numbers}", flush=True)


if __name__ == "__main__":
    main()
