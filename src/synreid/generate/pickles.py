"""Reads the official programs' pickles without executing anything in them: tensors and plain containers, nothing else.

A pickle is a program for a small stack machine, and what it can do lies in the names that it looks up. Here a name is
looked up in one table of our own functions, which return records that no further instruction can change; what is not in
the table is refused by its name. The instructions themselves are read beforehand: those that no such file needs are
refused, and so are the ways to exhaust memory or the interpreter's stack.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from synreid.stage.errors import UserError

WANTED = "a network-snapshot-*.pkl of StyleGAN2-ADA (PyTorch) or StyleGAN3"
_INSTRUCTIONS = """PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE
SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_SET ADDITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET
GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD"""
INSTRUCTIONS = frozenset(_INSTRUCTIONS.split())  # what protocols 3 to 5 write for containers, numbers, texts, records
TUPLES = 30_000  # official files have about 2,000; hashing 1,000,000 nested ones overflows the interpreter's stack
STORAGE_PICKLES = 5  # torch writes a mark, a version, the machine, the storage and its number, then the raw numbers
NUMERIC = re.compile(r"b1|[iuf][1248]")  # numpy's names of booleans, integers and floats


class Refused(Exception):  # noqa: N818  (it is caught here, and told as a UserError)
    """Something in a pickle that is not read; the text names it."""


class Sealed:
    """What may stand on the stack beside containers, numbers and texts; BUILD, which sets a state, is refused."""

    def __setstate__(self, state: object) -> None:
        raise Refused(f"a state for {type(self).__name__}")


@dataclass(frozen=True, eq=False)
class PickledModule(Sealed):
    """A network as the official programs store it: its class's name and its attributes. Its source code is left."""

    class_name: str
    state: dict[str, Any]


@dataclass(frozen=True, eq=False)
class PickledTensor(Sealed):
    """A parameter or buffer, on the CPU."""

    value: torch.Tensor


@dataclass(frozen=True, eq=False)
class _Storage(Sealed):
    value: torch.UntypedStorage
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class _Allowed(Sealed):
    """A name that may be looked up, and our function that is called for it."""

    name: str
    function: Callable[..., object]

    def __call__(self, *values: object, **named: object) -> object:
        try:
            return self.function(*values, **named)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise Refused(f"{self.name} with arguments that no official file has") from error


class PickledArray(Sealed):
    """A numeric numpy array: numpy pickles an empty one and then sets its state, which is done once."""

    def __init__(self, value: np.ndarray | None = None) -> None:
        self.value = value

    def __setstate__(self, state: object) -> None:
        match state:
            case (int(), tuple(shape), _Dtype() as dtype, bool(fortran), bytes(data)) if self.value is None:
                self.value = np.frombuffer(data, dtype.code).reshape(shape, order="F" if fortran else "C")
            case _:
                raise Refused("a numpy array with a state that no official file has")


class _Dtype(Sealed):
    """The type of a numeric numpy array; numpy sets its byte order as a state."""

    __match_args__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
                self.code = order + self.code.lstrip("<>|=")
            case _:
                raise Refused("a numpy.dtype that is not a plain number")


