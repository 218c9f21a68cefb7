"""Every message of every handshake, field by field: no byte is left out, and none is told twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from minitls.crypto.suites12 import SUITES_12
from minitls.trace.fields import Field, dissect, section_of
from minitls.trace.recording import Recording
from minitls.wire import messages12
from minitls.wire.codec import Structure
from minitls.wire.hello import ClientHello, Message
from minitls.wire.messages import Certificate, CompressedCertificate, ServerHello, write_message
from minitls.wire.messages12 import ClientKeyExchange, ServerKeyExchange
from tests.conftest import NAME, Pki
from tests.runs import RUNS, recorded
from tests.test_wire import STRUCTURES, declared_in, few, structures

MESSAGES = [kind for kind in {*STRUCTURES, *declared_in(messages12)} if issubclass(kind, Message) and kind is not Message]


def covers(message: Message, field: Field) -> None:
    """The leaves, in their order, are the message's bytes."""
    assert (field.start, field.stop) == (0, len(message.raw))
    at = 0
    for leaf in field.leaves():
        assert leaf.start == at < leaf.stop, (leaf, at)
        assert leaf.name
        assert leaf.value.isprintable()
        assert leaf.section.startswith("RFC "), leaf
        at = leaf.stop
    assert at == len(message.raw)
    nested(field)


def nested(field: Field) -> None:
    """Parts follow each other, and fill what they are parts of."""
    at = field.start
    for part in field.parts:
        assert part.start == at
        nested(part)
        at = part.stop
    assert not field.parts or at == field.stop


def suite_of(recording: Recording) -> Any:
    return next((SUITES_12.get(hello.cipher_suite) for _, hello in recording.messages(ServerHello)), None)


def flat(field: Field) -> Iterator[Field]:
    yield field
    for part in field.parts:
        yield from flat(part)


@pytest.mark.parametrize("name", RUNS)
def test_every_message_of_every_run(pki: Pki, name: str) -> None:
    for recording in recorded(pki, name):
        found = recording.messages(Message)
        assert found
        for _, message in found:
            field = dissect(message, suite_of(recording))
            covers(message, field)
            if isinstance(message, (ClientKeyExchange, ServerKeyExchange)):
                assert {"parameters", "exchange_keys"}.isdisjoint(leaf.name for leaf in field.leaves())


@pytest.mark.parametrize("kind", sorted(MESSAGES, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_message_that_can_be_written(kind: type[Message]) -> None:
    @few
    @given(structures(kind))
    def check(value: Structure) -> None:
        assert isinstance(value, Message)
        write_message(value)
        for suite in (None, *SUITES_12.values()) if kind in (ClientKeyExchange, ServerKeyExchange) else (None,):
            covers(value, dissect(value, suite))

    check()


def test_each_structure_says_where_it_is_defined() -> None:
    assert {kind.__name__ for kind in {*STRUCTURES, *declared_in(messages12)} if not section_of(kind)} == set()
    assert section_of(ClientHello) == "RFC 8446 4.1.2"


def test_a_hello_in_words(pki: Pki) -> None:
    ours, _ = recorded(pki, "tls13")
    hello = ours.messages(ClientHello)[0][1]
    found = {field.name: field for field in flat(dissect(hello))}
    assert found["msg_type"].value == "client_hello"
    assert found["length"].section
    assert (found["legacy_version"].start, found["legacy_version"].stop) == (4, 6)
    assert found["legacy_version"].value == "TLSv1.2"
    assert found["random"].stop - found["random"].start == 32
    assert found["host_name"].value == f"“{NAME}”"
    assert found["host_name"].section == "RFC 6066 3"
    assert any(field.value == "TLS_AES_128_GCM_SHA256" for field in found["cipher_suites"].parts)
    assert any(field.value == "X25519MLKEM768" for field in flat(found["key_share"]))
    assert found["key_share"].section == "RFC 8446 4.2.8"
    assert found["cipher_suites"].parts[1].value == "GREASE"
    assert any(field.value == "X25519MLKEM768, 1,216 bytes" for field in flat(found["key_share"]))


def test_certificates_are_named(pki: Pki) -> None:
    ours, _ = recorded(pki, "tls13")
    certificate = ours.messages(Certificate)[0][1]
    values = [field.value for field in flat(dissect(certificate)) if field.name == "cert_data"]
    assert values[0].startswith(f"the certificate of {NAME} (")


def test_one_word_has_two_meanings() -> None:
    message = CompressedCertificate(2, 100, b"x")
    write_message(message)
    assert "brotli" in [leaf.value for leaf in dissect(message).leaves()]


def test_what_a_key_exchange_does_not_fit_is_shown_as_it_is() -> None:
    message = ServerKeyExchange(b"\x03\x00\x1d\x20" + bytes(5))
    write_message(message)
    suite = next(suite for suite in SUITES_12.values() if suite.key_exchange == "ECDHE")
    field = dissect(message, suite)
    covers(message, field)
    assert field.parts[-1].name == "parameters"


def test_strangers_names_are_harmless(pki: Pki) -> None:
    ours, _ = recorded(pki, "tls13", client={"alpn": ("\x1b[2J<b>", "http/1.1")})
    shown = [field.value for field in flat(dissect(ours.messages(ClientHello)[0][1]))]
    assert "“\\x1b[2J<b>”" in shown
