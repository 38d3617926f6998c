"""What a derived cell is worth: it and random cells, trained from new weights at the size of the search.

A sanity check at search time, not the evaluation phase (Tables 3-6), whose networks are deeper and wider.
"""

import numpy as np
import torch
import torch.nn.functional as F

from flatlib.data.images import ImageSet, Stream, augment, normalize
from flatlib.search.derive import one_hot_alphas
from flatlib.search.supernet import Supernet
from flatlib.spaces import NAS_BENCH_201, Genotype, Space, arch_to_string

Cell = Genotype | str


def random_cell(space: Space, rng: np.random.Generator) -> Cell:
    """A cell drawn uniformly: two different inputs a node and an operation each but `none` (NAS-Bench-201: all)."""
    if space is NAS_BENCH_201:
        return arch_to_string(rng.integers(0, len(space.operations), len(space.edges)))
    names = [name for name in space.operations if name != "none"]

    def pairs() -> tuple[tuple[str, int], ...]:
        sources = [int(source) for node in range(2, 6) for source in np.sort(rng.choice(node, 2, replace=False))]
        return tuple((str(rng.choice(names)), source) for source in sources)

    return Genotype(pairs(), (2, 3, 4, 5), pairs(), (2, 3, 4, 5))


def trained_accuracy(
    net: Supernet,
    cell: Cell,
    images: ImageSet,
    *,
    epochs: int = 10,
    batch_size: int = 32,
    learning_rate: float = 0.025,
    seed: int = 0,
) -> float:  # percent
    """Train one discrete cell on the whole training set (SGD, cosine to 0, momentum 0.9), judge it on the test set.

    BatchNorm uses the batch's own statistics throughout; the test set is cut into equal batches of at most 500.
    """
    net = Supernet(net.space, net.channels, net.cells, images.n_classes, len(images.mean), kernels="naive")
    device = images.labels["train"].device
    alphas = torch.tensor(one_hot_alphas(net.space, cell), dtype=torch.float32, device=device)[None]
    generator = torch.Generator().manual_seed(seed)
    weights = net.initial_weights(generator).to(device).requires_grad_()
    stream = Stream(torch.arange(len(images.labels["train"]), device=device), batch_size, seed)
    optimizer = torch.optim.SGD([weights], learning_rate, 0.9, weight_decay=3e-4)
    steps = epochs * stream.batches_per_pass
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = stream.next()
        batch = augment(images.images["train"][rows], images, generator)
        optimizer.zero_grad()
        F.cross_entropy(net.logits(weights, batch, alphas)[0], images.labels["train"][rows]).backward()
        torch.nn.utils.clip_grad_norm_([weights], 5.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        tests = images.images["test"].chunk(-(-len(images.labels["test"]) // 500))
        predicted = torch.cat([net.logits(weights, normalize(part, images), alphas)[0].argmax(1) for part in tests])
    return float((predicted == images.labels["test"]).double().mean() * 100)
