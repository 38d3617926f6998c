"""Sees files misread, an augmentation that is not its definition image by image, or errors of several lines."""

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from flatlib.data.images import Augmentation, ImageSet, augment, load_images, normalize
from flatlib.evaluation.digits201 import load_digits201

FILES = {  # name -> the official archive's folder, training files, test file, classes
    "cifar10": ("cifar-10-batches-bin", [f"data_batch_{i}.bin" for i in (1, 2, 3, 4, 5)], "test_batch.bin", 10),
    "cifar100": ("cifar-100-binary", ["train.bin"], "test.bin", 100),
}


def image_set(augmentation: Augmentation, channels: int = 3, height: int = 6, width: int = 5, n: int = 40) -> ImageSet:
    rng = np.random.default_rng(3)
    images = torch.from_numpy(rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8))
    mean, std = tuple(rng.uniform(0.2, 0.8, channels)), tuple(rng.uniform(0.1, 0.4, channels))
    return ImageSet("toy", {"train": images}, {"train": torch.zeros(n, dtype=torch.int64)}, 10, mean, std, augmentation)


def draws(data: ImageSet, seed: int) -> list[list[int]]:
    """For each image top, left, flip, and the cutout's row and column; drawn in this order, whatever is used."""
    n, _, height, width = data.images["train"].shape
    shifts, generator = 2 * data.augmentation.padding + 1, torch.Generator().manual_seed(seed)
    bounds = (shifts, shifts, 2, height, width)
    return torch.stack([torch.randint(bound, (n,), generator=generator) for bound in bounds], dim=1).tolist()


def one_by_one(data: ImageSet, seed: int) -> np.ndarray:
    """RandomCrop, RandomHorizontalFlip, ToTensor, Normalize, Cutout of DARTS, a pixel at a time in float64."""
    made = np.zeros(data.images["train"].shape)
    _, channels, height, width = made.shape
    augmentation, half = data.augmentation, data.augmentation.cutout // 2
    for image, result, draw in zip(data.images["train"].numpy(), made, draws(data, seed), strict=True):
        top, left, flip, y, x = draw
        for row in range(height):
            for column in range(width):
                taken = width - 1 - column if flip and augmentation.flip else column
                i, j = row + top - augmentation.padding, taken + left - augmentation.padding
                cut = y - half <= row < y + half and x - half <= column < x + half
                for channel in range(channels):
                    inside = 0 <= i < height and 0 <= j < width
                    value = image[channel, i, j] / 255 if inside else 0.0
                    normal = (value - data.mean[channel]) / data.std[channel]
                    result[channel, row, column] = 0.0 if cut else normal
    return made


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(0, False), Augmentation(1, False), Augmentation(2, True), Augmentation(2, True, 4)],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_equals_one_image_at_a_time(augmentation, channels):
    """Sees rows taken for columns, a crop after the flip, a border that is not black, a cutout off by a pixel."""
    data = image_set(augmentation, channels)
    result = augment(data.images["train"], data, torch.Generator().manual_seed(5))
    assert result.dtype == torch.float32 and result.is_contiguous()
    # a gray level is 0.01 at least
    np.testing.assert_allclose(result.numpy(), one_by_one(data, 5), rtol=1e-5, atol=1e-5)


