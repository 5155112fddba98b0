from __future__ import annotations

import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from synreid.generate.pickles import PickledArray, PickledModule, PickledTensor, read_pickle
from synreid.stage.errors import UserError


class Calls:
    """Pickles as a call of `function` with `values`, and a state if one is given."""

    def __init__(self, function: Callable[..., object], *values: object, state: object = None) -> None:
        self.reduced = (function, values, state)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.fixture(autouse=True)
def official(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    """Stand-ins for the two names of the official programs that their pickles call."""

    def reconstruct(meta: object) -> None:
        raise AssertionError("nothing of the file may be called")

    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    reconstruct.__module__, reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["torch_utils.persistence"], reconstruct.__qualname__, reconstruct, raising=False)
    monkeypatch.setattr(sys.modules["dnnlib.util"], "EasyDict", easy, raising=False)
    yield types.SimpleNamespace(reconstruct=reconstruct, EasyDict=easy)


def module(official: types.SimpleNamespace, name: str, **state: object) -> Calls:
    meta = {"type": "class", "version": 6, "module_src": "import os; os.abort()", "class_name": name, "state": state}
    return Calls(official.reconstruct, meta)


def written(tmp_path: Path, value: object, protocol: int = 4) -> Path:
    path = tmp_path / "network.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_tensors_and_plain_containers_are_read(official: types.SimpleNamespace, tmp_path: Path, protocol: int) -> None:
    parameter = nn.Parameter(torch.randn(3, 4))
    with_state = nn.Parameter(torch.randn(2))
    with_state.note = "kept apart"  # type: ignore[attr-defined]
    turned = torch.arange(12.0).reshape(3, 4)[1:].t()
    array = np.arange(6, dtype=">i4").reshape(2, 3)
    held = module(
        official,
        "Layer",
        _parameters=OrderedDict(weight=parameter, other=with_state, missing=None),
        _buffers={"turned": turned, "half": torch.ones(2, dtype=torch.float16), "one": torch.tensor(7.0)},
        _init_kwargs=official.EasyDict(sizes=torch.Size([3, 4]), gain=np.float64(0.5), flag=np.bool_(True), layers=14),
        arrays=[array, np.asfortranarray(array), np.float32([1.5])],
        names={"a", "b"},
        _init_args=(1, -2.5, None, True, b"bytes", "text", 2**40),
    )
    found = read_pickle(written(tmp_path, {"G_ema": held, "again": [held, held]}, protocol))
    assert found["again"][0] is found["G_ema"]
    layer = found["G_ema"]
    assert isinstance(layer, PickledModule)
    assert layer.class_name == "Layer"
    state = layer.state
    for name, expected in (("weight", parameter), ("other", with_state)):
        torch.testing.assert_close(state["_parameters"][name].value, expected.detach(), rtol=0, atol=0)
    for name, expected in (("turned", turned), ("half", torch.ones(2).half()), ("one", torch.tensor(7.0))):
        torch.testing.assert_close(state["_buffers"][name].value, expected, rtol=0, atol=0)
    assert state["_parameters"]["missing"] is None
    assert state["_init_kwargs"] == {"sizes": (3, 4), "gain": 0.5, "flag": True, "layers": 14}
    for one, expected in zip(state["arrays"], (array, array, np.float32([1.5])), strict=True):
        assert isinstance(one, PickledArray)
        np.testing.assert_array_equal(one.value, expected)
    assert state["names"] == {"a", "b"}
    assert state["_init_args"] == (1, -2.5, None, True, b"bytes", "text", 2**40)


def storage_of(value: object) -> Calls:
    held = io.BytesIO()
    torch.save(value, held, _use_new_zipfile_serialization=False)
    return Calls(torch.storage._load_from_bytes, held.getvalue())


