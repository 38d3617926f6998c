"""The two steps of the bilevel search: alpha on validation data, the weights on training data (Eq. 4, 5, Algorithm 1).

DARTS is NA-DARTS with one neighbor, so the methods share this code; what is special to one is in `variants`.
"""

import copy
import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from flatlib.run.checkpoint import RunStoppedError
from flatlib.search import variants
from flatlib.search.config import SearchConfig, recipe
from flatlib.search.curvature import Batch
from flatlib.search.kernels import choose
from flatlib.search.objective import Aggregated, CrossEntropy, aggregated_gradient, degraded_indices, draw_neighbors
from flatlib.search.supernet import Supernet
from flatlib.spaces import SPACES

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "float64": torch.float64}


class Step(NamedTuple):
    """What a step saw, before it moved alpha or the weights. SNAS: at a Gumbel sample; order 2: at w'."""

    loss: float  # nats, f(alpha)
    accuracy: float  # percent, of alpha
    objective: float = math.nan  # of an architecture step: g(f(N(alpha))), nats
    losses: np.ndarray | tuple[float, ...] = (math.nan,)  # (N,) f of each neighbor, alpha's first


class Learner:
    """Weights, logits, their optimizers and random draws. Methods with the same seed start from the same numbers."""

    def __init__(
        self,
        config: SearchConfig,
        *,
        n_classes: int,
        in_channels: int,
        device: str | torch.device = "cpu",
        chunk: int | None = None,  # neighbors at once; None: all
        kernels: str = "auto",  # or plain, triton, compiled: see Supernet
    ) -> None:
        self.config, self.recipe, self.chunk = config, recipe(config), chunk
        self.space, self.device = SPACES[config.space], torch.device(device)
        self.dtype = DTYPES[config.precision]  # of the supernet; what is learned keeps 32 bits or 64
        plan = (config.channels, config.cells, n_classes, in_channels, self.recipe.partial)
        self.net = Supernet(self.space, *plan, kernels=choose(config, self.device, kernels))
        self.weights = self._leaf(self.net.initial_weights(torch.Generator().manual_seed(config.seed)))
        first = np.random.default_rng([config.seed, 0])
        shape = (self.net.cell_types, len(self.space.edges), len(self.space.operations))
        self.arch = {"logits": self._leaf(torch.from_numpy(1e-3 * first.standard_normal(shape)))}
        if self.recipe.partial > 1:
            self.arch["edge_logits"] = self._leaf(torch.from_numpy(1e-3 * first.standard_normal(shape[:2])))
        own = self.recipe
        self.sgd = torch.optim.SGD([self.weights], momentum=own.momentum, weight_decay=own.weight_decay)
        adam: Any = {"lr": own.arch_learning_rate, "betas": own.arch_betas, "weight_decay": own.arch_weight_decay}
        self.adam = torch.optim.Adam(self.arch.values(), **adam)
        self.rng = np.random.default_rng([config.seed, 1])  # neighbors and noise
        self.steps = 0  # weight steps done
        self.begin_epoch(0)
        if self.device.type == "cuda":  # torch itself lets convolutions use tf32
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.precision == "tf32"

    def _leaf(self, values: Tensor) -> Tensor:
        kept = torch.float64 if self.dtype == torch.float64 else torch.float32
        return values.to(self.device, kept).requires_grad_()

    def begin_epoch(self, epoch: int) -> None:
        """Set what follows the epoch, 0 for the first: learning rate, noise, temperature, architecture steps or not."""
        own, epochs = self.recipe, self.config.epochs
        cosine = (1 + math.cos(math.pi * epoch / epochs)) / 2  # CosineAnnealingLR
        self.epoch = epoch
        self.learning_rate = own.learning_rate_end + (own.learning_rate - own.learning_rate_end) * cosine
        self.sgd.param_groups[0]["lr"] = self.learning_rate
        self.searches = epoch >= round(own.warm_up * epochs)  # False while the weights warm up: no architecture steps
        self.noise = variants.ramp(own.noise, epoch, epochs)
        ends = own.temperature
        self.temperature = None if ends is None else variants.ramp(ends, epoch, epochs, geometric=True)

    def arch_step(self, train_batch: Batch, valid_batch: Batch) -> Step:
        """Descend g(f(N(alpha))) on validation data at the current weights (Algorithm 1), or DARTS's unrolled loss."""
        alphas, gamma = torch.softmax(self.arch["logits"], -1), self.gamma()
        neighbors = self._sample(self._neighbors(alphas))
        loss = self._loss(valid_batch, gamma, neighbors=len(neighbors))
        if self.config.order == 2:
            found = self._unrolled(self._loss(train_batch), loss, neighbors)
        else:
            others = () if loss.edge_weights is None else (loss.edge_weights,)
            loss_of, own = partial(loss, self.weights.detach()), self.config
            found = aggregated_gradient(loss_of, neighbors, own.aggregator, own.lam, self.chunk, others)
        outputs = [neighbors] if gamma is None else [neighbors, gamma]
        slopes = torch.autograd.grad(outputs, list(self.arch.values()), [found.gradient, *found.others])
        losses = found.losses.double().cpu().numpy()
        self._check("architecture", losses, slopes)
        for learned, slope in zip(self.arch.values(), slopes, strict=True):
            learned.grad = slope
        self.adam.step()
        return Step(float(losses[0]), loss.accuracy, found.value, losses)

    def weight_step(self, train_batch: Batch) -> Step:
        """Descend the training loss at alpha: at noised alpha with SDARTS-RS, at a Gumbel sample with SNAS."""
        with torch.no_grad():
            alphas, gamma = torch.softmax(self.arch["logits"], -1)[None], self.gamma()
            if self.noise:
                noise = self.rng.uniform(-self.noise, self.noise, alphas.shape)
                alphas = variants.smoothed(alphas, torch.from_numpy(noise).to(alphas))
            alphas = self._sample(alphas)
        loss = self._loss(train_batch, gamma)
        value = loss(self.weights, alphas)
        slopes = torch.autograd.grad(value, self.weights)
        self._check("weights", value.detach().double().cpu().numpy(), slopes)
        (self.weights.grad,) = slopes
        torch.nn.utils.clip_grad_norm_([self.weights], self.recipe.gradient_clip)
        self.sgd.step()
        self.steps += 1
        return Step(value.item(), loss.accuracy)

    def gamma(self) -> Tensor | None:  # (T, E)
        """PC-DARTS's normalized edge weights, differentiable."""
        return variants.normalize_edges(self.arch["edge_logits"], self.space) if "edge_logits" in self.arch else None

    def _neighbors(self, alphas: Tensor) -> Tensor:  # (T, E, O) -> (N, T, E, O)
        own, values = self.config, alphas.detach().double().cpu().numpy()
        degraded = degraded_indices(self.space) if own.multiplicative else ()
        return draw_neighbors(values, own.neighbors, own.d, self.rng, eps=own.eps, degraded=degraded)(alphas)

    def _sample(self, alphas: Tensor) -> Tensor:  # (N, T, E, O); SNAS: a Gumbel sample of each
        if self.temperature is None:
            return alphas
        gumbel = torch.from_numpy(self.rng.gumbel(size=alphas.shape)).to(alphas)
        return variants.gumbel_softmax(alphas, gumbel, self.temperature)

    def _loss(self, batch: Batch, gamma: Tensor | None = None, *, neighbors: int = 1) -> CrossEntropy:
        """f on a batch, edge weights as a leaf; many neighbors share what no alpha reaches, without weight gradient."""
        images, labels = batch[0].to(self.device, self.dtype), batch[1].to(self.device)
        shares = self.net.partial == 1 and neighbors > 1
        shared = self.net.share(self.weights.detach().to(self.dtype), images) if shares else None
        leaf = None if gamma is None else gamma.detach().requires_grad_(gamma.requires_grad)
        return CrossEntropy(self.net, images, labels, leaf, shared)

    def _unrolled(self, train_loss: CrossEntropy, valid_loss: CrossEntropy, alphas: Tensor) -> Aggregated:
        buffer = self.sgd.state[self.weights].get("momentum_buffer", 0.0)  # none before the first weight step
        ahead: Any = {"learning_rate": self.learning_rate, "weight_decay": self.recipe.weight_decay}
        ahead["push"] = self.recipe.momentum * buffer
        value, gradient = variants.unrolled_gradient(train_loss, valid_loss, self.weights, alphas, **ahead)
        return Aggregated(value.item(), value, gradient)

    def _check(self, part: str, losses: np.ndarray, slopes: tuple[Tensor, ...]) -> None:
        """RunStoppedError, one line, for a loss or gradient that is not finite; nothing has moved yet."""
        if not np.isfinite(losses).all() or not all(slope.isfinite().all() for slope in slopes):
            raise RunStoppedError(
                f"step {self.steps + 1}, {part}: a loss or its gradient is not finite; try precision = float32 (now "
                f"{self.config.precision}), a larger batch_size or another seed, and check that all images are finite"
            )

    def alphas(self) -> np.ndarray:  # (T, E, O) float64
        """alpha = softmax(logits), without any noise."""
        return torch.softmax(self.arch["logits"].detach().double(), -1).cpu().numpy()

    def edge_weights(self) -> np.ndarray | None:  # (T, E) float64
        """PC-DARTS's normalized edge weights."""
        gamma = self.gamma()
        return None if gamma is None else gamma.detach().double().cpu().numpy()

    def state(self) -> dict[str, Any]:
        """A copy of all that the next steps depend on; `torch.load(weights_only=True)` reads it."""
        kept: dict[str, Any] = {name: leaf.detach() for name, leaf in self._leaves().items()}
        kept |= {"sgd": self.sgd.state_dict(), "adam": self.adam.state_dict()}
        return copy.deepcopy(kept | {"rng": self.rng.bit_generator.state, "epoch": self.epoch, "steps": self.steps})

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state()` of the same config, to the bit."""
        for name, leaf in self._leaves().items():
            leaf.data.copy_(state[name])
        self.sgd.load_state_dict(copy.deepcopy(state["sgd"]))
        self.adam.load_state_dict(copy.deepcopy(state["adam"]))
        self.rng.bit_generator.state = state["rng"]
        self.steps = state["steps"]
        self.begin_epoch(state["epoch"])

    def _leaves(self) -> dict[str, Tensor]:
        return {"weights": self.weights} | self.arch


LEARNERS: dict[str, type[Learner]] = {}  # method added to RECIPES -> what makes its steps, if not Learner