def test_augmentation_is_its_seeds():
    """Sees draws from a global generator, the same draws again, or crops that change with flip and cutout."""
    data = image_set(Augmentation(2, True, 4))
    images, before = data.images["train"], data.images["train"].clone()
    generator = torch.Generator().manual_seed(0)
    first, second = (augment(images, data, generator) for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(first, augment(images, data, torch.Generator().manual_seed(0)))
    assert not torch.equal(first, second) and torch.equal(images, before)
    plain = augment(images, replace(data, augmentation=Augmentation(2, False)), torch.Generator().manual_seed(0))
    straight = torch.tensor([draw[2] for draw in draws(data, 0)]) == 0
    shown = first[straight] != 0
    assert 10 < straight.sum() < 30 and torch.equal(first[straight][shown], plain[straight][shown])


def test_validation_images_are_only_normalized():
    """Sees a crop or a flip on validation images, or mean and std of other channels."""
    data = image_set(Augmentation(2, True, 4))
    expected = data.images["train"].double() / 255
    for channel in range(3):
        expected[:, channel] = (expected[:, channel] - data.mean[channel]) / data.std[channel]
    torch.testing.assert_close(normalize(data.images["train"], data), expected.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_makes_the_same_images():
    """Sees draws that depend on the device, or a division that rounds otherwise there."""
    data = image_set(Augmentation(2, True, 4))
    there = data.to("cuda")
    made, expected = (
        augment(each.images["train"], each, torch.Generator().manual_seed(0)).cpu() for each in (there, data)
    )
    assert there.labels["train"].is_cuda and torch.equal(made, expected)


def test_to_moves_every_tensor():
    """Sees labels left behind on another device."""
    moved = image_set(Augmentation(0, False)).to("meta")
    assert moved.images["train"].is_meta and moved.labels["train"].is_meta and moved.name == "toy"


def test_digits_are_those_of_digits201():
    """Sees another split than the embedded benchmark's, transposed images, or gray levels cut off."""
    known, data = load_digits201("digits"), load_images("digits")
    rows = {"train": ("train", "valid"), "test": ("test",)}
    for split, parts in rows.items():
        blocks = torch.from_numpy(np.concatenate([known[part][0] for part in parts]))
        assert torch.equal(data.images[split], (torch.pixel_shuffle(blocks, 2) * 255).round().byte())
        assert np.array_equal(data.labels[split], np.concatenate([known[part][1] for part in parts]))
    assert len(data.images["train"]) == 1200 and len(data.images["test"]) == 597
    assert data.images["train"].max() == 255 and data.labels["train"].dtype == torch.int64
    normal = normalize(data.images["train"], data)
    assert abs(normal.mean()) < 1e-5 and abs(normal.std(unbiased=False) - 1) < 1e-5
    assert data.augmentation == Augmentation(padding=1, flip=False, cutout=0) and data.n_classes == 10


@pytest.mark.parametrize("n_train", [1, 10, 37, 1200])
def test_a_part_of_the_training_images(n_train):
    """Sees classes that a small part lacks, labels of other images, parts that do not nest, a shorter test set."""
    whole, part = load_images("digits"), load_images("digits", n_train=n_train)
    counts = torch.bincount(part.labels["train"], minlength=10)
    assert len(part.labels["train"]) == n_train and (n_train == 1200 or counts.max() - counts.min() <= 1)
    pairs = [
        set(zip(map(bytes, d.images["train"].numpy()), d.labels["train"].tolist(), strict=True)) for d in (part, whole)
    ]
    assert pairs[0] <= pairs[1] and (n_train < 1200 or pairs[0] == pairs[1])
    again = load_images("digits", n_train=1200).images["train"]
    assert torch.equal(part.images["train"], again[:n_train]) and len(part.images["test"]) == 597


def write_cifar(folder, name, n=7):
    """A tiny set in the official layout; split -> images and labels as they were written."""
    rng, (inner, train, test, classes) = np.random.default_rng(0), FILES[name]
    written, contents = {"train": [], "test": []}, {}
    for file in [*train, test]:
        content = b""
        for _ in range(n):
            label, image = int(rng.integers(classes)), rng.integers(0, 256, (3, 32, 32), dtype=np.uint8)
            coarse = bytes([int(rng.integers(20))]) if name == "cifar100" else b""
            content += coarse + bytes([label]) + b"".join(bytes(row) for channel in image for row in channel)
            written["test" if file == test else "train"].append((image, label))
        contents[file] = content
    (folder / inner).mkdir()
    for file, content in contents.items():
        (folder / inner / file).write_bytes(content)
    return written


@pytest.mark.parametrize("name", FILES)
def test_official_files_are_read_back(name, tmp_path, monkeypatch):
    """Sees a label byte taken for a pixel, coarse labels for fine ones, batches out of order."""
    monkeypatch.setenv("FLATLIB_DATA", str(tmp_path))
    written = write_cifar(tmp_path, name)
    for folder in (None, tmp_path):
        data = load_images(name, folder)
        for split, pairs in written.items():
            assert np.array_equal(data.images[split], np.stack([image for image, _ in pairs]))
            assert data.labels[split].tolist() == [label for _, label in pairs]
            assert data.images[split].dtype == torch.uint8 and data.labels[split].dtype == torch.int64
    assert (data.name, data.n_classes) == (name, FILES[name][3])
    assert data.augmentation == Augmentation(padding=4, flip=True, cutout=0)


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_files_name_the_command(tmp_path, monkeypatch):
    """Sees a missing data set that is a traceback, or a command that fetches to another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLATLIB_DATA", raising=False)
    with pytest.raises(FileNotFoundError) as error:
        load_images("cifar10")
    assert one_line(error) == "no data/cifar-10-batches-bin; get it: flatlib data fetch cifar10"
    with pytest.raises(FileNotFoundError) as error:
        load_images("cifar10", tmp_path / "my data")
    command = f"flatlib data fetch cifar10 --folder '{tmp_path / 'my data'}'"
    assert one_line(error) == f"no {tmp_path / 'my data' / 'cifar-10-batches-bin'}; get it: {command}"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("cut", "train.bin: 21,418 bytes, not whole records of 3,074 bytes"),
        ("empty", "train.bin: 0 bytes, not whole records of 3,074 bytes"),
        ("label", r"train.bin: label \d{3}, allowed 0 to 99"),
        ("gone", ".*No such file or directory.*train.bin'"),
    ],
)
def test_damaged_files_are_one_line(how, why, tmp_path):
    """Sees images shifted by a cut file, a label that no class has, or a traceback."""
    write_cifar(tmp_path, "cifar100")
    folder = tmp_path / "cifar-100-binary"
    content = (folder / "train.bin").read_bytes()
    (folder / "train.bin").unlink()
    spoiled = {"cut": content[:-100], "empty": b"", "label": content[:3075] + b"\xff" + content[3076:]}
    if how in spoiled:
        (folder / "train.bin").write_bytes(spoiled[how])
    with pytest.raises(ValueError) as error:
        load_images("cifar100", tmp_path)
    command = re.escape(f"flatlib data fetch cifar100 --folder {tmp_path}")
    assert re.fullmatch(rf"{re.escape(str(folder))}: damaged \({why}\); move it away, then: {command}", one_line(error))


def test_wrong_arguments_are_one_line():
    """Sees too many images accepted, or an error without what is allowed."""
    for n_train in (-1, 1201):
        with pytest.raises(ValueError, match=f"^n_train {n_train:,}: digits has 1,200 training images; 0 takes all$"):
            load_images("digits", n_train=n_train)


def test_scikit_learn_only_for_digits(monkeypatch):
    """Sees a bare GPU machine that needs scikit-learn for CIFAR, or a missing one that is not named."""
    code = "import sys, flatlib.data.images; sys.exit('sklearn' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r"^digits need scikit-learn: pip install scikit-learn, or take --dataset cifar"
    ):
        load_images("digits")
