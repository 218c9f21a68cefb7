"""How long a record may be: record_size_limit (RFC 8449), and its forerunner max_fragment_length (RFC 6066 section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from minitls.config import ClientConfig, ServerConfig
from minitls.errors import Alert, PeerMisbehaved
from minitls.record.protection import MAX_PLAINTEXT
from minitls.wire.codec import Extensions
from minitls.wire.numbers import ExtensionType as X

SMALLEST = 64
MAX_FRAGMENT_LENGTHS: Mapping[int, int] = {512: 1, 1024: 2, 2048: 3, 4096: 4}
"""Bytes, and what stands for them on the wire."""

_BY_CODE = {code: length for length, code in MAX_FRAGMENT_LENGTHS.items()}


class Limits(NamedTuple):
    """Bytes of content that a protected record may hold, each way."""

    send: int = MAX_PLAINTEXT
    receive: int = MAX_PLAINTEXT


def offer_limits(config: ClientConfig, extensions: Extensions) -> None:
    """Put what the client wants into its hello."""
    if config.max_fragment_length is not None:
        extensions[X.max_fragment_length] = MAX_FRAGMENT_LENGTHS[config.max_fragment_length]
    if config.record_size_limit is not None:
        extensions[X.record_size_limit] = config.record_size_limit


def answer_limits(config: ServerConfig, offered: Extensions, answers: Extensions, *, tls13: bool) -> Limits:
    """Put the server's answer beside its others.  record_size_limit goes before max_fragment_length (RFC 8449 section 5)."""
    limit: int | None = offered.get(X.record_size_limit)
    if limit is not None:
        ours = min(config.record_size_limit or 2**16, MAX_PLAINTEXT + tls13)
        answers[X.record_size_limit] = ours
        return Limits(_content(limit, tls13), _content(ours, tls13))
    code: int | None = offered.get(X.max_fragment_length)
    if code is None:
        return Limits()
    length = _length(code)
    answers[X.max_fragment_length] = code
    return Limits(length, length)


def agreed_limits(offered: Extensions, answers: Extensions, *, tls13: bool) -> Limits:
    """What the server's answer comes to.  Raises illegal_parameter for one that is none."""
    limit: int | None = answers.get(X.record_size_limit)
    code: int | None = answers.get(X.max_fragment_length)
    if limit is not None:
        if code is not None or limit > MAX_PLAINTEXT + tls13:
            raise PeerMisbehaved(
                Alert.illegal_parameter,
                f"the server's record_size_limit is {limit}" + ("" if code is None else ", and max_fragment_length beside it"),
                rule="RFC 8449 4",
                reason="bad_record_size_limit",
            )
        return Limits(_content(limit, tls13), _content(offered[X.record_size_limit], tls13))
    if code is None:
        return Limits()
    if code != offered[X.max_fragment_length]:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            "the server answers max_fragment_length with another length",
            rule="RFC 6066 4",
            reason="bad_max_fragment_length",
        )
    length = _length(code)
    return Limits(length, length)


def _content(limit: int, tls13: bool) -> int:
    """Content bytes under a record_size_limit, which in TLS 1.3 counts the content type, too (RFC 8449 section 4)."""
    if limit < SMALLEST:
        raise PeerMisbehaved(
            Alert.illegal_parameter,
            f"a record_size_limit of {limit} bytes is too small",
            rule="RFC 8449 4",
            reason="bad_record_size_limit",
        )
    return min(limit - tls13, MAX_PLAINTEXT)


def _length(code: int) -> int:
    if code not in _BY_CODE:
        raise PeerMisbehaved(
            Alert.illegal_parameter, f"max_fragment_length {code} is unknown", rule="RFC 6066 4", reason="bad_max_fragment_length"
        )
    return _BY_CODE[code]
