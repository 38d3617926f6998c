"""Speed of the tabular experiments: python benchmarks/tabular.py [TABLE.npz]

The goals: load under 1 s and 300 MB, all neighbor indices under 50 ms, all tables of notebooks 01
and 02 under 10 s, NA-RS 100 times faster than a plain Python loop, `import flatlib` under 0.5 s.
"""

import random
import sys

import machine
import numpy as np

from flatlib.aggregators import mean
from flatlib.spaces import NAS_BENCH_201, arch_to_string
from flatlib.tabular import analysis
from flatlib.tabular.experiment import Experiment, open_experiment
from flatlib.tabular.samplers import SearchTrace, incumbents, na_random_search

STEPS, N_NBR, RUNS = 100, 10, 500


def plain_na_rs(lookup: dict[str, float], rng: random.Random) -> list[str]:
    """Algorithm 2 as one would write it: strings, a dictionary, a loop over steps."""
    operations, found = NAS_BENCH_201.operations, []
    for _ in range(RUNS):
        best, best_score = "", float("inf")
        for _ in range(STEPS):
            cell = [rng.choice(operations) for _ in range(6)]
            others = [
                [*cell[:edge], op, *cell[edge + 1 :]] for edge in range(6) for op in operations if op != cell[edge]
            ]
            sample = [cell, *rng.sample(others, N_NBR - 1)]
            score = sum(lookup["|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops)] for ops in sample) / N_NBR
            if score < best_score:
                best, best_score = str(cell), score
        found.append(best)
    return found


def picks_of_a_loop(errors: list[float], draws: np.ndarray) -> list[int]:  # draws (R, T, n_nbr)
    """What a plain loop picks from given draws."""
    found = []
    for run in draws.tolist():
        scores = [sum(errors[cell] for cell in cells) / N_NBR for cells in run]
        found.append(run[scores.index(min(scores))][0])
    return found


def all_tables(experiment: Experiment) -> None:
    """Tables 1a, 1b, 2, A, B, C, D and E at the paper's sizes, 500 runs a row."""
    budget = analysis.Budget(STEPS, N_NBR, RUNS)
    analysis.table_1a(experiment)
    analysis.table_a(experiment)
    analysis.table_1b(analysis.table_b(experiment))
    analysis.table_c(experiment)
    for table_id in ("2", "D", "E"):
        analysis.found_errors(experiment, analysis.searches(experiment, budget, table_id))


def na_rs_times(experiment: Experiment) -> tuple[float, float, float, float]:
    """Seconds of plain loop and vectorized search: with their own draws, and on the same draws."""
    lookup = {arch_to_string(arch): error for arch, error in zip(experiment.table.archs, experiment.f, strict=True)}
    errors = experiment.f.tolist()

    def search() -> SearchTrace:
        rng = np.random.default_rng(0)
        return na_random_search(experiment.f, experiment.neighbors, steps=STEPS, n_nbr=N_NBR, runs=RUNS, rng=rng)

    draws = search().evaluated

    def fast_on_draws() -> np.ndarray:
        return incumbents(draws[:, :, 0], mean(experiment.f[draws]))[:, -1]

    assert picks_of_a_loop(errors, draws) == search().found.tolist() == fast_on_draws().tolist(), (
        "same draws, same picks"
    )
    return (
        machine.seconds(lambda: plain_na_rs(lookup, random.Random(0)), 3),
        machine.seconds(search, 9),
        machine.seconds(lambda: picks_of_a_loop(errors, draws), 3),
        machine.seconds(fast_on_draws, 9),
    )


def main() -> None:
    source = sys.argv[1] if len(sys.argv) > 1 else "digits201"
    print(machine.describe("numpy", "scipy"))
    load = (
        "import time, resource; from flatlib.tabular.table_file import load_table; t = time.perf_counter(); "
        f"load_table({source!r}); print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    took, kib = map(float, machine.in_new_process(load).split())
    print(f"load {source}: {took:.2f} s, {kib / 1024:.0f} MB resident in the whole process")
    for package in ("flatlib", "flatlib.tabular", "flatlib.tabular.analysis"):
        code = (
            f"import sys, time; t = time.perf_counter(); import {package}; "
            "print(f'{time.perf_counter() - t:.3f} s, loads torch:', 'torch' in sys.modules)"
        )
        print(f"import {package}: {machine.in_new_process(code)}")
    experiment = open_experiment(source)
    print(f"all 15,625 x 25 neighbor indices: {machine.seconds(lambda: experiment.table.neighbors(1)) * 1e3:.1f} ms")
    print(f"all tables of 01 and 02, {RUNS} runs a row: {machine.seconds(lambda: all_tables(experiment), 3):.2f} s")
    slow, fast, slow_picks, fast_picks = na_rs_times(experiment)
    print(f"NA-RS, {RUNS} runs: plain loop {slow:.2f} s, vectorized {fast:.4f} s, ratio {slow / fast:.0f}")
    ratio = slow_picks / fast_picks
    print(f"the same draws given: loop {slow_picks:.3f} s, vectorized {fast_picks:.4f} s, ratio {ratio:.0f}")


if __name__ == "__main__":
    main()
