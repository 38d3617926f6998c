"""Sees an ImageNet folder misread, a crop or color that is not DARTS's, images that depend on who decodes them."""

import colorsys
import math

import numpy as np
import pytest
import torch
from PIL import Image

from flatlib.data import image_folder
from flatlib.data.image_folder import crop_box, decode_test, decode_train, jitter, read_folder, turn_hue
from flatlib.evaluation.batches import MemoryBatches, Share, load_batches
from flatlib.evaluation.folder_batches import FolderBatches
from flatlib.run.checkpoint import RunStoppedError


def picture(side=(60, 40), seed=0, mode="RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*side[::-1], 3), dtype=np.uint8)).convert(mode)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes, 7 + 6 + 5 images to train on and 2 each to test on, of several kinds of files."""
    root = tmp_path_factory.mktemp("images")
    kinds = [("jpeg", "RGB"), ("png", "P"), ("JPG", "L"), ("webp", "RGB"), ("jpg", "CMYK")]
    for split, sizes in (("train", (7, 6, 5)), ("val", (2, 2, 2))):
        for label, n in enumerate(sizes):
            (root / split / f"n{label:02d}").mkdir(parents=True)
            for at in range(n):
                ending, mode = kinds[at % len(kinds)]
                own = picture((50 + 3 * at, 40 + label), seed=100 * label + at, mode=mode)
                own.save(root / split / f"n{label:02d}" / f"{at}.{ending}")
    return root


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
        (lambda root: None, "train/ has 3 classes, expected 1,000; set n_classes"),
        (lambda root: (root / "val").rename(root / "test"), "no val/"),
        (lambda root: (root / "val" / "n01").rename(root / "val" / "n09"), "class n01 is in train/ only"),
        (lambda root: [p.unlink() for p in (root / "train" / "n02").iterdir()], "no image (.jpeg, .jpg, .png, .webp)"),
    ],
)
def test_another_layout_is_one_line(folder, tmp_path, spoil, says):
    """Sees a wrong folder found out only when its first image is missed."""
    import shutil

    root = tmp_path / "own"
    shutil.copytree(folder, root, ignore=shutil.ignore_patterns("imagenet"))
    spoil(root)
    with pytest.raises(ValueError) as error:
        read_folder(root, 1000 if "1,000" in says else 3)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_flat_validation_images_are_explained(folder, tmp_path):
    """Sees the usual trap, val/ without class folders, told in words that do not help."""
    (tmp_path / "train" / "n00").mkdir(parents=True)
    (tmp_path / "val").mkdir()
    picture().save(tmp_path / "train" / "n00" / "a.png")
    picture().save(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(ValueError, match=r"1 images lie in it without class folders; .* named after its class"):
        read_folder(tmp_path, 1)
    with pytest.raises(FileNotFoundError, match=r"no train/ and val/ in .*absent.*\$FLATLIB_DATA"):
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


# --- batches --------------------------------------------------------------------------------------


def taken(batches, n):
    return [tuple(part.clone() for part in batches.next()) for _ in range(n)]


def of_folder(folder, share=Share(), workers=0, seed=5):
    return FolderBatches(read_folder(folder, 3), 6, seed, "cpu", share=share, workers=workers)


def of_memory(share=Share(), seed=5):
    whole = load_batches("digits", n_train=40, n_classes=10, batch_size=6, cutout=2, seed=seed)
    return MemoryBatches(whole.image_set, 6, seed, share=share)


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_two_processes_see_what_one_sees(folder, kind):
    """Sees shares that overlap, leave an image out, or change what is drawn for it; test images twice or never."""

    def make(share=Share()):
        return of_folder(folder, share) if kind == "folder" else of_memory(share)

    one, two = make(), [make(Share(rank, 2)) for rank in (0, 1)]
    for images, labels in taken(one, 5):  # into the next pass
        halves = [batches.next() for batches in two]
        assert torch.equal(torch.cat([x for x, _ in halves]), images)
        assert torch.equal(torch.cat([y for _, y in halves]), labels)
    for world in (1, 2, 3):
        seen = [image for rank in range(world) for x, _ in make(Share(rank, world)).test() for image in x]
        whole = [image for x, _ in one.test() for image in x]
        key = lambda image: tuple(image.flatten()[:200].tolist())  # noqa: E731
        assert len(seen) == one.n_test and sorted(map(key, seen)) == sorted(map(key, whole))
    with pytest.raises(ValueError, match="batch_size = 6 with 4 processes: allowed: multiples of 4"):
        make(Share(0, 4))


@pytest.mark.parametrize("kind", ["folder", "memory"])
@pytest.mark.parametrize("stop", [0, 1, 3, 4])
def test_batches_resume_in_the_middle_of_a_pass(folder, kind, stop):
    """Sees a resumed run that sees other images than the one left alone."""
    make = (lambda: of_folder(folder)) if kind == "folder" else of_memory
    batches = make()
    taken(batches, stop)
    state, rest = batches.state(), taken(batches, 4)
    again = make()
    again.restore(state)
    for ours, theirs in zip(taken(again, 4), rest, strict=True):
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])


def test_workers_do_not_matter(folder):
    """Sees an image whose crop depends on the process that decodes it."""
    here, there = of_folder(folder), of_folder(folder, workers=2)
    for ours, theirs in zip(taken(here, 4), taken(there, 4), strict=True):
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    first, second = taken(of_folder(folder), 1)[0], taken(of_folder(folder, seed=6), 1)[0]
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_among_batches_is_one_line(folder, tmp_path, workers):
    """Sees the traceback of a worker instead of the file's name."""
    import shutil

    root = tmp_path / "own"
    shutil.copytree(folder, root, ignore=shutil.ignore_patterns("imagenet"))
    for path in (root / "train" / "n01").iterdir():
        path.write_bytes(b"junk")
    batches = of_folder(root, workers=workers)
    with pytest.raises(RunStoppedError, match=r"^\S+n01\S+: cannot be decoded .* goes on$") as error:
        taken(batches, 3)
    assert "\n" not in str(error.value)


def test_states_of_other_images_are_refused(folder):
    """Sees a run that goes on with another data set."""
    state = of_folder(folder).state() | {"n_train": 99}
    with pytest.raises(ValueError, match="from 99 images; this folder has 18"):
        of_folder(folder).restore(state)


def test_loading_by_name(folder):
    """Sees a data set's batches with the wrong number of images, or too large a batch found late."""
    batches = load_batches("imagenet", data_dir=folder, n_classes=3, batch_size=4, workers=0)
    assert (batches.steps, batches.n_test) == (4, 6)
    with pytest.raises(ValueError, match="batch_size = 19: allowed: 2 to 18"):
        load_batches("imagenet", data_dir=folder, n_classes=3, batch_size=19)
