"""Digits201's batched training: sees any drift from networks trained one by one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plain_network import PlainNetwork

from flatlib.evaluation.digits201 import NAMES, CellBatch, Recipe, load_digits201, measure, train_steps
from flatlib.evaluation.digits201_build import build
from flatlib.spaces import all_archs, isomorphism_classes
from flatlib.tabular.table_file import embedded_path, load_table


def copy_weights(batch: CellBatch, row: int) -> PlainNetwork:
    """The plain network with the initial weights of one row of the batch."""
    net = PlainNetwork(batch.archs[row], batch.recipe.channels, batch.weights["head"].shape[1]).double()
    convs = {"stem": net.stem, "reduction": net.reduction, "head": net.head}
    for stage in "ab":
        for edge, op in enumerate(batch.archs[row]):
            if op in (2, 3):
                convs[f"{stage}{edge}.{op}"] = net.convs[f"{stage}{edge}"][1]
    with torch.no_grad():
        for name, module in convs.items():
            edge_op = name[1:].split(".")
            at = row if len(edge_op) == 1 else batch.users[int(edge_op[0]), int(edge_op[1])].tolist().index(row)
            module.weight.copy_(batch.weights[name][at].view(module.weight.shape))
        net.head.bias.copy_(batch.weights["head.shift"][row])
    return net


def test_batched_training_equals_one_by_one_in_float64():
    """Sees wrong gathers, taps, pools, BatchNorm, optimizer or schedule in the batched training."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([[0, 15624, 3 * 5**5], rng.choice(15625, 10, replace=False)])
    data, recipe = load_digits201("digits-shifted"), Recipe(epochs=1)
    images, labels = map(torch.from_numpy, data["train"])
    batch = CellBatch(rows, 10, recipe, seed=7, dtype=torch.float64)
    nets = [copy_weights(batch, row) for row in range(len(rows))]
    batched = torch.stack(list(train_steps(batch, images, labels, seed=7)))  # (steps, A)
    assert batched.shape == (12, len(rows))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(7)).split(50)
    for row, net in enumerate(nets):
        optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
        for step, index in enumerate(order):
            loss = F.cross_entropy(net(images[index].double()), labels[index])
            assert abs(loss.item() - batched[step, row].item()) < 1e-12
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        net.eval()
        plain = net(images.double())
        assert torch.allclose(plain, batch(images, training=False)[row], atol=1e-10)


def _sample(n: int) -> np.ndarray:
    classes = np.unique(isomorphism_classes(all_archs()))
    return np.sort(np.random.default_rng(0).choice(classes, n, replace=False))


def test_a_sample_built_twice_is_equal_to_the_bit(tmp_path):
    """Sees any draw that depends on the process, the order of parts or a resumed build."""
    rows, runs = _sample(70), [("digits", 0), ("digits-shifted", 3)]
    options = {"recipe": Recipe(epochs=2), "classes": rows, "runs": runs}
    first = build(tmp_path, processes=2, **options)
    for part in ("digits_0_00064.npz", "digits-shifted_3_00000.npz"):  # as if the build had been interrupted
        (tmp_path / part).unlink()
    again = build(tmp_path, processes=1, **options)
    for run in runs:
        assert first[run][0].shape == (70, 2) and first[run][1].shape == (70,)
        np.testing.assert_array_equal(first[run][0], again[run][0])
        np.testing.assert_array_equal(first[run][1], again[run][1])


def test_another_recipe_does_not_touch_the_parts(tmp_path):
    """Sees a build that mixes the parts of two recipes."""
    build(tmp_path, recipe=Recipe(epochs=1), classes=np.arange(2), runs=[])
    with pytest.raises(ValueError, match="holds another run; move the folder away") as caught:
        build(tmp_path, recipe=Recipe(epochs=2), classes=np.arange(2), runs=[])
    assert "\n" not in str(caught.value)


def test_rebuilt_sample_lies_within_the_noise_band_of_the_shipped_table():
    """Sees a shipped table that the shipped code cannot have made.

    On the machine that made the table a rebuilt sample is equal. On another, rounding may move a
    training; the data sheet's band is: the mean error moves by at most 1 point, and no more than
    one cell in four by more than 5 points.
    """
    rows, table = _sample(16), load_table()
    valid, _ = measure(rows, load_digits201("digits"), 0, Recipe())
    shipped = table.quantity("digits-valid/12/x-valid").accuracy[rows]  # (16, seeds, epochs)
    gap = np.abs(valid - shipped[:, 0])
    assert abs((valid - shipped[:, 0])[:, -1].mean()) < 1.0
    assert (gap[:, -1] > 5.0).mean() <= 0.25
    other_seed = np.abs(valid - shipped[:, 1])
    assert gap.mean() < 0.7 * other_seed.mean()  # a table of another seed or recipe would be as far off


def test_shipped_table_is_whole_and_its_classes_share_measurements():
    """Sees a table with holes, with judges that share f's seeds, or with classes mixed up."""
    table = load_table()
    assert table.name == "digits201" and table.is_whole
    assert embedded_path().stat().st_size < 2_000_000
    classes = isomorphism_classes(table.archs)
    for quantity in table.quantities.values():
        assert not np.isnan(quantity.accuracy).any()
        np.testing.assert_array_equal(quantity.accuracy, quantity.accuracy[classes])
    f_seeds = set(table.quantity(table.search_key()).seeds)
    for key in table.targets().values():
        assert not f_seeds & set(table.quantity(key).seeds)


def test_data_sets_are_fixed_and_apart():
    """Sees leaking splits, labels that do not follow their images, or wrong class counts."""
    plain, shifted, rotated = (load_digits201(name) for name in NAMES)
    assert [max(y.max() for _, y in data.values()) for data in (plain, shifted, rotated)] == [9, 9, 39]
    for split, n in (("train", 600), ("valid", 600), ("test", 597)):
        images, labels = plain[split]
        assert images.shape == (n, 4, 4, 4) and images.max() <= 1
        np.testing.assert_array_equal(labels, shifted[split][1])
        np.testing.assert_array_equal(labels, rotated[split][1] // 4)
    pixels = torch.from_numpy(plain["test"][0])
    assert torch.nn.functional.pixel_shuffle(pixels, 2).shape == (597, 1, 8, 8)
