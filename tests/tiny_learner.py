"""A learner of the smallest network of its method, in float64, and batches for it."""

import numpy as np
import torch

from flatlib.search.bilevel import Learner
from flatlib.search.config import SearchConfig


def tiny(method="na-darts", **values):
    """A config of the smallest network of its method, in float64."""
    channels = 8 if method.endswith("pc-darts") else 2
    defaults = {"space": "nas-bench-201", "channels": channels, "cells": 3, "epochs": 4, "n_nbr": 3, "d": 2}
    own = {"precision": "float64", "method": method, "arch_learning_rate": 0.0}
    return SearchConfig(**(own | defaults | values))


def learner(config, **options):
    return Learner(config, n_classes=3, in_channels=1, **({"kernels": "plain"} | options))


def batches(n=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 4, 1, 8, 8, generator=generator, dtype=torch.float64)
    return list(zip(images, torch.randint(3, (n, 4), generator=generator), strict=True))


def leaves(own):
    return {name: leaf.detach().clone() for name, leaf in {"weights": own.weights, **own.arch}.items()}


def adam_by_hand(p, slope, m, v, t, rate, decay=1e-3, betas=(0.5, 0.999)):
    """One Adam step, weight decay added to the gradient: Kingma and Ba, Algorithm 1."""
    g = slope + decay * p
    m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
    return p - rate * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + 1e-8), m, v
