"""``dataclass``: the classes that the standard library's makes, in a small part of its time.

The standard one writes the source of each of a class's methods and has it compiled: half a millisecond a class, a third of what
``import minitls`` took.  Here the constructor alone is made so, when the first instance is made; comparison, repr and the like are
written once, and go by the names of the fields.  To type checkers it is the standard one, and to the functions of
:mod:`dataclasses` too: ``replace``, ``fields``, ``asdict`` and a subclass's own ``@dataclass`` find what they look for.

Of the standard's options there are ``frozen``, ``slots``, ``kw_only``, ``eq`` and ``repr``; of a field's ``default``,
``default_factory``, ``repr`` and ``metadata``.  Annotations must be strings (``from __future__ import annotations``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any

_MISSING: Any = object()
_OURS = "__minitls_data__"
_set = object.__setattr__


class _Field:
    __slots__ = ("annotation", "default", "factory", "kw_only", "metadata", "name", "repr")

    annotation: str
    kw_only: bool
    name: str

    def __init__(self, default: Any, factory: Callable[[], Any] | None, shown: bool, metadata: Mapping[str, Any]) -> None:
        self.default = default
        self.factory = factory
        self.repr = shown
        self.metadata = metadata


class _Data:
    """What a class's methods go by.  ``values``: of an instance, all that count in a comparison."""

    __slots__ = ("fields", "options", "values")

    def __init__(self, fields: dict[str, _Field], options: dict[str, bool]) -> None:
        self.fields = fields
        self.options = options
        self.values = attrgetter("__class__", *fields)


def _field(
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | None = None,
    repr: bool = True,
    metadata: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    return _Field(default, default_factory, repr, metadata)


def _fields(cls: Any) -> tuple[_Field, ...]:
    return tuple(cls.__minitls_data__.fields.values())


def _replace(instance: Any, /, **changes: Any) -> Any:
    if _OURS not in vars(type(instance)):  # a subclass that dataclasses made
        import dataclasses

        return dataclasses.replace(instance, **changes)
    return type(instance)(**{name: getattr(instance, name) for name in instance.__minitls_data__.fields} | changes)


def _dataclass(
    cls: type | None = None,
    /,
    *,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
    eq: bool = True,
    repr: bool = True,
) -> Any:
    def decorate(cls: type) -> Any:
        own = _declared(cls, kw_only)
        fields: dict[str, _Field] = {}
        for base in cls.__mro__[:0:-1]:
            if _OURS in vars(base):
                fields |= vars(base)[_OURS].fields
        added: dict[str, Any] = {"__slots__": tuple(name for name in own if name not in fields)} if slots else {}
        fields |= own
        added |= _STANDARD
        added[_OURS] = _Data(fields, {"frozen": frozen, "eq": eq, "repr": repr})
        added["__match_args__"] = tuple(name for name, each in fields.items() if not each.kw_only)
        added["__replace__"] = _replace
        if repr and "__repr__" not in vars(cls):
            added["__repr__"] = _repr
        if eq:
            added |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
        if frozen:
            added |= _FROZEN
        if frozen and slots:
            added |= {"__getstate__": _get_state, "__setstate__": _set_state}
        made = _anew(cls, own, added) if slots else _enlarged(cls, own, added)
        made.__init__ = _constructor(made, fields, frozen)
        return made

    return decorate if cls is None else decorate(cls)


def _declared(cls: type, kw_only: bool) -> dict[str, _Field]:
    """The fields that the class adds to those of its bases, in its order."""
    found: dict[str, _Field] = {}
    for name, annotation in cls.__annotations__.items():
        if annotation.startswith("ClassVar["):
            continue
        given = vars(cls).get(name, _MISSING)
        each = found[name] = given if isinstance(given, _Field) else _field(default=given)
        each.name, each.annotation, each.kw_only = name, annotation, kw_only
    return found


def _enlarged(cls: Any, own: Mapping[str, _Field], added: dict[str, Any]) -> Any:
    for name, each in own.items():
        if each.default is not _MISSING:
            setattr(cls, name, each.default)
        elif name in vars(cls):
            delattr(cls, name)
    for name, value in added.items():
        setattr(cls, name, value)
    return cls


def _anew(cls: type, own: Mapping[str, _Field], added: dict[str, Any]) -> Any:
    """Slots cannot be added to a class that is there, and their names must not stand for defaults."""
    content = {name: value for name, value in vars(cls).items() if name not in own and name not in ("__dict__", "__weakref__")}
    return type(cls)(cls.__name__, cls.__bases__, content | added | {"__qualname__": cls.__qualname__})


# Methods: the same for every class


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, each in self.__minitls_data__.fields.items() if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: object) -> bool:
    values = self.__minitls_data__.values
    return values(self) == values(other) if type(self) is type(other) else NotImplemented


