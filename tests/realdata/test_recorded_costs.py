"""NAS-Bench-201's own counts of two real cells: sees a network that is not the benchmark's."""

import bz2
import pickle

import pytest
from conftest import DATA

from flatlib.evaluation.cost import cost
from flatlib.evaluation.layers import Shape
from flatlib.evaluation.plan import Images, network_plan

pytestmark = pytest.mark.realdata
FOLDER = DATA / "nats" / "NATS-tss-v1_0-3ffb9-simple"
SIDES = {"cifar10": 32, "cifar100": 32, "ImageNet16-120": 16}


@pytest.mark.parametrize("index", [0, 11])
def test_parameters_and_multiply_adds_are_the_recorded_ones(index):
    """Sees a residual block, a stem or a head of another size."""
    path = FOLDER / f"{index:06d}.pickle.pbz2"
    if not path.exists():
        pytest.skip(f"no {path}: set FLATLIB_DATA to the folder that holds nats/")
    with bz2.open(path) as file:
        stored = pickle.load(file)["12"]
    seen = 0
    for (dataset, _), trial in stored["all_results"].items():
        if dataset in SIDES:
            images = Images(Shape(3, SIDES[dataset], SIDES[dataset]), trial["arch_config"]["class_num"])
            found = cost(network_plan(stored["arch_str"], images, channels=16, cells=15))
            assert found.params == round(1e6 * trial["params"])
            bias = images.n_classes  # which the benchmark counts, one for each class
            assert found.multi_adds + bias == round(1e6 * trial["flop"])
            seen += 1
    assert seen == 3
