"""ImageNet as a folder of image files, `train/<class>/*` and `val/<class>/*`, decoded as DARTS's training does.

What is random of a training image comes from a generator of its own, so it depends on no other image.
"""

import hashlib
import math
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flatlib.data.fetch import data_folder
from flatlib.data.images import training_rows

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = {".jpeg", ".jpg", ".png", ".webp"}
SIDE, TEST_SIDE = 224, 256  # pixels: of what a network sees; of the shorter side from which a test crop is taken
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a training crop: share of the image, width by height
BILINEAR = 2  # PIL.Image.Resampling.BILINEAR
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2}
MOMENTS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and std of ImageNet's channels
LAYOUT = "expected train/<class>/*.jpeg and val/<class>/*.jpeg with the same classes"


@dataclass(frozen=True)
class ImageFolder:
    """Both splits, 'train' and 'val'; classes are numbered in the order of their names."""

    paths: dict[str, np.ndarray]  # (n,) of Path
    labels: dict[str, np.ndarray]  # (n,) int64

    @property
    def digest(self) -> str:
        """Eight letters of the files' names, in order: another folder has others."""
        names = "\n".join(f"{path.parent.name}/{path.name}" for split in self.paths for path in self.paths[split])
        return hashlib.sha256(names.encode()).hexdigest()[:8]


def read_folder(folder: Path | None, n_classes: int, n_train: int = 0) -> ImageFolder:
    """The image files below `folder` ($FLATLIB_DATA, else ./data), or below its imagenet/.

    Raises FileNotFoundError where nothing is there, ValueError, one line, for another layout or number of classes.
    """
    if find_spec("PIL") is None:
        raise ImportError("a folder of images needs Pillow: pip install pillow")
    base = data_folder(folder)
    for root in (base / "imagenet", base):
        if (root / "train").is_dir() or (root / "val").is_dir():
            break
    else:
        raise FileNotFoundError(
            f"no train/ and val/ in {base} or {base / 'imagenet'}; {LAYOUT}: get ImageNet from its own site, or name "
            "another folder (data_dir, $FLATLIB_DATA)"
        )
    train, paths, labels = _split(root / "train")
    val, val_paths, val_labels = _split(root / "val")
    if differing := sorted({*train} ^ {*val}):
        where = "train/" if differing[0] in train else "val/"
        raise ValueError(f"{root}: class {differing[0]} is in {where} only; {LAYOUT}")
    if len(train) != n_classes:
        raise ValueError(f"{root}: train/ has {len(train):,} classes, expected {n_classes:,}; set n_classes for a part")
    rows = training_rows(labels, n_train, str(root))
    return ImageFolder({"train": paths[rows], "val": val_paths}, {"train": labels[rows], "val": val_labels})


def _split(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Classes, paths and labels; what systems and tools leave behind, such as macOS's ._a.JPEG, is no image."""
    if not folder.is_dir():
        raise ValueError(f"{folder.parent}: no {folder.name}/; {LAYOUT}")
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        flat = len(_images(folder))
        what = f"{flat:,} images lie in it without class folders" if flat else "it is empty"
        raise ValueError(f"{folder}: {what}; {LAYOUT}: move each image into a folder named after its class")
    found = [_images(folder / name) for name in classes]
    for name, own in zip(classes, found, strict=True):
        if not own:
            raise ValueError(f"{folder / name}: no image ({', '.join(sorted(ENDINGS))}); {LAYOUT}")
    labels = np.repeat(np.arange(len(classes)), [len(own) for own in found])
    return classes, np.array([path for own in found for path in own], dtype=object), labels


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith("."))


# --- decoding -------------------------------------------------------------------------------------


def decode_train(path: Path, rng: np.random.Generator) -> np.ndarray:  # (3, 224, 224) uint8
    """A random part of an image at a random size, perhaps mirrored, its colors jittered."""
    with _opened(path) as image:
        left, top, width, height = crop_box(*image.size, rng)
        part = image.crop((left, top, left + width, top + height))  # resize's own box would blend in what lies around
    image = part.resize((SIDE, SIDE), BILINEAR)
    return _pixels(jitter(image, rng), flip=rng.random() < 0.5)


def decode_test(path: Path) -> np.ndarray:  # (3, 224, 224) uint8
    """The central square of an image whose shorter side has become 256 pixels."""
    with _opened(path) as image:
        width, height = image.size
        short = min(width, height)
        width, height = TEST_SIDE * width // short, TEST_SIDE * height // short
        image = image.resize((width, height), BILINEAR)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    return _pixels(image.crop((left, top, left + SIDE, top + SIDE)), flip=False)


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


def jitter(image: "Image", rng: np.random.Generator) -> "Image":
    """Brightness, contrast, saturation and hue changed by up to JITTER, in random order."""
    from PIL import ImageEnhance

    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    for name in rng.permutation(list(JITTER)):
        strength = rng.uniform(-JITTER[name], JITTER[name])
        image = turn_hue(image, strength) if name == "hue" else enhance[name](image).enhance(1 + strength)
    return image


def turn_hue(image: "Image", turn: float) -> "Image":
    """By a part of the color wheel, from -0.5 to 0.5."""
    from PIL import Image

    hue, saturation, value = image.convert("HSV").split()
    turned = (np.asarray(hue).astype(np.int16) + round(255 * turn)) % 256
    return Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value)).convert("RGB")


def _opened(path: Path) -> "Image":
    """The image in RGB; ValueError, one line, for what cannot be decoded."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of EXIF and transparency, which are not used
            with Image.open(path) as image:
                return image.convert("RGB")
    except Exception as error:  # Pillow raises what its decoders find: OSError, SyntaxError, ValueError, struct.error
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"{path}: cannot be decoded ({reason}); replace the file or move it away") from None


def _pixels(image: "Image", *, flip: bool) -> np.ndarray:
    pixels = np.asarray(image).transpose(2, 0, 1)
    return np.ascontiguousarray(pixels[:, :, ::-1] if flip else pixels)
