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
JITTER = {"Brightness": 0.4, "Contrast": 0.4, "Color": 0.4, "hue": 0.2}  # PIL.ImageEnhance's, and the hue
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
    found = {split: _classes(root / split) for split in ("train", "val")}
    if differing := sorted(found["train"].keys() ^ found["val"].keys()):
        where = "train/" if differing[0] in found["train"] else "val/"
        raise ValueError(f"{root}: class {differing[0]} is in {where} only; {LAYOUT}")
    if (n := len(found["train"])) != n_classes:
        raise ValueError(f"{root}: train/ has {n:,} classes, expected {n_classes:,}; set n_classes for a part")
    paths = {s: np.array([path for own in found[s].values() for path in own], dtype=object) for s in found}
    labels = {s: np.repeat(np.arange(n), [len(own) for own in found[s].values()]) for s in found}
    rows = training_rows(labels["train"], n_train, str(root))
    paths["train"], labels["train"] = paths["train"][rows], labels["train"][rows]
    return ImageFolder(paths, labels)


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Images by class; what systems and tools leave behind, such as macOS's ._a.JPEG, is no image."""
    if not folder.is_dir():
        raise ValueError(f"{folder.parent}: no {folder.name}/; {LAYOUT}")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {name: _images(folder / name) for name in names}
    if not found:
        there = f"{len(_images(folder)):,} images lie in it without class folders"
        raise ValueError(f"{folder}: {there}; {LAYOUT}: move each image into a folder named after its class")
    for name, own in found.items():
        if not own:
            raise ValueError(f"{folder / name}: no image ({', '.join(sorted(ENDINGS))}); {LAYOUT}")
    return found


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith("."))


# --- decoding -------------------------------------------------------------------------------------


def decode_train(path: Path, rng: np.random.Generator) -> np.ndarray:  # (3, 224, 224) uint8
    """A random part of an image at a random size, perhaps mirrored, its colors jittered."""
    image = _opened(path)
    left, top, width, height = crop_box(*image.size, rng)
    part = image.crop((left, top, left + width, top + height))  # resize's own box would blend in what lies around
    pixels = _pixels(jitter(part.resize((SIDE, SIDE), BILINEAR), rng))
    return np.ascontiguousarray(pixels[:, :, ::-1] if rng.random() < 0.5 else pixels)


def decode_test(path: Path) -> np.ndarray:  # (3, 224, 224) uint8
    """The central square of an image whose shorter side has become 256 pixels."""
    image = _opened(path)
    width, height = (TEST_SIDE * side // min(image.size) for side in image.size)
    left, top = round((width - SIDE) / 2), round((height - SIDE) / 2)
    return _pixels(image.resize((width, height), BILINEAR).crop((left, top, left + SIDE, top + SIDE)))


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

    for name in rng.permutation(list(JITTER)):
        strength = rng.uniform(-JITTER[name], JITTER[name])
        image = turn_hue(image, strength) if name == "hue" else getattr(ImageEnhance, name)(image).enhance(1 + strength)
    return image


def turn_hue(image: "Image", turn: float) -> "Image":
    """By a part of the color wheel, from -0.5 to 0.5."""
    from PIL import Image

    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(level + round(255 * turn)) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


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


def _pixels(image: "Image") -> np.ndarray:  # (3, H, W)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
