"""Scikit-learn's digits (1,797 images, 8 x 8) as three small data sets, embedded and offline."""

import numpy as np

SPLITS = {"train": slice(0, 600), "valid": slice(600, 1200), "test": slice(1200, 1797)}
NAMES = ("digits", "digits-shifted", "digits-rotated")


def shuffled_digits() -> tuple[np.ndarray, np.ndarray]:  # (1797, 8, 8) gray values 0 to 16, (1797,) int64
    """Scikit-learn's digits in the one order that every split here is cut from."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError("digits need scikit-learn: pip install scikit-learn, or take --dataset cifar10") from None
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return pixels[order].reshape(-1, 8, 8), labels[order].astype(np.int64)


def load_digits201(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> images (n, 4, 4, 4) in [0, 1], pixel-unshuffled, float32, and labels (n,) int64; fixed for all seeds.

    `digits`: 10 classes. `digits-shifted`: each image moved by up to 1 pixel on both axes.
    `digits-rotated`: each image turned by 0, 90, 180 or 270 degrees, the label being
    (digit, turn): 40 classes.
    """
    if name not in NAMES:
        raise ValueError(f"no data set {name!r}; there are {', '.join(NAMES)}")
    pixels, labels = shuffled_digits()
    images = pixels / 16.0
    rng = np.random.default_rng(1)
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
