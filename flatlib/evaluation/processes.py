"""Several processes that train one network together, so that what they see and compute is what one would."""

import atexit
import os
import sys
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel


class Share(NamedTuple):
    """One of several processes."""

    rank: int = 0
    world: int = 1

    def part(self, n: int) -> slice:
        """Its part of n images, of which each has as many; ValueError, one line, where that cannot be."""
        if n % self.world:
            raise ValueError(f"batch_size = {n} with {self.world} processes: allowed: multiples of {self.world}")
        return slice(self.rank * n // self.world, (self.rank + 1) * n // self.world)


def own_share() -> Share:
    """This process's part of each batch."""
    return Share(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Share()


def join() -> None:
    """Make this process one of those that torchrun started, if it did, one GPU each; only the first speaks."""
    if "WORLD_SIZE" not in os.environ:
        return
    if on_gpus := torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
    atexit.register(dist.destroy_process_group)
    if dist.get_rank():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # open as long as the process is
        sys.excepthook = lambda *_: None  # the first process has said why it stopped; this one lost its company


def joined(network: nn.Module) -> nn.Module:
    """The network as these processes train it: gradients averaged, norms over the whole batch."""
    if not dist.is_initialized():
        return network
    if next(network.parameters()).is_cuda:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for child in network.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = SharedNorm
    return DistributedDataParallel(network, static_graph=True)  # where `none` cuts weights off, it is always these


class SharedNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes, of equal size; torch's SyncBatchNorm has no CPU form."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        wide = x.to(self.weight.dtype)  # statistics never in bf16
        mean = averaged(wide.mean((0, 2, 3)))
        centered = wide - mean[:, None, None]
        variance = averaged(centered.square().mean((0, 2, 3)))
        with torch.no_grad():
            n = x.numel() // x.shape[1] * dist.get_world_size()
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centered * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def averaged(x: Tensor) -> Tensor:
    """The mean over all processes; so is the gradient's, since each one's loss has all inputs."""
    return all_reduce(x) / dist.get_world_size()


def summed(x: Tensor) -> Tensor:
    """The sum over all processes, which may be one; in place."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x
