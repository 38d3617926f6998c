"""Sees an image that a pass repeats or leaves out, or a resumed pass that goes on elsewhere."""

import pytest
import torch

from flatlib.data.images import Stream, split_halves


def test_a_pass_has_each_index_once():
    """Sees an index repeated within a pass, lost for ever, or the same order in each pass."""
    indices = torch.arange(100, 123)
    stream, passes = Stream(indices, 5, seed=1), []
    assert stream.batches_per_pass == 4
    for _ in range(20):
        batches = [stream.next() for _ in range(4)]
        assert all(batch.shape == (5,) and batch.dtype == torch.int64 for batch in batches)
        passes.append(torch.cat(batches).tolist())
        assert len(set(passes[-1])) == 20 and set(passes[-1]) <= set(range(100, 123))
    assert len(set(map(tuple, passes))) == 20
    assert set().union(*passes) == set(range(100, 123))  # what is dropped changes with each pass
    whole = Stream(indices, 23, seed=1)
    assert all(whole.next().sort().values.equal(indices) for _ in range(3))


def test_streams_are_their_seeds():
    """Sees streams that share a generator, or that ignore their seed."""
    indices = torch.arange(50)
    one, same, other = (Stream(indices, 10, seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(0)
    taken = [torch.stack([stream.next() for _ in range(12)]) for stream in (one, same, other)]
    assert torch.equal(taken[0], taken[1]) and not torch.equal(taken[0], taken[2])


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 9])
def test_a_resumed_stream_goes_on(steps, tmp_path):
    """Sees a pass begun anew on resuming, a pass skipped at its end, or a state that moves with its stream."""
    stream = Stream(torch.arange(23), 5, seed=1)
    for _ in range(steps):
        stream.next()
    torch.save(stream.state(), tmp_path / "state.pt")
    kept = stream.state()
    expected = [stream.next().tolist() for _ in range(11)]
    for state in (kept, torch.load(tmp_path / "state.pt", weights_only=True)):
        resumed = Stream(torch.arange(23), 5, seed=7)
        resumed.restore(state)
        assert [resumed.next().tolist() for _ in range(11)] == expected
    assert all(isinstance(value, int | torch.Tensor) for value in kept.values())


def test_a_stream_refuses_what_it_cannot_do():
    """Sees a pass without a batch."""
    for size in (0, 24):
        with pytest.raises(ValueError, match=f"^batch size {size}: allowed 1 to 23, the images there are$"):
            Stream(torch.arange(23), size, seed=1)


@pytest.mark.parametrize("n", [10, 11])
def test_halves_share_no_image(n):
    """Sees validation images in the training half, a lost one, or halves that ignore the seed."""
    train, valid = split_halves(n, 0)
    assert (len(train), len(valid)) == (n // 2, n - n // 2) and train.dtype == torch.int64
    assert torch.cat([train, valid]).sort().values.equal(torch.arange(n))
    assert train.equal(split_halves(n, 0)[0]) and not train.equal(split_halves(n, 1)[0])
