"""Small image files, for the tests of folders of images."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(side=(60, 40), seed=0, mode="RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*side[::-1], 3), dtype=np.uint8)).convert(mode)


def write_folder(root: Path) -> Path:
    """Three classes, 7 + 6 + 5 images to train on and 2 each to test on, of several kinds of files."""
    kinds = [("jpeg", "RGB"), ("png", "P"), ("JPG", "L"), ("webp", "RGB"), ("jpg", "CMYK")]
    for split, sizes in (("train", (7, 6, 5)), ("val", (2, 2, 2))):
        for label, n in enumerate(sizes):
            (root / split / f"n{label:02d}").mkdir(parents=True)
            for at in range(n):
                ending, mode = kinds[at % len(kinds)]
                own = picture((50 + 3 * at, 40 + label), seed=100 * label + at, mode=mode)
                own.save(root / split / f"n{label:02d}" / f"{at}.{ending}")
    return root
