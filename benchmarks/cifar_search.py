"""A reduced search on real CIFAR-10 images: python benchmarks/cifar_search.py FOLDER [training images] [epochs]

FOLDER holds `cifar-10-batches-bin`. DARTS and NA-DARTS from the same seed.
"""

import sys
import tempfile
from dataclasses import replace

import machine
import torch

from flatlib.run.hardware import keep_freed_memory
from flatlib.search.config import SearchConfig
from flatlib.search.search import search


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    folder, n_train, epochs = sys.argv[1], *map(int, [*sys.argv[2:], *("640", "3")[len(sys.argv) - 2 :]])
    own = SearchConfig(dataset="cifar10", n_train=n_train, epochs=epochs)
    print(machine.describe("torch", "numpy"), f"- 1 thread; C = {own.channels}, {own.cells} cells, {n_train} images")
    for method in ("darts", "na-darts"):
        config = replace(own, method=method)
        with tempfile.TemporaryDirectory() as runs:
            run = search(config, runs, data_dir=folder)
        step = float(run.trace.column("seconds").mean()) / (n_train // 2 // own.batch_size)
        losses = ", ".join(f"{epoch.train_loss:.3f} / {epoch.valid_loss:.3f}" for epoch in run.trace.epochs)
        print(f"{method:9} {step:.3f} s a step; training / validation {losses}")


if __name__ == "__main__":
    main()
