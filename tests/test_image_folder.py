"""Sees an ImageNet folder misread, a crop or color that is not DARTS's."""

import colorsys
import math
import shutil

import numpy as np
import pytest
from image_files import picture, write_folder
from PIL import Image

from flatlib.data import image_folder
from flatlib.data.image_folder import crop_box, decode_test, decode_train, jitter, read_folder, turn_hue


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


# --- the layout -----------------------------------------------------------------------------------


def test_what_is_read(folder):
    """Sees a label that is not the folder's, an ending in capitals left out, or classes out of order."""
    for place in (folder, folder / "imagenet"):
        if place != folder:
            place.mkdir()
            (place / "train").symlink_to(folder / "train")
            (place / "val").symlink_to(folder / "val")
        found = read_folder(folder, 3)
        assert [len(found.paths[split]) for split in ("train", "val")] == [18, 6]
        for split in ("train", "val"):
            assert [f"n{label:02d}" for label in found.labels[split]] == [p.parent.name for p in found.paths[split]]
    part = read_folder(folder, 3, n_train=6)
    assert np.bincount(part.labels["train"]).tolist() == [2, 2, 2] and len(part.labels["val"]) == 6


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda root: None, "3 classes, expected 1,000; set n_classes"),
        (
            lambda root: (root / "val").rename(root / "test"),
            "val: no images (.jpeg, .jpg, .png, .webp); expected train",
        ),
        (
            lambda root: (root / "val" / "n01").rename(root / "val" / "n09"),
            "class n01 has images in train/ or val/ only",
        ),
        (
            lambda root: [p.unlink() for p in (root / "train" / "n02").iterdir()],
            "class n02 has images in train/ or val/ only",
        ),
    ],
)
def test_another_layout_is_one_line(folder, tmp_path, spoil, says):
    """Sees a wrong folder found out only when its first image is missed."""
    root = tmp_path / "own"
    shutil.copytree(folder, root, ignore=shutil.ignore_patterns("imagenet"))
    spoil(root)
    with pytest.raises(ValueError) as error:
        read_folder(root, 1000 if "1,000" in says else 3)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_what_a_system_leaves_is_no_image(folder, tmp_path):
    """Sees macOS's ._a.JPEG taken for an image, which stops a training after hours, or a hidden folder for a class."""
    root = tmp_path / "own"
    shutil.copytree(folder, root, ignore=shutil.ignore_patterns("imagenet"))
    (root / "train" / "n00" / "._0.JPEG").write_bytes(b"junk")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    assert [len(read_folder(root, 3).paths[split]) for split in ("train", "val")] == [18, 6]


@pytest.mark.parametrize("n_train", [-1, 19])
def test_more_or_fewer_images_than_there_are_is_one_line(folder, n_train):
    """Sees a negative number that leaves images out from the other end."""
    with pytest.raises(ValueError, match=rf"^n_train {n_train}: \S+ has 18 training images; 0 takes all$"):
        read_folder(folder, 3, n_train)


