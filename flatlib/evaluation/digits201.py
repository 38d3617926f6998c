"""Digits201: many NAS-Bench-201 cells trained as one batch, which equals training them one by one.

Activations are (A, C, P, B): cells, channels, positions (rows x columns), batch. A 3 x 3 convolution is one dense
matrix a cell, cheaper at 4 x 4 positions than a grouped one. Operations are gathered for the cells that use them.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from flatlib.data.images import shuffled_digits
from flatlib.spaces import NAS_BENCH_201, all_archs, prune_dead_edges

NAMES = ("digits", "digits-shifted", "digits-rotated")
SPLITS = {"train": slice(0, 600), "valid": slice(600, 1200), "test": slice(1200, 1797)}
SIDE = 4  # positions a side after pixel-unshuffle; half of it in the second stage


@dataclass(frozen=True)
class Recipe:
    """How every cell is trained; the defaults made the shipped table."""

    channels: int = 4  # C of the first stage, 2 C in the second
    epochs: int = 12
    batch_size: int = 50
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    norm_momentum: float = 0.3


def load_digits201(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> images (n, 4, 4, 4) in [0, 1], pixel-unshuffled, float32, and labels (n,) int64; fixed for all seeds.

    `digits-shifted`: each moved by up to 1 pixel on both axes. `digits-rotated`: each turned by 0 to 3 quarters, the
    label being (digit, turn): 40 classes.
    """
    pixels, labels = shuffled_digits()
    images, rng = pixels / 16.0, np.random.default_rng(1)
    if name == "digits-shifted":
        moves = rng.integers(-1, 2, (len(images), 2))
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
        images = np.stack([p[1 + y : 9 + y, 1 + x : 9 + x] for p, (y, x) in zip(padded, moves, strict=True)])
    if name == "digits-rotated":
        turns = rng.integers(0, 4, len(images))
        images = np.stack([np.rot90(image, turn) for image, turn in zip(images, turns, strict=True)])
        labels = labels * 4 + turns
    # (n, 8, 8) -> (n, 4 channels, 4, 4): each 2 x 2 block becomes four channels
    blocks = images.reshape(-1, 4, 2, 4, 2).transpose(0, 2, 4, 1, 3).reshape(-1, 4, 4, 4).astype(np.float32)
    return {split: (blocks[rows], labels[rows]) for split, rows in SPLITS.items()}


def conv_taps(side: int, stride: int) -> torch.Tensor:  # (9, P_out * P_in) of 0 and 1
    """Which tap of a 3 x 3 kernel (padding 1) connects an input to an output position."""
    positions = torch.eye(side * side).view(-1, 1, side, side)
    return F.unfold(positions, 3, padding=1, stride=stride).permute(1, 2, 0).reshape(9, -1)


def pool_matrix(side: int) -> torch.Tensor:  # (P, P) float64
    """3 x 3 average pooling, stride 1, padding left out of the mean."""
    taps = conv_taps(side, 1).double().sum(0).view(side * side, -1)
    return taps / taps.sum(1, keepdim=True)


