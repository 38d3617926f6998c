"""What DARTS's relatives do differently, as pure functions (Sec. 5.2, Table 6).

PC-DARTS, SNAS, SDARTS-RS and DARTS-ES are written from their papers and what is known of their authors' code;
where a detail is our choice, the function says so. The neighborhood perturbs alpha, before any of this.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from flatlib.spaces import Space


def ramp(ends: tuple[float, float], epoch: int, epochs: int, *, geometric: bool = False) -> float:
    """From the first number in epoch 0 to the last in epoch `epochs - 1`, in equal steps or equal ratios.

    >>> ramp((0.0, 1.0), 2, 5), ramp((1.0, 0.01), 1, 3, geometric=True)
    (0.5, 0.1)
    """
    first, last = ends
    share = epoch / max(epochs - 1, 1)
    return first * (last / first) ** share if geometric else first + (last - first) * share


def normalize_edges(edge_logits: Tensor, space: Space) -> Tensor:  # (T, E) -> (T, E)
    """gamma_ij = exp(b_ij) / sum_i' exp(b_i'j): softmax over a node's edges (PC-DARTS, ICLR 2020, Sec. 3.3)."""
    targets = torch.tensor([target for _, target in space.edges], device=edge_logits.device)
    enters = targets.unique()[:, None] == targets  # (nodes, E)
    of_nodes = torch.where(enters, edge_logits[:, None], -torch.inf)
    return torch.softmax(of_nodes, -1).sum(1)  # each edge enters one node


def gumbel_softmax(
    alphas: Tensor,  # (..., O) probabilities
    gumbel: Tensor,  # (..., O) -log(-log U)
    temperature: float,
) -> Tensor:  # (..., O)
    """SNAS (ICLR 2019), Z_k = softmax((log alpha_k + G_k) / temperature): an entry at 0 stays 0, without gradient.

    The temperature falls geometrically from 1 to 0.03, which is our choice.
    """
    inside = alphas > 0
    logs = torch.where(inside, alphas, 1).log()  # log 0 would make the gradient nan
    return torch.softmax(torch.where(inside, (logs + gumbel) / temperature, -torch.inf), -1)


def smoothed(alphas: Tensor, noise: Tensor) -> Tensor:  # (..., O) probabilities, (..., O) -> (..., O)
    """SDARTS-RS (ICML 2020): alpha + U(-eps, eps), clipped to [0, 1] and renormalized, for the weight step.

    An edge whose entries all clip to 0 keeps its alpha, which is our choice.
    """
    moved = (alphas + noise).clamp(0, 1)
    total = moved.sum(-1, keepdim=True)
    return torch.where(total > 0, moved / torch.where(total > 0, total, 1), alphas)


def stopped_at(eigenvalues: Sequence[float], window: int = 5, tolerance: float = 0.75) -> int | None:
    """DARTS-ES (ICLR 2020): the epoch, 1 for the first, whose logits are kept; None: go on.

    Stops after epoch i, from 2 * window on, where the mean eigenvalue of epochs i-9 ... i-5 is below 0.75 times
    that of epochs i-4 ... i, and goes back to epoch i - 5 (Sec. 4 there: lambda(i - k) / lambda(i) < 0.75, k = 5).

    >>> stopped_at([1.0] * 5 + [2.0] * 5)
    5
    """
    for i in range(2 * window, len(eigenvalues) + 1):
        older, newer = eigenvalues[i - 2 * window : i - window], eigenvalues[i - window : i]
        if sum(older) < tolerance * sum(newer):
            return i - window
    return None


def unrolled_gradient(
    train_loss: Callable[[Tensor, Tensor], Tensor],  # weights (P,), alphas -> one number
    valid_loss: Callable[[Tensor, Tensor], Tensor],
    weights: Tensor,  # (P,)
    alphas: Tensor,
    *,
    learning_rate: float,  # xi
    weight_decay: float = 0.0,
    push: Tensor | float = 0.0,  # momentum times SGD's buffer
    radius: float = 0.01,  # its authors'
) -> tuple[Tensor, Tensor]:  # L_val(w', alpha), its gradient, shaped as alphas
    """d/dalpha L_val(w', alpha) with w' = w - xi (push + dL_train/dw + decay w) (DARTS, Eq. 7 and 8).

    The mixed derivative is a central difference: w +- eps v with v = dL_val/dw', eps = radius / ||v||, over 2 eps.
    On a network with ReLUs it is noisy: 0.01 reaches over kinks, where the gradient jumps.
    """
    w, alpha = (x.detach().requires_grad_() for x in (weights, alphas))
    (slope,) = torch.autograd.grad(train_loss(w, alpha.detach()), w)
    ahead = (w - learning_rate * (push + slope + weight_decay * w)).detach().requires_grad_()
    loss = valid_loss(ahead, alpha)
    direct, v = torch.autograd.grad(loss, (alpha, ahead))
    eps = radius / v.norm().clamp(min=1e-12)
    above, below = (torch.autograd.grad(train_loss(w.detach() + step * v, alpha), alpha)[0] for step in (eps, -eps))
    return loss.detach(), direct - learning_rate * (above - below) / (2 * eps)
