"""Speed of the rival samplers: python benchmarks/rivals.py [TABLE.npz]

The goal: 500 runs of each at 1,000 evaluations in under 60 s altogether (Bayesian optimization, which
is not vectorized: fewer runs), on f and on the neighborhood. The plain loops search the same way, and
for one run and the same random numbers request the same cells.
"""

import sys
import time
from collections import deque
from dataclasses import replace

import machine
import numpy as np

from flatlib.tabular import rivals
from flatlib.tabular.analysis import Budget
from flatlib.tabular.experiment import open_experiment
from flatlib.tabular.rivals import evolution, local_search, search

EVALUATIONS, RUNS, LOOP_RUNS, BO_RUNS = 1000, 500, 25, 5


def loop_local_search(errors: list[float], moves: list[list[int]], rng: np.random.Generator) -> list[int]:
    """One run of local search as one would write it; the requested cells."""
    requested: list[int] = []
    while len(requested) < EVALUATIONS:
        center = int(rng.integers(0, len(moves), 1)[0])
        requested.append(center)
        while len(requested) < EVALUATIONS:
            ordered = [moves[center][i] for i in rng.random((1, 24)).argsort(1)[0]]
            requested += ordered
            best = min(ordered, key=errors.__getitem__)
            if errors[best] >= errors[center]:
                break
            center = best
    return requested[:EVALUATIONS]


def loop_evolution(errors: list[float], moves: list[list[int]], rng: np.random.Generator) -> list[int]:
    """One run of regularized evolution as one would write it; the requested cells."""
    requested = [int(rng.integers(0, len(moves), 1)[0]) for _ in range(10)]
    alive = deque(enumerate(requested), maxlen=10)
    while len(requested) < EVALUATIONS:
        slots = {age % 10: cell for age, cell in alive}
        drawn = [slots[slot] for slot in rng.integers(0, 10, (10, 1))[:, 0].tolist()]
        parent = min(drawn, key=errors.__getitem__)
        child = moves[parent][int(rng.integers(0, 24, 1)[0])]
        alive.append((len(requested), child))
        requested.append(child)
    return requested


def compare(name: str, fast, slow, errors: np.ndarray, moves: np.ndarray) -> None:
    """Equal requests for equal random numbers, then the time of RUNS runs, the loop's from LOOP_RUNS."""
    plain = errors.tolist(), moves.tolist()

    def vectorized(runs: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return search(fast(moves, runs, rng), errors, evaluations=EVALUATIONS, rng=rng).evaluated

    for seed in range(LOOP_RUNS):
        assert vectorized(1, seed)[0, :, 0].tolist() == slow(*plain, np.random.default_rng(seed)), "same draws"
    rng = np.random.default_rng(0)
    loop = machine.seconds(lambda: [slow(*plain, rng) for _ in range(LOOP_RUNS)], 3) * RUNS / LOOP_RUNS
    took = machine.seconds(lambda: vectorized(RUNS, 0))
    print(f"{name}, {RUNS} runs: plain loop {loop:.2f} s, vectorized {took:.3f} s, ratio {loop / took:.0f}")


def main() -> None:
    print(machine.describe("numpy", "optuna"))
    experiment = open_experiment(sys.argv[1] if len(sys.argv) > 1 else "digits201")
    moves = experiment.neighbors[:, 1:]
    compare("local search", local_search, loop_local_search, experiment.f, moves)
    compare("evolution", evolution, loop_evolution, experiment.f, moves)
    budget, total = Budget(EVALUATIONS // 10, 10, RUNS), 0.0
    for name in rivals.NAMES:
        for chosen in (None, "mean"):
            runs = BO_RUNS if name == rivals.BO else RUNS
            start = time.perf_counter()
            row, trace = rivals.run_rival(name, experiment, replace(budget, runs=runs), chosen)
            took = time.perf_counter() - start
            total += took
            print(f"{row}: {runs} runs of {trace.evaluations[-1]} evaluations in {took:.2f} s")
    print(f"altogether: {total:.1f} s")


if __name__ == "__main__":
    main()
