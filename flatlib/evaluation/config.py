"""What a training of the evaluation phase is: its parameters and their limits (Sec. D.1). Needs no torch."""

from dataclasses import dataclass

from flatlib.evaluation.catalogue import cell_key, find_cell, name_of
from flatlib.evaluation.cost import cost, solve_channels
from flatlib.evaluation.plan import IMAGES, Images, NetworkPlan, network_plan
from flatlib.run.config import Parameters, parameter
from flatlib.spaces import Genotype


@dataclass(frozen=True)
class EvaluationConfig(Parameters):
    """One cell trained from new weights, from one seed. The defaults are small; the paper's are in params/."""

    cell: str = parameter(
        "DARTS_V2", "a published cell's name, a JSON file, a search's run folder, or a pasted Genotype(...)"
    )
    dataset: str = parameter("digits", "images trained on", choices=tuple(IMAGES))
    n_train: int = parameter(0, "training images used; 0: all", ge=0)
    n_classes: int = parameter(0, "classes; 0: the data set's own, 1,000 for imagenet", ge=0)
    channels: int = parameter(8, "C of the first cells; 0: about 3 M parameters, imagenet: < 600 M multiply-adds", ge=0)
    cells: int = parameter(4, "cells of the network; 20 in the paper, 14 on imagenet", ge=3, le=1000)
    epochs: int = parameter(4, "epochs; 600 in the paper, 250 on imagenet", ge=1)
    batch_size: int = parameter(64, "images a step, all processes together; 96 in the paper, 128 on imagenet", ge=2)
    optimizer: str = parameter("sgd", "with momentum 0.9", choices=("sgd", "nesterov"))
    learning_rate: float = parameter(0.05, "at the beginning; 0.025 in the paper, 0.1 on imagenet", gt=0)
    schedule: str = parameter("cosine", "to 0, or times 0.97 an epoch", choices=("cosine", "exponential"))
    weight_decay: float = parameter(3e-4, "of all weights; 3e-5 on imagenet", ge=0)
    gradient_clip: float = parameter(5.0, "norm of the gradient; 0: not clipped", ge=0)
    label_smoothing: float = parameter(0.0, "0.1 on imagenet", ge=0, lt=1)
    cutout: int = parameter(0, "side of the square cut out, pixels; 16 in the paper", ge=0, multiple_of=2)
    drop_path: float = parameter(0.0, "p (e - 1) / E in epoch e of E; 0.2 in the paper", ge=0, lt=1)
    auxiliary: float = parameter(0.0, "weight of the auxiliary classifier's loss; 0.4 in the paper", ge=0)
    precision: str = parameter("float32", "of the network", choices=("float32", "tf32", "bf16", "float64"))
    device: str = parameter("auto", "'auto': a GPU if there is one", choices=("auto", "cpu", "cuda"))
    seed: int = parameter(0, "seed of every random draw", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "cell", cell_key(find_cell(self.cell)))
        if self.dataset != "imagenet" and self.n_classes not in (0, IMAGES[self.dataset].n_classes):
            raise ValueError(f"n_classes = {self.n_classes}: {self.dataset} has {IMAGES[self.dataset].n_classes}")
        if not self.channels:
            object.__setattr__(self, "channels", solve_channels(self.genotype, self.dataset, self.cells))
        cost(self.plan())  # ValueError where a layer does not fit the images
        bench, small = isinstance(self.genotype, str), self.images.shape.height < 32
        for name, refused, why in (
            ("auxiliary", bench, "a NAS-Bench-201 network has no auxiliary classifier"),
            ("auxiliary", small, f"{self.dataset}, whose images are too small for it, has no auxiliary classifier"),
            ("drop_path", bench, "a NAS-Bench-201 network has none"),
            ("cutout", self.dataset == "imagenet", "imagenet is trained without"),
        ):
            if refused and getattr(self, name):
                raise ValueError(f"{name} = {getattr(self, name)}: {why}; allowed: 0")

    @property
    def genotype(self) -> Genotype | str:
        """The cell; NAS-Bench-201's as its string."""
        return find_cell(self.cell)

    @property
    def name(self) -> str:
        """The published cell's name, or 'cell-' and digits that are this cell's alone."""
        return name_of(self.genotype)

    @property
    def images(self) -> Images:
        own = IMAGES[self.dataset]
        return own._replace(n_classes=self.n_classes or own.n_classes)

    def plan(self) -> NetworkPlan:
        sizes = {"channels": self.channels, "cells": self.cells}
        return network_plan(self.genotype, self.images, **sizes, auxiliary=self.auxiliary > 0)