class CellBatch:
    """A batch of networks, one for each cell: stem, cell (C), reduction, cell (2 C), linear."""

    def __init__(
        self, rows: np.ndarray, n_classes: int, recipe: Recipe, seed: int, dtype: torch.dtype = torch.float32
    ) -> None:
        """rows (A,): each cell's number in the space, the key of its random stream."""
        self.archs = np.stack([prune_dead_edges(arch) for arch in all_archs()[rows]])
        self.recipe, self.dtype = recipe, dtype
        self.users = {
            (edge, op): torch.from_numpy(np.flatnonzero(self.archs[:, edge] == op))
            for edge, op in itertools.product(range(6), (1, 2, 3, 4))
            if (self.archs[:, edge] == op).any()
        }
        self.weights = self._initial_weights(rows, n_classes, seed)
        self.statistics = {
            name.removesuffix(".scale"): (torch.zeros(w.numel(), dtype=dtype), torch.ones(w.numel(), dtype=dtype))
            for name, w in self.weights.items()
            if name.endswith(".scale")
        }
        self.taps = {key: conv_taps(*key).to(dtype) for key in ((SIDE, 1), (SIDE, 2), (SIDE // 2, 1))}
        self.pools = {side: pool_matrix(side).to(dtype) for side in (SIDE, SIDE // 2)}

    def _initial_weights(self, rows: np.ndarray, n_classes: int, seed: int) -> dict[str, torch.Tensor]:
        """torch's default bounds, 1 / sqrt(fan in); a random stream for each (seed, cell)."""
        c, everyone = self.recipe.channels, torch.arange(len(rows))
        shapes = [
            ("stem", everyone, (c, 4, 9)),
            ("reduction", everyone, (2 * c, c, 9)),
            ("head", everyone, (n_classes, 2 * c)),
        ]
        for stage, width in (("a", c), ("b", 2 * c)):
            convs = [(edge, op, users) for (edge, op), users in self.users.items() if op in (2, 3)]
            shapes += [(f"{stage}{edge}.{op}", users, (width, width, 1 if op == 2 else 9)) for edge, op, users in convs]
        streams = [np.random.Generator(np.random.Philox(key=[seed, int(row)])) for row in rows]
        weights, norms = {}, {"last": (len(rows), 2 * c)}
        for name, users, shape in shapes:
            bound = 1 / np.sqrt(np.prod(shape[1:]))
            drawn = [streams[user].uniform(-bound, bound, shape) for user in users.tolist()]
            weights[name], norms[name] = torch.tensor(np.stack(drawn), dtype=self.dtype), (len(users), shape[0])
        for name, size in norms.items():
            weights[f"{name}.scale"] = torch.ones(size, dtype=self.dtype)
            weights[f"{name}.shift"] = torch.zeros(size, dtype=self.dtype)
        del weights["head.scale"]  # the head has a bias (its shift) and no normalization
        return {name: weight.requires_grad_() for name, weight in weights.items()}

    def _norm(self, x: torch.Tensor, name: str, training: bool) -> torch.Tensor:  # (A, C, P, B)
        """BatchNorm of each cell by itself: cells and channels are the library's channels."""
        flat, (mean, var) = x.reshape(1, -1, x.shape[2] * x.shape[3]), self.statistics[name]
        scale, shift = self.weights[f"{name}.scale"].view(-1), self.weights[f"{name}.shift"].view(-1)
        return F.batch_norm(flat, mean, var, scale, shift, training, self.recipe.norm_momentum).view(x.shape)

    def _conv(self, x: torch.Tensor, name: str, side: int, stride: int, training: bool) -> torch.Tensor:
        """Convolution and BatchNorm; x (A, C, P, B), or (C, P, B) shared by all cells."""
        kernel = self.weights[name]  # (A, C_out, C_in, 1 or 9)
        n, c_out, c_in, taps = kernel.shape
        if taps == 1:
            y = torch.bmm(kernel[..., 0], x.reshape(n, c_in, -1))
        else:
            p_out = (side // stride) ** 2
            matrix = (kernel.view(-1, 9) @ self.taps[side, stride]).view(n, c_out, c_in, p_out, -1)
            matrix = matrix.transpose(2, 3).reshape(n, c_out * p_out, -1)
            y = matrix @ x.reshape(*x.shape[:-3], -1, x.shape[-1])
        return self._norm(y.view(n, c_out, -1, x.shape[-1]), name, training)

    def _cell(self, x: torch.Tensor, stage: str, side: int, training: bool) -> torch.Tensor:
        """The cell's DAG (Sec. 3.1), each operation for the cells that use it."""
        nodes = [x, *(torch.zeros_like(x) for _ in range(3))]
        for source in range(3):
            ops = {key: users for key, users in self.users.items() if NAS_BENCH_201.edges[key[0]][0] == source}
            if not ops:
                continue
            gathered = nodes[source].index_select(0, torch.cat([*ops.values()]))
            parts = gathered.split([len(users) for users in ops.values()])
            for ((edge, op), users), y in zip(ops.items(), parts, strict=True):
                if op == 4:
                    y = self.pools[side] @ y
                elif op != 1:
                    y = self._conv(y.relu(), f"{stage}{edge}.{op}", side, 1, training)
                nodes[NAS_BENCH_201.edges[edge][1]].index_add_(0, users, y)
        return nodes[3]

    def __call__(self, images: torch.Tensor, training: bool) -> torch.Tensor:  # (B, 4, 4, 4) -> (A, B, classes)
        x = images.permute(1, 2, 3, 0).reshape(4, SIDE * SIDE, -1).to(self.dtype)
        x = self._conv(x, "stem", SIDE, 1, training)
        x = self._cell(x, "a", SIDE, training)
        x = self._conv(x.relu(), "reduction", SIDE, 2, training)
        x = self._cell(x, "b", SIDE // 2, training)
        x = self._norm(x, "last", training).relu().mean(2)  # (A, 2 C, B)
        return (self.weights["head"] @ x).transpose(1, 2) + self.weights["head.shift"][:, None]

    @torch.no_grad()
    def accuracy(self, images: torch.Tensor, labels: torch.Tensor) -> np.ndarray:  # (A,) percent
        """Share of images classified right, in one pass with the running statistics."""
        batches = torch.arange(len(labels)).split(100)
        hits = torch.stack([(self(images[b], False).argmax(2) == labels[b]).sum(1) for b in batches]).sum(0)
        return (hits.double() / len(labels) * 100).numpy()


def train_steps(batch: CellBatch, images: torch.Tensor, labels: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """Train all cells of a batch by the sum of their losses; yields each step's (A,).

    SGD acts on each number by itself: every cell trains as if alone. All see the images in the same order.
    """
    recipe, n = batch.recipe, len(labels)
    steps = recipe.epochs * (n // recipe.batch_size)
    optimizer = torch.optim.SGD(
        batch.weights.values(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = torch.Generator().manual_seed(seed)
    for _ in range(recipe.epochs):
        shuffled = torch.randperm(n, generator=order)
        for rows in shuffled.split(recipe.batch_size)[: n // recipe.batch_size]:
            logits = batch(images[rows], True)  # (A, B, classes)
            target = labels[rows].expand(len(logits), -1)
            losses = F.cross_entropy(logits.transpose(1, 2), target, reduction="none").mean(1)
            optimizer.zero_grad(set_to_none=True)
            losses.sum().backward()
            optimizer.step()
            schedule.step()
            yield losses.detach()


def measure(
    rows: np.ndarray,  # (A,) of `all_archs`
    data: dict[str, tuple[np.ndarray, np.ndarray]],  # as `load_digits201` gives it
    seed: int,
    recipe: Recipe,
) -> tuple[np.ndarray, np.ndarray]:
    """Train a batch of cells: validation accuracy after every epoch (A, epochs), test accuracy (A,), percent."""
    sets = {split: (torch.from_numpy(images), torch.from_numpy(labels)) for split, (images, labels) in data.items()}
    n_classes = 1 + max(int(labels.max()) for _, labels in data.values())
    batch = CellBatch(rows, n_classes, recipe, seed)
    every = len(sets["train"][1]) // recipe.batch_size
    valid = [
        batch.accuracy(*sets["valid"])
        for step, _ in enumerate(train_steps(batch, *sets["train"], seed), 1)
        if step % every == 0
    ]
    return np.stack(valid, axis=1), batch.accuracy(*sets["test"])
