"""The command `python -m flatlib.search`: needs torch and numpy only, so that it runs on a bare GPU machine."""

import sys
from dataclasses import dataclass

from flatlib.run import command_line
from flatlib.run.config import parameter
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.search.search import estimate, search


@dataclass(frozen=True)
class Options(command_line.Options):
    """How searches are run."""

    chunk: int = parameter(0, "neighbors at once; 0: chosen from the sizes", ge=0)
    kernels: str = parameter(
        "auto", "what computes; 'auto': compiled, where they can be", choices=("auto", "plain", "compiled", "triton")
    )


def main(argv: list[str]) -> int:
    return command_line.main(argv, "flatlib.search", (SearchConfig, Options), Run, estimate, search)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
