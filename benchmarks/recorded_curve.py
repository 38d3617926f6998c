"""A NAS-Bench-201 cell beside its recorded curve: python benchmarks/recorded_curve.py CIFAR NATS [cell] [epochs]

CIFAR holds `cifar-10-batches-bin`, NATS is a NATS-tss-...-simple folder. The cell is trained
on CIFAR-10 by the benchmark's own recipe (12 epochs, of which the first ones are run), and its test accuracy after
each epoch stands beside the recorded one. The rate falls once an epoch here, with each step there.
"""

import bz2
import pickle
import sys
from pathlib import Path

import machine
import torch

from flatlib.evaluation.batches import batches_of
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.training import Trainer
from flatlib.run.command_line import Options, read_arguments
from flatlib.run.hardware import keep_freed_memory

PRESET = Path(__file__).parents[1] / "notebooks" / "params" / "04_nas_bench_201.yaml"


def recorded(folder: str, index: int) -> tuple[str, list[tuple[float, float]]]:
    """The cell, and its test and training accuracy (%) after each of 12 epochs on CIFAR-10."""
    with bz2.open(Path(folder) / f"{index:06d}.pickle.pbz2") as file:
        less = pickle.load(file)["12"]
    trial = less["all_results"]["cifar10", 111]
    tested, trained = trial["eval_acc1es"], trial["train_acc1es"]
    return less["arch_str"], [(tested[f"ori-test@{epoch}"], trained[epoch]) for epoch in range(12)]


def main() -> None:
    cifar, nats, index, epochs = [*sys.argv[1:], *("0", "4")[len(sys.argv) - 3 :]]
    cell, curve = recorded(nats, int(index))
    config, _ = read_arguments([str(PRESET), "--cell", cell, "--epochs", "12"], EvaluationConfig, Options)
    keep_freed_memory()
    trainer = Trainer(config, batches_of(config, data_dir=cifar), "cpu")
    print(machine.describe("torch", "numpy"), f"- {torch.get_num_threads()} thread(s); {cell}")
    for epoch in range(int(epochs)):
        while trainer.at < trainer.steps:
            trainer.step()
        trainer.end_epoch()
        line = trainer.done[-1]
        print(
            f"epoch {epoch + 1}: test accuracy {line.test_accuracy:.2f} %, recorded {curve[epoch][0]:.2f} %; "
            f"training {line.train_accuracy:.2f} %, recorded {curve[epoch][1]:.2f} %; {line.seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