def read_pickle(path: Path) -> Any:
    """Return what the pickle holds: dicts, lists, tuples, sets, numbers, texts, and the records of this module.

    Sources: pickle's documentation, "Restricting Globals"; the instruction set in `pickletools`. Raises UserError for a
    file that is missing, cut short, no pickle, or that holds anything else, named.
    """
    try:
        with open(path, "rb") as file:
            _check_beginning(path, file.read(4))
            file.seek(0)
            _check_instructions(file)
            file.seek(0)
            return _Unpickler(file).load()
    except Refused as error:
        raise UserError(
            f"{path} holds {error}; nothing in the file was executed, and only {WANTED} can be read."
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name {WANTED}.") from error
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything, as its documentation says
        raise UserError(f"{path} is cut short or damaged ({type(error).__name__}); copy it again.") from error


def _check_beginning(path: Path, start: bytes) -> None:
    if not start:
        raise UserError(f"{path} is empty; copy it again.")
    if start.startswith(b"PK"):
        raise UserError(f"{path} is a zip file, such as torch.save writes, and not a pickle; name {WANTED}.")
    if start[0] != pickle.PROTO[0] or (len(start) > 1 and not 3 <= start[1] <= 5):
        raise UserError(f"{path} is not a pickle of protocol 3 to 5; name {WANTED}.")


def _check_instructions(file: BinaryIO, allowed: frozenset[str] = INSTRUCTIONS) -> None:
    """Read the program without running it; raises Refused for an instruction that no official file needs."""
    tuples = stored = 0
    for instruction, value, _ in pickletools.genops(file):
        name = instruction.name
        if name not in allowed:
            raise Refused(f"the pickle instruction {name}")
        stored += name in ("BINPUT", "LONG_BINPUT", "MEMOIZE")
        if name in ("BINPUT", "LONG_BINPUT") and not (isinstance(value, int) and value < stored):
            raise Refused(f"the pickle instruction {name} {value}, which asks for memory for nothing,")
        tuples += name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
        if tuples > TUPLES:
            raise Refused(f"more than {TUPLES:,} tuples")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("dnnlib.tflib"):
            raise Refused(
                f"{module}.{name}, a network of the older TensorFlow program (convert it with the official program's "
                "legacy.py first)"
            )
        found = _TABLE.get(f"{module}.{name}")
        if found is None:
            raise _stranger(f"{module}.{name}")
        return found


def _stranger(name: str) -> Refused:
    return Refused(f"{name}, which is neither a tensor nor a plain container")


def _tensor(storage: object, offset: object, size: object, stride: object, *_: object) -> PickledTensor:
    """Rebuild a tensor; the rest, whether it learns and what hangs on its gradient, is of no use here."""
    match storage, offset, size, stride:
        case (_Storage(value, dtype), int(first), tuple(sizes), tuple(strides)) if len(sizes) == len(strides):
            numbers = (first, *sizes, *strides)
        case _:
            raise Refused("a tensor of unknown make")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise Refused("a tensor whose sizes are not whole numbers")
    have, count = value.nbytes() // dtype.itemsize, math.prod(sizes)
    last = first + sum((a - 1) * b for a, b in zip(sizes, strides, strict=True))
    if count > have or (count and last >= have):  # a stride of 0 would make a huge tensor of one number
        raise Refused(f"a tensor of shape {list(sizes)} over {have} numbers")
    return PickledTensor(torch.empty(0, dtype=dtype).set_(value, first, sizes, strides))


def _parameter(data: object, *_: object) -> PickledTensor:
    if not isinstance(data, PickledTensor):
        raise Refused("a parameter that is not a tensor")
    return data


def _storage(data: object) -> _Storage:
    """Read a tensor's numbers, which are a file of `torch.save` in the file; torch's own function would run it."""
    if not isinstance(data, bytes):
        raise Refused("a storage that is not bytes")
    file = io.BytesIO(data)
    for _ in range(STORAGE_PICKLES):
        _check_instructions(file, INSTRUCTIONS | {"BINPERSID"})
    file.seek(0)
    try:
        storage = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # as for `read_pickle`
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named:  # torch writes a built-in function without its module
            raise _stranger(named[1] if "." in named[1] else f"builtins.{named[1]}") from error
        raise Refused(f"a storage that torch.load refuses ({type(error).__name__})") from error
    if not isinstance(storage, torch.TypedStorage):
        raise Refused(f"a {type(storage).__name__} in place of a storage")
    return _Storage(storage._untyped_storage, storage.dtype)  # its public name warns of what replaces it


def _module(meta: object) -> PickledModule:
    match meta:
        case {"type": "class", "class_name": str(name), "state": dict(state)} if all(isinstance(k, str) for k in state):
            return PickledModule(name, state)
    raise Refused("a persistent object without a class's name and a state")


def _dtype(code: object, *_: object) -> _Dtype:
    if not isinstance(code, str) or not NUMERIC.fullmatch(code):
        raise Refused(f"numpy.dtype {code if isinstance(code, str) else type(code).__name__}, which is not numeric,")
    return _Dtype(code)


def _scalar(dtype: object, data: object) -> int | float | bool:
    match dtype, data:
        case (_Dtype(), bytes()):
            (value,) = np.frombuffer(data, dtype.code)
            return value.item()
    raise Refused("a numpy scalar of unknown make")


def _array(kind: object, shape: object, code: object) -> PickledArray:
    if kind is not _NDARRAY:
        raise Refused("a numpy array of another class")
    return PickledArray()


def _buffer_array(data: object, dtype: object, shape: object, order: object, *_: object) -> PickledArray:
    """Rebuild an array as protocol 5 stores it."""
    match data, dtype, shape, order:
        case ((bytes() | bytearray()), _Dtype(code), tuple(), "C" | "F" as order):
            return PickledArray(np.frombuffer(data, code).reshape(shape, order=order))
    raise Refused("a numpy array of unknown make")


def _size(sizes: object) -> tuple[object, ...]:
    if not isinstance(sizes, tuple):
        raise Refused("a torch.Size that is not a tuple")
    return sizes


def _never(*_: object) -> object:
    raise Refused("numpy.ndarray as a function")


_NDARRAY = _Allowed("numpy.ndarray", _never)
_OF_NUMPY: dict[str, Callable[..., object]] = {
    "multiarray._reconstruct": _array,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _buffer_array,
}
_FUNCTIONS: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.storage._load_from_bytes": _storage,
    "torch.Size": _size,
    "torch_utils.persistence._reconstruct_persistent_obj": _module,
    "numpy.dtype": _dtype,
    **{f"numpy.core.{name}": function for name, function in _OF_NUMPY.items()},
    **{f"numpy._core.{name}": function for name, function in _OF_NUMPY.items()},
}
_TABLE: dict[str, object] = {
    **{name: _Allowed(name, function) for name, function in _FUNCTIONS.items()},
    "numpy.ndarray": _NDARRAY,
    "collections.OrderedDict": dict,
    "dnnlib.util.EasyDict": dict,
    "builtins.set": set,
}
