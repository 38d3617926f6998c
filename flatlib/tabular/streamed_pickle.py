"""Pickles read as a stream, safely: numbers, strings and containers only, and little memory.

No code of the file's choosing runs: what it may ask for is on a list, and each name there is a
stand-in of this module. A part that is complete is handed to a callback, which returns what is
worth keeping; what the file has said of it so far is then forgotten.
"""

import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from struct import Struct
from typing import Any, BinaryIO, ClassVar

import numpy as np

from flatlib.tabular.table import TableError

FORGOTTEN = object()  # stands where a file refers back to what was forgotten
_EQUAL_STRINGS = 8  # of equal strings, this many stay known: the writer's own are among the first
_CODES = re.compile(r"[<>=|]?([fiu][1248]|b1)")


class _Dtype:
    """A numpy dtype of plain numbers, by its code."""

    def __init__(self, code: str, *_: object):
        if not isinstance(code, str) or not _CODES.fullmatch(code):
            raise TableError(f"an array type {str(code)[:40]!r}, which no table needs")
        self.dtype = np.dtype(code)

    def set_state(self, state: tuple) -> None:
        """What numpy adds to the code: the byte order is all that matters here."""
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


def _scalar(kind: _Dtype, data: bytes) -> float | int | bool:
    return np.frombuffer(data, kind.dtype, count=1)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise TableError("it encodes text in another way than numpy's numbers do")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Callable] = {
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}
_PLAIN = (  # the opcodes that give plain data; the rest is below, or refused
    "STOP POP POP_MARK DUP FLOAT INT BININT BININT1 LONG BININT2 NONE STRING BINSTRING SHORT_BINSTRING UNICODE "
    "BINUNICODE APPEND GLOBAL DICT EMPTY_DICT APPENDS LIST EMPTY_LIST PUT BINPUT LONG_BINPUT TUPLE EMPTY_TUPLE "
    "BINFLOAT PROTO TUPLE1 TUPLE2 TUPLE3 NEWTRUE NEWFALSE LONG1 LONG4 BINBYTES SHORT_BINBYTES SHORT_BINUNICODE "
    "BINUNICODE8 BINBYTES8 EMPTY_SET ADDITEMS STACK_GLOBAL FRAME"
)
_DOUBLE, _INDEX = Struct(">d").unpack, Struct("<I").unpack


LONGEST = 1 << 20  # bytes that one piece of a file may ask for; the benchmark's stay far below


class _Bounded:
    """A file that refuses to give one huge piece: a small compressed file can unpack to any size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if size > LONGEST:
            raise TableError(f"it asks for {size} bytes at once; no table needs them")
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline(LONGEST + 1)
        if len(line) > LONGEST:
            raise TableError("it holds an endless line; no table needs it")
        return line


class StreamedUnpickler(pickle._Unpickler):
    """The pure Python unpickler, kept to plain data.

    `complete(part)` is called on each dict that has just been filled; where it returns something,
    that takes the dict's place and all that was memoized since the last such part is forgotten.
    """

    stack: list[Any]
    append: Callable[[object], None]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in _PLAIN.split()
    }

    def __init__(self, file: BinaryIO, complete: Callable[[dict], object | None] = lambda part: None):
        super().__init__(_Bounded(file), encoding="latin1")
        self.complete = complete
        self.memo: dict[int, Any] = {}
        self.kept: dict[int, Any] = {}
        self.n_forgotten = 0
        self.seen: Counter[str] = Counter()

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
                at = _INDEX(read(4))[0]
                append(memo[at] if at in memo else self.kept.get(at, FORGOTTEN))
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

    def _flat_tuple(self, items: list[Any]) -> None:
        """Tuples of tuples are refused: hashed as a key they can crash or hang the process."""
        if any(type(item) is tuple for item in items):
            raise TableError("it nests tuples; no table needs it")
        self.append(tuple(items))

    def load_tuple(self) -> None:
        self._flat_tuple(self.pop_mark())

    def _last(self, count: int) -> None:
        items = self.stack[-count:]
        del self.stack[-count:]
        self._flat_tuple(items)

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        if self.stack[-1] not in ALLOWED.values():
            raise TableError("it calls what is no allowed function")
        self.stack[-1] = self.stack[-1](*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        if type(self.stack[-1]) is not _Dtype:
            raise TableError(f"it changes the inside of a {type(self.stack[-1]).__name__}; no table needs it")
        self.stack[-1].set_state(state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][key] = value
        self._complete()

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))
        self._complete()

    def _complete(self) -> None:
        whole = self.complete(self.stack[-1]) if isinstance(self.stack[-1], dict) else None
        if whole is not None:
            self.stack[-1] = whole
            self._forget()

    def _forget(self) -> None:
        """Keep the first strings of each text, types and functions: later parts refer to no other thing."""
        for at, thing in self.memo.items():
            if type(thing) is str:
                self.seen[thing] += 1
                keep = self.seen[thing] <= _EQUAL_STRINGS
            else:
                keep = callable(thing) or type(thing) is _Dtype
            if keep:
                self.kept[at] = thing
            else:
                self.n_forgotten += 1
        self.memo.clear()

    def load_memoize(self) -> None:
        self.memo[len(self.memo) + len(self.kept) + self.n_forgotten] = self.stack[-1]

    def _recall(self, at: int) -> None:
        self.append(self.memo[at] if at in self.memo else self.kept.get(at, FORGOTTEN))

    def load_get(self) -> None:
        self._recall(int(self.readline()[:-1]))

    def load_binget(self) -> None:
        self._recall(self.read(1)[0])

    def load_long_binget(self) -> None:
        self._recall(_INDEX(self.read(4))[0])

    dispatch |= {
        pickle.MARK[0]: load_mark,
        pickle.TUPLE[0]: load_tuple,
        pickle.TUPLE1[0]: lambda self: self._last(1),
        pickle.TUPLE2[0]: lambda self: self._last(2),
        pickle.TUPLE3[0]: lambda self: self._last(3),
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.MEMOIZE[0]: load_memoize,
        pickle.GET[0]: load_get,
        pickle.BINGET[0]: load_binget,
        pickle.LONG_BINGET[0]: load_long_binget,
    }
