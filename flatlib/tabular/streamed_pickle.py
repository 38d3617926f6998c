"""Pickles read as a stream, safely: numbers, strings and containers only, and little memory.

No code of the file's choosing runs: all that it may call is on a list, and each name there is a
stand-in of this module. A part that is complete is handed to a callback, which returns what is
worth keeping; what the file has said of it so far is then forgotten.
"""

import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from struct import Struct
from typing import Any, BinaryIO, ClassVar

import numpy as np

from flatlib.tabular.table import TableError

_DOUBLE, _INDEX = Struct(">d").unpack, Struct("<I").unpack


def _dtype(code: str, *_: object) -> np.dtype:
    if not isinstance(code, str) or not re.fullmatch("[fiu][1248]|b1", code):
        raise TableError(f"an array type {str(code)[:40]!r}, which no table needs")
    return np.dtype(code)


def _scalar(kind: np.dtype, data: bytes) -> float | int | bool:
    return np.frombuffer(data, kind, count=1)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise TableError("it encodes text in another way than numpy's numbers do")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Callable] = {
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}


class _Memo(list[Any]):
    """What a file may refer back to, by number; of equal strings there is one object."""

    n_kept = 0

    def __setitem__(self, at: Any, thing: Any) -> None:
        if at != len(self):
            raise TableError("its memo is not in order")  # as every pickler numbers it
        self.append(sys.intern(thing) if type(thing) is str else thing)

    def forget(self) -> None:
        """Keep strings, types and functions: later parts refer to no other thing."""
        for at in range(self.n_kept, len(self)):
            if not (isinstance(self[at], str | np.dtype) or callable(self[at])):
                super().__setitem__(at, None)
        self.n_kept = len(self)


class StreamedUnpickler(pickle._Unpickler):
    """The pure Python unpickler, kept to plain data.

    `complete(part)` is called on each dict of several items that has just been filled; where it returns something,
    that takes the dict's place and all that was memoized since the last such part is forgotten.
    """

    stack: list[Any]
    append: Callable[[object], None]
    read: Callable[[int], bytes]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: BinaryIO, complete: Callable[[dict], object | None] = lambda part: None):
        super().__init__(file, encoding="latin1")
        self.complete = complete
        self.memo = _Memo()

    def find_class(self, module: str, name: str) -> Callable:
        """The stand-in of an allowed name; TableError for any other."""
        if (module, name) not in ALLOWED:
            raise TableError(f"it asks for {f'{module}.{name}'[:80]!r}, which could run code; no table needs it")
        return ALLOWED[module, name]

    def load_mark(self) -> None:
        """After a mark, the opcodes that fill the benchmark's dicts, in one loop: it halves the time."""
        super().load_mark()  # type: ignore[misc]
        read = self.read if self._unframer.current_frame else self._file_read  # type: ignore[attr-defined]
        append, stack, memo = self.append, self.stack, self.memo
        while True:
            code = read(1)
            if code == b"G":
                append(_DOUBLE(read(8))[0])
            elif code == b"j":
                append(memo[_INDEX(read(4))[0]])
            elif code == b"K":
                append(read(1)[0])
            elif code == b"r":
                memo[_INDEX(read(4))[0]] = stack[-1]
            elif code == b"X":
                append(str(read(_INDEX(read(4))[0]), "utf-8"))
            elif code:
                return self.dispatch[code[0]](self)
            else:
                raise EOFError("it ends early")

    def load_build(self) -> None:
        """Python's own could change a class or a function; here nothing changes. Of a dtype it says the byte order."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], np.dtype) or state[1] == ">":
            raise TableError(f"it changes the inside of a {type(self.stack[-1]).__name__}; no table needs it")

    def load_setitems(self) -> None:
        super().load_setitems()  # type: ignore[misc]
        whole = self.complete(self.stack[-1]) if isinstance(self.stack[-1], dict) else None
        if whole is not None:
            self.stack[-1] = whole
            self.memo.forget()

    dispatch |= {
        pickle.MARK[0]: load_mark,
        pickle.BUILD[0]: load_build,
        pickle.SETITEMS[0]: load_setitems,
    }
