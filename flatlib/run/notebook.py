"""A notebook run by papermill, in a kernel that talks to nobody else and ends when this process does."""

from pathlib import Path
from typing import Any


def execute_notebook(
    source: Path, output: Path, parameters: dict[str, Any] | None = None, *, progress: bool = False
) -> Any:  # the notebook with its outputs
    """Run in the notebook's own folder. PapermillExecutionError where a cell fails, which `output` then shows."""
    import papermill
    from traitlets.config import Config

    how: Any = {"kernel_name": "python3", "language": "python", "cwd": source.absolute().parent}
    how["progress_bar"] = {"desc": source.stem} if progress else False
    how["config"] = Config({"KernelManager": {"transport_encryption": "auto"}})
    return papermill.execute_notebook(source.absolute(), output, parameters, **how)
