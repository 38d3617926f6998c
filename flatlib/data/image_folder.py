"""ImageNet as a folder of image files, `train/<class>/*` and `val/<class>/*`, decoded as DARTS's training does.

What is random of a training image comes from a generator of its own, so it depends on no other image.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from flatlib.data.fetch import data_folder
from flatlib.data.images import training_rows

try:
    from PIL import Image, ImageEnhance
except ImportError:
    raise ImportError("a folder of images needs Pillow: pip install pillow") from None

ENDINGS = {".jpeg", ".jpg", ".png", ".webp"}
SIDE, TEST_SIDE = 224, 256  # pixels: of what a network sees; of the shorter side from which a test crop is taken
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a training crop: share of the image, width by height
JITTER = {"Brightness": 0.4, "Contrast": 0.4, "Color": 0.4, "hue": 0.2}  # PIL.ImageEnhance's, and the hue
LAYOUT = "expected train/<class>/*.jpeg and val/<class>/*.jpeg with the same classes"


@dataclass(frozen=True)
class ImageFolder(Dataset):
    """Both splits, 'train' and 'val'; classes are numbered in the order of their names."""

    paths: dict[str, np.ndarray]  # (n,) of Path
    labels: dict[str, np.ndarray]  # (n,) int64

    def __getitem__(self, place: tuple[str, int, int, int]) -> tuple[torch.Tensor, np.int64]:  # (3, 224, 224) uint8
        """Image and label by (split, seed, pass, row), whence all comes that is random in it, whoever decodes."""
        split, *seeds = place
        path, label = self.paths[split][seeds[-1]], self.labels[split][seeds[-1]]
        pixels = decode_train(path, np.random.default_rng(seeds)) if split == "train" else decode_test(path)
        return torch.from_numpy(pixels), label


def read_folder(folder: Path | None, n_classes: int, n_train: int = 0) -> ImageFolder:
    """The image files below `folder` ($FLATLIB_DATA, else ./data), or below its imagenet/.

    ValueError, one line, for another layout or number of classes.
    """
    base = data_folder(folder)
    root = base / "imagenet" if (base / "imagenet").is_dir() else base
    paths, classes, labels = {}, {}, {}
    for split in ("train", "val"):  # what a system leaves behind, such as macOS's ._a.JPEG, is no image
        found = sorted(p for p in (root / split).glob("[!.]*/[!.]*") if p.suffix.lower() in ENDINGS)
        if not found:
            raise ValueError(f"{root / split}: no images ({', '.join(sorted(ENDINGS))}); {LAYOUT}, or name its folder")
        paths[split] = np.array(found, dtype=object)
        classes[split], labels[split] = np.unique([path.parent.name for path in found], return_inverse=True)
    if differing := sorted({*classes["train"]} ^ {*classes["val"]}):
        raise ValueError(f"{root}: class {differing[0]} has images in train/ or val/ only; {LAYOUT}")
    if (n := len(classes["train"])) != n_classes:
        raise ValueError(f"{root}: {n:,} classes, expected {n_classes:,}; set n_classes for a part")
    rows = training_rows(labels["train"], n_train, str(root))
    paths["train"], labels["train"] = paths["train"][rows], labels["train"][rows]
    return ImageFolder(paths, labels)


# --- decoding -------------------------------------------------------------------------------------


def decode_train(path: Path, rng: np.random.Generator) -> np.ndarray:  # (3, 224, 224) uint8
    """A random part of an image at a random size, perhaps mirrored, its colors jittered."""
    image = _opened(path)
    left, top, width, height = crop_box(*image.size, rng)
    part = image.crop((left, top, left + width, top + height))  # resize's own box would blend in what lies around
    image = jitter(part.resize((SIDE, SIDE), Image.Resampling.BILINEAR), rng)
    return _pixels(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image)


def decode_test(path: Path) -> np.ndarray:  # (3, 224, 224) uint8
    """The central square of an image whose shorter side has become 256 pixels."""
    image = _opened(path)
    width, height = (TEST_SIDE * side // min(image.size) for side in image.size)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    return _pixels(image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + SIDE, top + SIDE)))


def crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:  # left, top, its size
    """Area and logarithm of the ratio are uniform; after ten boxes that do not fit, the largest central one."""
    for _ in range(10):
        area = width * height * rng.uniform(*AREA)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    return (width - w) // 2, (height - h) // 2, w, h


def jitter(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brightness, contrast, saturation and hue changed by up to JITTER, in random order."""
    for name in rng.permutation(list(JITTER)):
        strength = rng.uniform(-JITTER[name], JITTER[name])
        image = turn_hue(image, strength) if name == "hue" else getattr(ImageEnhance, name)(image).enhance(1 + strength)
    return image


def turn_hue(image: Image.Image, turn: float) -> Image.Image:
    """By a part of the color wheel, from -0.5 to 0.5."""
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + round(255 * turn)) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _opened(path: Path) -> Image.Image:
    """In RGB; ValueError, one line, for what cannot be decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of EXIF and transparency, which are not used
            with Image.open(path) as image:
                return image.convert("RGB")
    except Exception as error:  # Pillow raises what its decoders find: OSError, SyntaxError, ValueError, struct.error
        raise ValueError(f"{path}: cannot be decoded ({error!r:.100}); replace the file or move it away") from None


def _pixels(image: Image.Image) -> np.ndarray:  # (3, H, W)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
