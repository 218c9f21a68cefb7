"""``minitls.data`` against the standard library's dataclasses: what both make, compared, and every class of ours as they see it."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import importlib
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import minitls
from minitls import data


def of_ours() -> Iterator[Any]:
    """All classes that minitls.data made."""
    root = Path(minitls.__file__).parent
    for file in sorted(root.rglob("*.py")):
        name = ".".join(("minitls", *file.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        if name in ("minitls.__main__", "minitls.data"):
            continue
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and value.__module__ == name and "__minitls_data__" in vars(value):
                yield value


CLASSES = tuple(of_ours())


def test_there_are_many() -> None:
    assert len(CLASSES) > 70


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_standard_library_reads_ours(cls: Any) -> None:
    """The fields, the constructor's parameters, and what is asked of them when they are wrong."""
    known = tuple(each.name for each in data.fields(cls))
    assert tuple(each.name for each in dataclasses.fields(cls)) == known
    parameters = inspect.signature(cls).parameters
    assert tuple(parameters) == known
    assert cls.__match_args__ == tuple(name for name, each in parameters.items() if each.kind is not each.KEYWORD_ONLY)
    with pytest.raises(TypeError):
        cls(*[None] * (len(known) + 1))
    with pytest.raises(TypeError):
        cls(**dict.fromkeys(known), another=None)
    if any(each.default is each.empty for each in parameters.values()):
        with pytest.raises(TypeError, match="missing"):
            cls()


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if not hasattr(cls, "__post_init__")], ids=lambda cls: cls.__name__)
def test_instances_are_what_dataclasses_would_make(cls: Any) -> None:
    """With any values: they are kept, compared, hashed, copied, pickled, and shown unless they are not to be."""
    names = tuple(each.name for each in data.fields(cls))
    values = tuple(f"value {i}" for i in range(len(names)))
    one, two = cls(*values), cls(**dict(zip(reversed(names), reversed(values), strict=True)))
    assert tuple(getattr(one, name) for name in names) == values
    params = cls.__dataclass_params__
    compares = params.eq or cls.__eq__ is not object.__eq__
    assert (one == two) is compares
    assert one != SimpleNamespace(**dict(zip(names, values, strict=True)))
    if params.eq and params.frozen:
        assert hash(one) == hash(two)
    assert (cls.__hash__ is None) is (compares and not params.frozen)
    copies = [copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one)), data.replace(one), dataclasses.replace(one)]
    assert [[getattr(each, name) for name in names] for each in copies] == [list(values)] * 5
    if names:
        other = data.replace(one, **{names[0]: "another"})
        assert getattr(other, names[0]) == "another"
        assert getattr(one, names[0]) == values[0]
        assert other != one
    hidden = {each.name for each in dataclasses.fields(cls) if not each.repr}
    if cls.__repr__.__module__ == "minitls.data":
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(names, values, strict=True) if name not in hidden)
        assert repr(one) == f"{cls.__qualname__}({shown})"
    if params.frozen:
        for name in (*names, "another"):
            with pytest.raises(dataclasses.FrozenInstanceError, match=name):
                setattr(one, name, None)
            with pytest.raises(dataclasses.FrozenInstanceError, match=name):
                delattr(one, name)
    elif names:
        setattr(one, names[0], "changed")
        assert getattr(one, names[0]) == "changed"
    assert hasattr(one, "__dict__") is hasattr(two, "__dict__")
    assert not hasattr(one, "__dict__") or "__slots__" not in vars(cls)


def by_both(**options: Any) -> tuple[Any, Any]:
    """The same class, by the standard library and by us."""
    made = []
    for dataclass, field in ((dataclasses.dataclass, dataclasses.field), (vars(data)["dataclass"], vars(data)["field"])):

        @dataclass(**options)
        class Point:
            """Where."""

            where: ClassVar[str] = "here"
            x: int
            y: int = 2
            z: int = field(default=3, repr=False)

            def sum(self) -> int:
                return self.x + self.y + self.z

        @dataclass(**options)
        class Named(Point):
            """And what it is called."""

            name: str = "N"
            tags: list[str] = field(default_factory=list)

        made.append((Point, Named))
    return tuple(made)  # type: ignore[return-value]


