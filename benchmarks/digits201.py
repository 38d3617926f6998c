"""Speed of Digits201's batched training against one network at a time: python benchmarks/digits201.py"""

import sys
import time
from pathlib import Path

import machine
import numpy as np
import torch
import torch.nn.functional as F

from flatlib.evaluation.digits201 import Recipe, load_digits201, measure
from flatlib.evaluation.digits201_build import PART
from flatlib.run.hardware import keep_freed_memory
from flatlib.spaces import all_archs, isomorphism_classes, prune_dead_edges

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from plain_network import PlainNetwork


def train_one(arch: np.ndarray, recipe: Recipe) -> None:
    """One network by itself, the same recipe and the same evaluations."""
    data = load_digits201("digits")
    images = {split: torch.from_numpy(x) for split, (x, _) in data.items()}
    labels = {split: torch.from_numpy(y) for split, (_, y) in data.items()}
    net = PlainNetwork(prune_dead_edges(arch), recipe.channels, 10)
    optimizer = torch.optim.SGD(
        net.parameters(), recipe.learning_rate, recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    for _ in range(recipe.epochs):
        net.train()
        for rows in torch.randperm(600).split(recipe.batch_size):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(net(images["train"][rows]), labels["train"][rows]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            net(images["valid"]).argmax(1)


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    print(machine.describe("torch", "numpy"), "- one thread")
    classes, recipe = np.unique(isomorphism_classes(all_archs())), Recipe()
    rows = np.random.default_rng(0).choice(classes, PART, replace=False)
    start = time.perf_counter()
    measure(rows, load_digits201("digits"), 0, recipe)
    batched = (time.perf_counter() - start) / PART
    start = time.perf_counter()
    for row in rows[:12]:
        train_one(all_archs()[row], recipe)
    alone = (time.perf_counter() - start) / 12
    print(f"a training: alone {alone:.3f} s, in a batch of {PART} {batched:.3f} s, ratio {alone / batched:.1f}")
    print(f"all {len(classes):,} networks once: {batched * len(classes) / 60:.1f} core-minutes")


if __name__ == "__main__":
    main()
