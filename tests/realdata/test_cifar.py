"""The real CIFAR-10: sees the official layout misread, or constants that are not the data's."""

import pytest
import torch

from flatlib.data.images import load_images

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def cifar10(cifar10_folder):
    return load_images("cifar10", cifar10_folder)


def test_shapes_and_classes(cifar10):
    """Sees a batch read twice or left out, or labels read from another byte."""
    for split, n in (("train", 50_000), ("test", 10_000)):
        assert cifar10.images[split].shape == (n, 3, 32, 32) and cifar10.images[split].dtype == torch.uint8
        assert torch.bincount(cifar10.labels[split]).tolist() == [n // 10] * 10
    # the first record of data_batch_1 is a frog, of test_batch a cat
    assert cifar10.labels["train"][0] == 6 and cifar10.labels["test"][0] == 3


def test_mean_and_std_are_the_datas(cifar10):
    """Sees constants of another data set, or channels in another order."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    for channel, (mean, std) in enumerate(zip(cifar10.mean, cifar10.std, strict=True)):
        share = torch.bincount(cifar10.images["train"][:, channel].flatten(), minlength=256).double() / (
            50_000 * 32 * 32
        )
        true_mean = (share * levels).sum()
        true_std = (share * (levels - true_mean) ** 2).sum().sqrt()
        assert abs(true_mean - mean) < 1e-5 and abs(true_std - std) < 1e-5


def test_neighboring_pixels_are_alike(cifar10):
    """Sees rows, columns and channels in another order: real images are smooth along both axes."""
    images = cifar10.images["test"][:1000].float()
    for axis in (2, 3):
        assert images.diff(dim=axis).abs().mean() < images.std() / 4
