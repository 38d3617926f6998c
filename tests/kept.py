"""What a run's checkpoint holds, so that two runs can be compared to the bit."""

from pathlib import Path

import torch

from flatlib.run.checkpoint import load_checkpoint


def kept(folder: Path, identity: dict) -> list[tuple[str, object]]:
    """The checkpoint without its seconds, as text and tensors in order."""
    found = []

    def walk(at: str, value: object) -> None:
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                walk(f"{at}.{key}", value[key])
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                walk(f"{at}[{i}]", item)
        else:
            found.append((at, value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value)))

    state = load_checkpoint(folder / "checkpoint.pt", identity)
    walk("", state | {"seconds": 0, "trace": [line[:-1] for line in state["trace"]]})
    return found
