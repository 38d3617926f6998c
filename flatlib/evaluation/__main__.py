"""The command `python -m flatlib.evaluation`: needs torch and numpy only; several processes by torchrun."""

import sys
from dataclasses import dataclass

from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.processes import join
from flatlib.evaluation.runs import EvaluationRun
from flatlib.evaluation.training import estimate, evaluate
from flatlib.run import command_line
from flatlib.run.config import parameter


@dataclass(frozen=True)
class Options(command_line.Options):
    """How trainings are run."""

    workers: int = parameter(2, "processes that decode ImageNet's images; 0: none beside this one", ge=0)


def main(argv: list[str]) -> int:
    join()
    return command_line.main(argv, "flatlib.evaluation", (EvaluationConfig, Options), EvaluationRun, estimate, evaluate)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