STRANGERS: dict[str, Callable[[Path], object]] = {
    f"{os.system.__module__}.system": lambda mark: Calls(os.system, f"touch {mark}"),
    "builtins.eval": lambda mark: Calls(eval, f"open({str(mark)!r}, 'w')"),
    "builtins.exec": lambda mark: {"G_ema": [Calls(exec, f"open({str(mark)!r}, 'w')")]},
    "builtins.getattr": lambda mark: Calls(getattr, Path(mark), "touch"),
    "builtins.print": lambda mark: {"key": print},
    "io.open": lambda mark: Calls(open, str(mark), "w"),
    "torch.serialization.load": lambda mark: Calls(torch.load, str(mark)),
    "torch.nn.modules.linear.Linear": lambda mark: nn.Linear(2, 2),
    "types.SimpleNamespace": lambda mark: types.SimpleNamespace(a=1),
    "numpy.random._pickle": lambda mark: np.random.default_rng(0),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("inside", ["the pickle", "a storage"])
def test_anything_else_is_refused_by_its_name_and_not_executed(tmp_path: Path, name: str, inside: str) -> None:
    mark = tmp_path / "executed"
    value = STRANGERS[name](mark)
    path = written(tmp_path, value if inside == "the pickle" else storage_of(value))
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        read_pickle(path)
    assert not mark.exists()


def test_torchs_own_function_would_have_executed_it(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    pickle.loads(pickle.dumps(storage_of(Calls(os.system, f"touch {mark}"))))
    assert mark.exists()


def test_the_older_programs_networks_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dnnlib.tflib", "dnnlib.tflib.network"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    network = type("Network", (), {"__module__": "dnnlib.tflib.network"})
    sys.modules["dnnlib.tflib.network"].Network = network  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"dnnlib\.tflib\.network\.Network.*TensorFlow.*convert it"):
        read_pickle(written(tmp_path, (network(), network(), network())))


def rebuilt(*values: object) -> Calls:
    return Calls(torch._utils._rebuild_tensor_v2, *values)


def four() -> Calls:
    return storage_of(torch.zeros(4).storage())


NESTED = b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns."  # hashing such a key would overflow the interpreter's stack
EMPTY: Any = np.zeros(1).__reduce__()
ODD: dict[str, Callable[[types.SimpleNamespace], object]] = {
    r"a tensor of shape \[5\] over 4 numbers": lambda _: rebuilt(four(), 0, (5,), (1,), False, {}),
    r"a tensor of shape \[2\] over 4 numbers": lambda _: rebuilt(four(), 3, (2,), (1,), False, {}),
    r"a tensor of shape \[2, 2\] over 4": lambda _: rebuilt(four(), 0, (2, 2), (3, 1), False, {}),
    r"a tensor of shape \[1000000000000\] over 4": lambda _: rebuilt(four(), 0, (10**12,), (0,), False, {}),
    "sizes are not whole numbers": lambda _: rebuilt(four(), -1, (2,), (1,), False, {}),
    "whole numbers": lambda _: rebuilt(four(), 0, (2.0,), (1,), False, {}),
    "a tensor of unknown make": lambda _: rebuilt(four(), 0, (2, 1), (1,), False, {}),
    "tensor of unknown make": lambda _: rebuilt("storage", 0, (2,), (1,), False, {}),
    "_rebuild_tensor_v2 with arguments": lambda _: rebuilt(four()),
    "a parameter that is not a tensor": lambda _: Calls(torch._utils._rebuild_parameter, "x", True, {}),
    "_rebuild_parameter with arguments": lambda _: Calls(torch._utils._rebuild_parameter),
    "a storage that is not bytes": lambda _: Calls(torch.storage._load_from_bytes, "text"),
    "_load_from_bytes with arguments": lambda _: Calls(torch.storage._load_from_bytes, b"\x80\x02."),
    "a storage that torch.load refuses": lambda _: Calls(torch.storage._load_from_bytes, b"\x80\x02N." * 5),
    "more than 30,000 tuples": lambda _: Calls(torch.storage._load_from_bytes, b"\x80\x02N." + NESTED),
    "a dict in place of a storage": lambda _: storage_of({"a": torch.zeros(1)}),
    "a persistent object without": lambda official: Calls(official.reconstruct, {"type": "class"}),
    "persistent object": lambda official: Calls(official.reconstruct, ["type"]),
    "a torch.Size that is not a tuple": lambda _: Calls(torch.Size, "12"),
    "numpy.dtype O8": lambda _: np.array([print, eval]),
    "numpy.dtype U3": lambda _: np.array(["abc"]),
    "a numpy.dtype that is not a plain number": lambda _: Calls(np.dtype, "f8", state=(3, "<", {}, {}, {}, 1, 1, 0)),
    "a numpy array with a state": lambda _: Calls(EMPTY[0], *EMPTY[1], state="text"),
    "numpy.ndarray as a function": lambda _: Calls(np.ndarray, (10**12,)),
    "a state for PickledTensor": lambda _: Calls(
        torch._utils._rebuild_tensor_v2, four(), 0, (2,), (1,), False, {}, state={"a": 1}
    ),
    "a state for PickledModule": lambda official: Calls(
        official.reconstruct, {"type": "class", "class_name": "A", "state": {}}, state=(None, {"class_name": "B"})
    ),
}


@pytest.mark.parametrize("said", ODD)
def test_known_names_with_odd_arguments_are_refused(official: types.SimpleNamespace, tmp_path: Path, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_pickle(written(tmp_path, ODD[said](official)))


START = b"\x80\x04"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
PROGRAMS: dict[str, bytes] = {
    "a state for _Allowed": START + TENSOR + b"}\x8c\x01a\x8c\x01bsb.",  # a state for the function itself
    "state for _Allowed": START + TENSOR + b"N}\x8c\x08functioncbuiltins\nset\ns\x86b.",
    "damaged": START + b"ccollections\nOrderedDict\nN}\x8c\x01a\x8c\x01bs\x86b.",  # for the class that stands for it
    "instruction PERSID": START + b"Pabc\n.",
    "instruction BINPERSID": START + b"\x8c\x03abcQ.",
    "instruction INST": START + b"(ios\nsystem\n.",
    "instruction OBJ": START + b"(ctorch\nSize\no.",
    "instruction NEWOBJ_EX": START + b"cbuiltins\nset\n)}\x92.",
    "instruction EXT1": START + b"\x82\x01.",
    "instruction LONG_BINPUT 4294967295": START + b"Nr\xff\xff\xff\xff.",
    "more than 30,000 tuples": b"\x80\x04" + NESTED[2:],
    "cut short": START + b"\x8e\xff\xff\xff\xff\xff\xff\xff\x0fabc.",
    "or damaged": START + b"N(.",
    r"\(IndexError\)|\(UnpicklingError\)": START + b"h\x07.",
}


@pytest.mark.parametrize("said", PROGRAMS)
def test_programs_that_no_file_needs_are_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_pickle(written(tmp_path, PROGRAMS[said]))
    assert read_pickle(written(tmp_path, {"a": torch.ones(2)}))["a"].value.tolist() == [1, 1]


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")
    said = {"zip file": path.read_bytes(), "empty": b"", "not a pickle": b"\x89PNG", "not a pickle of": b"\x80\x02N."}
    for words, content in said.items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            read_pickle(path)
    for place in (tmp_path / "nothing.pkl", tmp_path):
        with pytest.raises(UserError, match=str(place)):
            read_pickle(place)


@pytest.fixture
def whole(official: types.SimpleNamespace) -> bytes:
    layer = module(official, "Layer", _parameters={"weight": nn.Parameter(torch.randn(8, 8))}, gain=np.float64(2))
    return pickle.dumps({"G_ema": module(official, "G", _modules=OrderedDict(a=layer, b=layer)), "D": None})


def test_a_file_cut_anywhere_is_one_sentence(whole: bytes, tmp_path: Path) -> None:
    for place in np.random.default_rng(0).integers(1, len(whole), 50):
        with pytest.raises(UserError, match=r"network\.pkl"):
            read_pickle(written(tmp_path, whole[:place]))


def test_a_damaged_file_is_read_or_refused_but_nothing_else(whole: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(whole)
        for place in rng.integers(2, len(whole), 2):
            damaged[place] = rng.integers(256)
        try:
            read_pickle(written(tmp_path, bytes(damaged)))
        except UserError:
            refused += 1
    assert 100 < refused < 500


def test_records_do_not_change(tmp_path: Path) -> None:
    tensor = read_pickle(written(tmp_path, torch.ones(2)))
    assert isinstance(tensor, PickledTensor)
    with pytest.raises(AttributeError):
        tensor.value = torch.zeros(2)  # type: ignore[misc]