def test_flat_validation_images_are_explained(folder, tmp_path):
    """Sees the usual trap, val/ without class folders, told in words that do not help."""
    (tmp_path / "train" / "n00").mkdir(parents=True)
    (tmp_path / "val").mkdir()
    picture().save(tmp_path / "train" / "n00" / "a.png")
    picture().save(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(ValueError, match=r"val: no images \(.*\); expected .*val/<class>"):
        read_folder(tmp_path, 1)
    with pytest.raises(ValueError, match=r"absent/train: no images"):
        read_folder(tmp_path / "absent", 1)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    """Sees a damaged image skipped in silence, or a traceback of the decoder."""
    (tmp_path / "bad.jpeg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    with pytest.raises(ValueError, match=r"bad.jpeg: cannot be decoded") as error:
        decode_test(tmp_path / "bad.jpeg")
    assert "\n" not in str(error.value)


# --- decoding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(500, 375), (64, 900), (900, 64), (3, 3)])
def test_crops_are_the_definitions(size):
    """Sees a crop outside the image, of another area or ratio: a transcription with the same draws."""

    def naive(width, height, rng):
        for _ in range(10):
            area = rng.uniform(0.08, 1.0) * width * height
            ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h
        if width / height < 3 / 4:
            w, h = width, round(width / (3 / 4))
        elif width / height > 4 / 3:
            w, h = round(height * (4 / 3)), height
        else:
            w, h = width, height
        return (width - w) // 2, (height - h) // 2, w, h

    for seed in range(300):
        box = crop_box(*size, np.random.default_rng(seed))
        assert box == naive(*size, np.random.default_rng(seed))
        left, top, w, h = box
        assert 0 <= left <= size[0] - w and 0 <= top <= size[1] - h and w > 0 and h > 0


def test_a_training_crop_knows_nothing_beyond_its_border(tmp_path, monkeypatch):
    """Sees neighbors outside the crop blended into its border: torchvision crops, then resizes."""
    monkeypatch.setattr(image_folder, "JITTER", {})
    pixels = np.asarray(picture((300, 200)))
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    for seed in range(5):
        left, top, w, h = crop_box(300, 200, np.random.default_rng(seed))
        alone = Image.fromarray(pixels[top : top + h, left : left + w])
        expected = np.asarray(alone.resize((224, 224), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        found = decode_train(tmp_path / "whole.png", np.random.default_rng(seed))
        assert np.array_equal(found, expected) or np.array_equal(found, expected[:, :, ::-1])


@pytest.mark.parametrize("size", [(256, 256), (300, 500), (501, 333), (40, 400)])
def test_a_test_image_is_its_center(tmp_path, size):
    """Sees a resize of the longer side, a crop off the center, or channels turned: against Pillow's own calls."""
    image = picture(size)
    image.save(tmp_path / "a.png")
    scale = 256 / min(size)
    resized = image.resize((int(size[0] * scale), int(size[1] * scale)), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 224) / 2), round((resized.height - 224) / 2)
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224))).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_test(tmp_path / "a.png"), expected)


def test_every_kind_of_file_becomes_three_channels(folder):
    """Sees a grayscale, palette or CMYK image that breaks a batch."""
    for path in read_folder(folder, 3).paths["train"]:
        for image in (decode_test(path), decode_train(path, np.random.default_rng(0))):
            assert image.shape == (3, 224, 224) and image.dtype == np.uint8


def test_damaged_metadata_is_not_a_damaged_image(tmp_path):
    """Sees a warning for each pass over an image, or a sound image given up for its EXIF block."""
    picture().save(tmp_path / "plain.jpg")
    picture().save(tmp_path / "exif.jpg", exif=b"Exif\0\0II*\0\xff\xff\0\0\x01\0")
    np.testing.assert_array_equal(decode_test(tmp_path / "exif.jpg"), decode_test(tmp_path / "plain.jpg"))
    picture(mode="P").save(tmp_path / "clear.png", transparency=bytes(range(0, 250, 50)))
    assert decode_test(tmp_path / "clear.png").shape == (3, 224, 224)


def test_jitter_stays_within_its_bounds(monkeypatch):
    """Sees a strength beyond 0.4 or a hue beyond 0.2, an order that never changes, or change at strength 0."""
    gray = Image.new("RGB", (4, 4), (100, 100, 100))
    means = [np.asarray(jitter(gray, np.random.default_rng(seed))).mean() for seed in range(200)]
    assert 58 <= min(means) < 65 and 135 < max(means) <= 142  # contrast and saturation leave a gray square as it is
    monkeypatch.setattr(image_folder, "JITTER", dict.fromkeys(image_folder.JITTER, 0.0))
    same = np.asarray(jitter(picture(), np.random.default_rng(0))).astype(int)
    moved = np.abs(same - np.asarray(picture()).astype(int))
    assert moved.max() <= 6 and moved.mean() < 1  # HSV of eight bits and back


def test_hue_turns_around_the_wheel():
    """Sees a turn in degrees for one in parts of the wheel, or in the other direction: against colorsys."""
    for turn in (-0.2, 0.1, 0.2):
        h, s, v = colorsys.rgb_to_hsv(200 / 255, 60 / 255, 30 / 255)
        expected = 255 * np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
        found = np.asarray(turn_hue(Image.new("RGB", (1, 1), (200, 60, 30)), turn))[0, 0]
        assert np.abs(found - expected).max() < 6
