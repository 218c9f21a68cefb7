"""The presentation language: a *codec* is a pair of closures, ``read(buf, pos, end) -> (value, pos)`` and ``write(value, out)``.

``opaque(32)`` is the RFC's ``opaque x[32]``, ``opaque(0, 255)`` its ``opaque x<0..255>``, ``vector(uint16, 2, 254)`` its
``uint16 x<2..254>`` (bounds in bytes, as the RFC counts).  :func:`structure` turns a class whose fields are declared with
:func:`wire` into a slotted dataclass with a codec of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache
from itertools import takewhile
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, cast, dataclass_transform

from minitls.data import dataclass, field, fields
from minitls.errors import Alert, DecodeError, PeerMisbehaved

T = TypeVar("T")
S = TypeVar("S", bound="Structure")


Shape: TypeAlias = tuple[str, int, int, Any]
"""What a codec's bytes look like, for who shows them field by field (:mod:`minitls.trace.fields`); codecs never ask for it.

The kind: "uint", "opaque", "rest", "nothing", "vector", "extensions" or "structure".  Bytes of a number, or of an opaque of one
length.
Bytes of the length in front of what has any.  A vector's item, an extension block's bodies by type, or a structure's class.
"""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    read: Callable[[bytes, int, int], tuple[T, int]]
    write: Callable[[T, bytearray], None]
    shape: Shape


def _uint(bits: int) -> Codec[int]:
    size = bits // 8
    name = f"uint{bits}"

    def read(buf: bytes, pos: int, end: int) -> tuple[int, int]:
        stop = pos + size
        if stop > end:
            raise DecodeError(f"{name} at offset {pos} is cut short: {end - pos} of {size} bytes")
        return int.from_bytes(buf[pos:stop], "big"), stop

    def write(value: int, out: bytearray) -> None:
        out += value.to_bytes(size, "big")

    return Codec(read, write, ("uint", size, 0, None))


uint8, uint16, uint24, uint32, uint64 = _uint(8), _uint(16), _uint(24), _uint(32), _uint(64)


def _read_rest(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
    return buf[pos:end], end


def _write_rest(value: bytes, out: bytearray) -> None:
    out += value


rest: Codec[bytes] = Codec(_read_rest, _write_rest, ("rest", 0, 0, None))
"""All bytes up to the end of what contains it: Finished, padding."""


def _read_nothing(buf: bytes, pos: int, end: int) -> tuple[None, int]:
    return None, pos


def _write_nothing(value: None, out: bytearray) -> None:
    pass


nothing: Codec[None] = Codec(_read_nothing, _write_nothing, ("nothing", 0, 0, None))
"""``struct {}``: an extension whose presence says it all."""


def _fixed(length: int) -> Codec[bytes]:
    def read(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
        stop = pos + length
        if stop > end:
            raise DecodeError(f"opaque[{length}] at offset {pos} is cut short: {end - pos} bytes left")
        return buf[pos:stop], stop

    def write(value: bytes, out: bytearray) -> None:
        if len(value) != length:
            raise ValueError(f"opaque[{length}] cannot hold {len(value)} bytes")
        out += value

    return Codec(read, write, ("opaque", length, 0, None))


def _misfit(what: str, pos: int, start: int, stop: int, end: int) -> DecodeError:
    """What is wrong with a length prefix at ``pos`` that says that its content goes from ``start`` to ``stop``."""
    if stop > end:
        return DecodeError(f"{what} at offset {pos} is cut short: {end - pos} bytes left")
    return DecodeError(f"{what} at offset {pos} has {stop - start} bytes")


def opaque(floor: int, ceiling: int | None = None) -> Codec[bytes]:
    """``opaque x[floor]`` with one number, ``opaque x<floor..ceiling>`` with two."""
    if ceiling is None:
        return _fixed(floor)
    top = ceiling
    size = (top.bit_length() + 7) // 8

    def read(buf: bytes, pos: int, end: int) -> tuple[bytes, int]:
        start = pos + size
        stop = start + int.from_bytes(buf[pos:start], "big")
        if stop > end or not floor <= stop - start <= top:
            raise _misfit(f"opaque<{floor}..{top}>", pos, start, stop, end)
        return buf[start:stop], stop

    def write(value: bytes, out: bytearray) -> None:
        length = len(value)
        if not floor <= length <= top:
            raise ValueError(f"opaque<{floor}..{top}> cannot hold {length} bytes")
        out += length.to_bytes(size, "big")
        out += value

    return Codec(read, write, ("opaque", 0, size, None))


@cache
def _uint16s(count: int) -> struct.Struct:
    return struct.Struct(f"!{count}H")


def vector(item: Codec[T], floor: int, ceiling: int) -> Codec[tuple[T, ...]]:
    """``T x<floor..ceiling>``: a tuple of items; floor and ceiling count bytes."""
    if item is uint16:
        return cast("Codec[tuple[T, ...]]", _uint16_vector(floor, ceiling))
    size = (ceiling.bit_length() + 7) // 8
    read_item, write_item = item.read, item.write

    def read(buf: bytes, pos: int, end: int) -> tuple[tuple[T, ...], int]:
        at = pos + size
        stop = at + int.from_bytes(buf[pos:at], "big")
        if stop > end or not floor <= stop - at <= ceiling:
            raise _misfit(f"vector<{floor}..{ceiling}>", pos, at, stop, end)
        items: list[T] = []
        while at < stop:
            value, at = read_item(buf, at, stop)
            items.append(value)
        return tuple(items), at

    def write(value: tuple[T, ...], out: bytearray) -> None:
        at = len(out)
        out += bytes(size)
        for each in value:
            write_item(each, out)
        length = len(out) - at - size
        if not floor <= length <= ceiling:
            raise ValueError(f"vector<{floor}..{ceiling}> cannot hold {length} bytes")
        out[at : at + size] = length.to_bytes(size, "big")

    return Codec(read, write, ("vector", 0, size, item))


def _uint16_vector(floor: int, ceiling: int) -> Codec[tuple[int, ...]]:
    """The commonest vector goes through one C call."""
    body = opaque(floor, ceiling)
    read_body, write_body = body.read, body.write

    def read(buf: bytes, pos: int, end: int) -> tuple[tuple[int, ...], int]:
        raw, after = read_body(buf, pos, end)
        if len(raw) % 2:
            raise DecodeError(f"vector of uint16 at offset {pos} has an odd length: {len(raw)}")
        return _uint16s(len(raw) // 2).unpack(raw), after

    def write(value: tuple[int, ...], out: bytearray) -> None:
        write_body(_uint16s(len(value)).pack(*value), out)

    return Codec(read, write, ("vector", 0, body.shape[2], uint16))


class Extensions(dict[int, Any]):
    """``Extension extensions<0..2^16-1>``: bodies by ExtensionType, in the order of the wire; unknown bodies stay bytes."""

    __slots__ = ()


def extensions(
    where: str,
    table: Mapping[int, Codec[Any]],
    recognised: Mapping[int, Any],
    name: Callable[[int], str],
    *,
    optional: bool = False,
) -> Codec[Extensions]:
    """An extension block (RFC 8446 section 4.2).

    ``table`` has the bodies that may stand in this message, ``recognised`` every extension that we know from any.  ``optional``:
    the whole block may be missing, as in a hello of TLS 1.2.  A duplicate, or an extension known to belong elsewhere, is
    illegal_parameter.
    """
    header = struct.Struct("!HH")
    unpack_header, pack_header = header.unpack_from, header.pack_into

    def read(buf: bytes, pos: int, end: int) -> tuple[Extensions, int]:
        found = Extensions()
        if optional and pos == end:
            return found, pos
        start = pos + 2
        stop = start + int.from_bytes(buf[pos:start], "big")
        if stop > end:
            raise _misfit("extensions<0..65535>", pos, start, stop, end)
        pos = start
        while pos < stop:
            if pos + 4 > stop:
                raise DecodeError(f"extension at offset {pos} is cut short: {stop - pos} bytes left")
            kind, length = unpack_header(buf, pos)
            pos += 4
            after = pos + length
            if after > stop:
                raise DecodeError(f"{name(kind)} at offset {pos} is cut short: {stop - pos} of {length} bytes")
            if kind in found:
                raise PeerMisbehaved(
                    Alert.illegal_parameter,
                    f"{where} has the extension {name(kind)} twice",
                    rule="RFC 8446 4.2",
                    reason="duplicate_extension",
                )
            codec = table.get(kind)
            if codec is not None:
                try:
                    found[kind], pos = codec.read(buf, pos, after)
                except DecodeError as error:
                    raise DecodeError(f"{name(kind)}: {error.message}") from None
                if pos != after:
                    raise DecodeError(f"{name(kind)}: {after - pos} bytes too many at offset {pos}")
            elif kind in recognised:
                raise PeerMisbehaved(
                    Alert.illegal_parameter,
                    f"the extension {name(kind)} does not belong in {where}",
                    rule="RFC 8446 4.2",
                    reason="misplaced_extension",
                )
            else:
                found[kind] = buf[pos:after]
            pos = after
        return found, pos

    def write(value: Extensions, out: bytearray) -> None:
        if optional and not value:
            return
        at = len(out)
        out += b"\0\0"
        for kind, body in value.items():
            here = len(out)
            out += b"\0\0\0\0"
            codec = table.get(kind)
            if codec is None:
                out += body
            else:
                codec.write(body, out)
            try:
                pack_header(out, here, kind, len(out) - here - 4)
            except struct.error:
                raise ValueError(f"{where} cannot hold {name(kind)} of {len(out) - here - 4} bytes") from None
        out[at : at + 2] = (len(out) - at - 2).to_bytes(2, "big")

    return Codec(read, write, ("extensions", 0, 2, table))


def wire(codec: Codec[T]) -> T:
    """Declare a field by its form on the wire; type checkers hold its annotation against the codec."""
    return cast(T, field(metadata={"codec": codec}))


_LETTERS = {("uint", size): letter for size, letter in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))}


class Structure:
    """The base of every ``struct``, so that type checkers know what :func:`structure` adds."""

    __slots__ = ()
    codec: ClassVar[Codec[Any]]


@dataclass_transform(field_specifiers=(wire,))
def structure(cls: type[S]) -> type[S]:
    """A ``struct`` of the presentation language: a slotted dataclass, its fields read and written in their order.

    Numbers that it begins with are read and written at once.
    """
    made = dataclass(slots=True)(cls)
    parts = fields(made)  # type: ignore[arg-type]
    names = [part.name for part in parts]
    reads = [part.metadata["codec"].read for part in parts]
    writes = [(part.name, part.metadata["codec"].write) for part in parts]
    numbers = "".join(takewhile(bool, (_LETTERS.get(part.metadata["codec"].shape[:2], "") for part in parts)))
    front = struct.Struct("!" + numbers) if len(numbers) > 1 else None
    numbers_of = attrgetter(*names[: len(numbers)]) if front else None
    reads_behind, writes_behind = reads[len(numbers) :], writes[len(numbers) :]

    def read(buf: bytes, pos: int, end: int) -> tuple[S, int]:
        values: list[Any] = []
        todo = reads
        if front is not None and pos + front.size <= end:  # else one after the other, of which one says that it is cut short
            values += front.unpack_from(buf, pos)
            pos += front.size
            todo = reads_behind
        try:
            for read_field in todo:
                value, pos = read_field(buf, pos, end)
                values.append(value)
        except DecodeError as error:
            raise DecodeError(f"{made.__name__}.{names[len(values)]}: {error.message}") from None
        return made(*values), pos

    def write(value: S, out: bytearray) -> None:
        todo = writes
        if front is not None and numbers_of is not None:
            try:
                out += front.pack(*numbers_of(value))
            except struct.error as error:
                raise ValueError(f"{made.__name__} has a number that does not fit: {error}") from None
            todo = writes_behind
        for name, write_field in todo:
            write_field(getattr(value, name), out)

    made.codec = Codec(read, write, ("structure", 0, 0, made))
    return made


def parse(cls: type[S], data: bytes) -> S:
    """Exactly one ``cls``, nothing after it.  Raises DecodeError, or PeerMisbehaved for what parses but must not be there."""
    value, pos = cls.codec.read(data, 0, len(data))
    if pos != len(data):
        raise DecodeError(f"{cls.__name__}: {len(data) - pos} bytes too many at offset {pos}")
    return cast(S, value)


def serialize(value: Structure) -> bytes:
    """The structure's bytes.  Raises ValueError where a value is outside the bounds that the RFC prints."""
    out = bytearray()
    value.codec.write(value, out)
    return bytes(out)
