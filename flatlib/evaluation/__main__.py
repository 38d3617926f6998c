"""The command `python -m flatlib.evaluation`: needs torch and numpy only; several processes by torchrun."""

import sys
from dataclasses import dataclass
from typing import Any

from flatlib.evaluation.config import EvaluationConfig
from flatlib.run import command_line
from flatlib.run.config import parameter


@dataclass(frozen=True)
class Options(command_line.Options):
    """How trainings are run."""

    workers: int = parameter(2, "processes that decode ImageNet's images; 0: none beside this one", ge=0)


def tools() -> tuple[Any, ...]:
    from flatlib.evaluation.evaluate import estimate, evaluate
    from flatlib.evaluation.processes import join
    from flatlib.evaluation.runs import EvaluationRun

    join()
    return EvaluationRun, estimate, evaluate


def main(argv: list[str]) -> int:
    return command_line.main(argv, "flatlib.evaluation", (EvaluationConfig, Options), tools)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