OPTIONS = [
    {name: bool(bits >> i & 1) for i, name in enumerate(("frozen", "slots", "kw_only", "eq", "repr"))} for bits in range(2**5)
]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}), ((1,), {}), ((1, 2), {}), ((1, 2, 5), {}), ((1, 2, 3, "M"), {}), ((1, 2, 3, "M", ["t"]), {}),
    ((1,) * 6, {}), ((), {"x": 1}), ((), {"y": 1}), ((1,), {"x": 1}), ((1,), {"z": 9}), ((1,), {"w": 9}),
    ((), {"x": 1, "name": "O"}), ((1,), {"self": 1}),
]  # fmt: skip


def result(work: Any) -> Any:
    """What came of it; of an error its kind, and of ours about fields its words."""
    try:
        return work()
    except dataclasses.FrozenInstanceError as error:
        return type(error), str(error)
    except (TypeError, AttributeError) as error:
        return type(error)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(name for name, on in options.items() if on) or "none")
def test_the_same_by_both(options: dict[str, bool]) -> None:
    theirs, ours = by_both(**options)
    for their, our in zip(theirs, ours, strict=True):
        assert str(inspect.signature(our)) == str(inspect.signature(their))
        assert our.__match_args__ == their.__match_args__
        assert (our.__doc__, our.where, our.__qualname__) == (their.__doc__, their.where, their.__qualname__)
        assert {"y", "z"} & vars(our).keys() == {"y", "z"} & vars(their).keys()
        assert getattr(our, "__slots__", None) == getattr(their, "__slots__", None)
        for values, named in CALLS:
            by_them, by_us = result(lambda: their(*values, **named)), result(lambda: our(*values, **named))  # noqa: B023
            assert isinstance(by_us, type) == isinstance(by_them, type), (values, named)
            if isinstance(by_them, type):
                assert by_us == by_them
                continue
            seen = []
            for kind, each in ((their, by_them), (our, by_us)):
                again = kind(*values, **named)
                text = result(lambda: repr(each)) if options["repr"] else None  # noqa: B023
                seen.append((
                    dataclasses.asdict(each), each.sum(), text, each == again, each != again,
                    isinstance(result(lambda: hash(each)), int), result(lambda: setattr(each, "x", 7)), each.x,  # noqa: B023
                    result(lambda: delattr(each, "x")), hasattr(each, "x"), hasattr(each, "__dict__"),  # noqa: B023
                    result(lambda: dataclasses.replace(each, y=5).y), result(lambda: dataclasses.replace(each, w=5)),  # noqa: B023
                    result(lambda: data.replace(each, y=6).y) if kind is our else 6 if hasattr(each, "x") else AttributeError,  # noqa: B023
                ))  # fmt: skip
            assert seen[0] == seen[1], (values, named)


def test_a_required_field_after_one_with_a_default() -> None:
    with pytest.raises(TypeError, match="without a default"):

        @data.dataclass(frozen=True, slots=True)
        class Wrong:
            x: int = 1
            y: int  # type: ignore[misc]


def test_a_user_may_go_on_with_the_standard_one() -> None:
    """A subclass of a configuration, by dataclasses or by hand."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Mine(minitls.ClientConfig):
        extra: int = 7

    class Plain(minitls.ClientConfig):
        def __init__(self, note: str) -> None:
            super().__init__(alpn=("h2",))
            self.note = note

    mine = Mine(alpn=("h2",))
    assert (mine.extra, mine.alpn, mine.grease) == (7, ("h2",), True)
    assert "extra" in inspect.signature(Mine).parameters
    again = data.replace(Mine(extra=8), alpn=("h2",))
    assert (type(again), again.extra, again.alpn) == (Mine, 8, ("h2",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        mine.extra = 8  # type: ignore[misc]
    plain = Plain("a note")
    assert (plain.note, plain.alpn) == ("a note", ("h2",))
    assert list(inspect.signature(Plain).parameters) == ["note"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        plain.alpn = ()  # type: ignore[misc]


def test_a_class_costs_one_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for it all: the standard one needs six, and makes them at once."""
    compiled: list[str] = []
    run = exec
    monkeypatch.setattr(builtins, "exec", lambda source, space: (compiled.append(source), run(source, space)))

    @data.dataclass(frozen=True, slots=True)
    class Made:
        x: int
        y: int = 2

    assert compiled == []
    assert Made(1) == Made(1, 2)
    assert repr(Made(1)).endswith("Made(x=1, y=2)")
    assert len(compiled) == 1
