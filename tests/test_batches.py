"""Sees images that depend on who decodes them, a share that is not its process's, a pass that resumes elsewhere."""

import shutil
from dataclasses import replace

import pytest
import torch
from image_files import write_folder

from flatlib.data.image_folder import read_folder
from flatlib.evaluation.batches import FolderBatches, MemoryBatches, batches_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.processes import Share
from flatlib.run.checkpoint import RunStoppedError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


def taken(batches, n):
    return [tuple(part.clone() for part in batches.next()) for _ in range(n)]


def of_folder(folder, share=Share(), workers=0, seed=5):
    return FolderBatches(read_folder(folder, 3), 6, seed, "cpu", share=share, workers=workers)


def of_memory(share=Share(), seed=5):
    whole = batches_of(EvaluationConfig(n_train=40, batch_size=6, cutout=2, seed=seed, device="cpu"))
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
    root = tmp_path / "own"
    shutil.copytree(folder, root)
    for path in (root / "train" / "n01").iterdir():
        path.write_bytes(b"junk")
    batches = of_folder(root, workers=workers)
    with pytest.raises(RunStoppedError, match=r"^\S+n01\S+: cannot be decoded .* goes on$") as error:
        taken(batches, 3)
    assert "\n" not in str(error.value)


def test_loading_by_name(folder):
    """Sees a data set's batches with the wrong number of images, or too large a batch found late."""
    config = EvaluationConfig(dataset="imagenet", n_classes=3, batch_size=4, device="cpu")
    batches = batches_of(config, data_dir=folder, workers=0)
    assert (batches.steps, batches.n_test) == (4, 6)
    with pytest.raises(ValueError, match="batch_size = 19: allowed: 2 to 18"):
        batches_of(replace(config, batch_size=19), data_dir=folder)