def _hash(self: Any) -> int:
    return hash(self.__minitls_data__.values(self))


def _refuse(self: Any, name: str, *value: Any) -> None:
    if _OURS not in vars(type(self)) and name not in self.__minitls_data__.fields:  # a subclass may have more, of its own
        (object.__setattr__ if value else object.__delattr__)(self, name, *value)
        return
    from dataclasses import FrozenInstanceError  # not before it is needed: the whole point of this module

    raise FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")


_FROZEN = {"__setattr__": _refuse, "__delattr__": _refuse}


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__minitls_data__.fields]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__minitls_data__.fields, state, strict=True):
        _set(self, name, value)


class _Standard:
    """What :mod:`dataclasses` and :mod:`inspect` ask a class for: taken, when they do, from the class that dataclasses would have
    made.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if self.name != "__signature__":
            return getattr(_standard(owner.__minitls_data__), self.name)  # type: ignore[attr-defined]
        if _OURS not in vars(owner):
            raise AttributeError("a subclass has a signature of its own")
        import inspect

        return inspect.signature(_standard(vars(owner)[_OURS]))


_STANDARD = {name: _Standard(name) for name in ("__dataclass_fields__", "__dataclass_params__", "__signature__")}


@cache
def _standard(ours: _Data) -> type:
    import dataclasses

    def standard_field(each: _Field) -> Any:
        default: Any = {} if each.default is _MISSING else {"default": each.default}
        factory: Any = {"default_factory": each.factory} if each.factory else {}
        return dataclasses.field(repr=each.repr, metadata=each.metadata, kw_only=each.kw_only, **default, **factory)

    fields = [(each.name, each.annotation, standard_field(each)) for each in ours.fields.values()]
    options: Any = ours.options
    return dataclasses.make_dataclass("Data", fields, **options)


def _constructor(made: Any, fields: Mapping[str, _Field], frozen: bool) -> Callable[..., None]:
    """``__init__`` until the first instance is made; then it is written, as there may never be one."""
    optional = [each.default is not _MISSING or each.factory is not None for each in fields.values() if not each.kw_only]
    if optional != sorted(optional):
        raise TypeError(f"{made.__qualname__}: a field without a default follows one that has one")

    def __init__(self: Any, /, *values: Any, **named: Any) -> None:
        made.__init__ = written = _written(made, fields, frozen)
        written(self, *values, **named)

    return __init__


def _written(made: type, fields: Mapping[str, _Field], frozen: bool) -> FunctionType:
    """``__init__`` as one would write it: the one method that differs from class to class."""
    space: dict[str, Any] = {"_set": _set, "_MISSING": _MISSING}
    parameters: dict[bool, list[str]] = {False: ["self"], True: ["*"]}
    lines = []
    for name, each in fields.items():
        value, default = name, ""
        if each.factory is not None:
            space[f"_make_{name}"], default = each.factory, "=_MISSING"
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        elif each.default is not _MISSING:
            space[f"_default_{name}"], default = each.default, f"=_default_{name}"
        parameters[each.kw_only].append(name + default)
        lines.append(f" _set(self, {name!r}, {value})" if frozen else f" self.{name} = {value}")
    if hasattr(made, "__post_init__"):
        lines.append(" self.__post_init__()")
    named = parameters[True] if len(parameters[True]) > 1 else []
    exec("\n".join((f"def __init__({', '.join((*parameters[False], *named))}):", *(lines or [" pass"]))), space)
    init: FunctionType = space["__init__"]
    init.__qualname__, init.__module__ = f"{made.__qualname__}.__init__", made.__module__
    return init


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import fields as fields
    from dataclasses import replace as replace
else:
    dataclass, field, fields, replace = _dataclass, _field, _fields, _replace
