"""A run in the steps that textbooks tell of, one sentence each, from TCP's handshake to the close.

Where :mod:`minitls.trace.story` tells everything in the order in which it happened, this is the poster on the wall.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from minitls.crypto.suites12 import SUITES_12
from minitls.observe import AlertSeen, ChangeCipherSpecSeen, DataSeen, KeyInstalled, MessageSeen
from minitls.trace.cards import cards
from minitls.trace.recording import Entry, Recording, TcpClosed, TcpOpened
from minitls.trace.values import count, safe, version_name
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.messages import Certificate, Finished
from minitls.wire.messages12 import Certificate12, ClientKeyExchange
from minitls.wire.numbers import CipherSuite, NamedGroup, name_of
from minitls.wire.numbers import ExtensionType as X

DIFFIE_HELLMAN = "each has sent its half in its hello. Both come to the same secret, and it never travelled."
DIFFIE_HELLMAN_12 = "Each sends half of a Diffie-Hellman exchange. Both come to the same premaster secret, and it never travelled."
FINISHED = "Finished: a fingerprint of the whole conversation, so that both know that nobody has changed a word."


@dataclass(frozen=True, slots=True)
class Phase:
    """``entry``: the first thing of it that happened, None where it has no moment of its own."""

    name: str
    sentence: str
    entry: Entry | None = None


def phases(seen: Recording) -> list[Phase]:
    """Those that the run came to."""
    return [phase for told in (_tcp, _hello, _certificate, _exchange, _keys, _finished, _data, _close) for phase in told(seen)]


def _tcp(seen: Recording) -> Iterator[Phase]:
    opened = seen.first(TcpOpened)
    if opened is not None:
        text = "SYN, SYN-ACK, ACK: the three-way handshake of TCP. A line is open, and anybody on the way can read and write on it."
        yield Phase("Connect", text, opened)


def _answer(seen: Recording) -> ServerHello | None:
    return next((hello for _, hello in seen.messages(ServerHello)), None)


def _hello(seen: Recording) -> Iterator[Phase]:
    offers, answer = seen.messages(ClientHello), _answer(seen)
    if not offers:
        return
    text = f"The client offers what it can do: {count(len(offers[0][1].cipher_suites), 'cipher suite')}, and a random number."
    if answer is not None:
        version = version_name(answer.extensions.get(X.supported_versions, answer.legacy_version)).replace("v", " ")
        text += f" The server chooses {version} and {name_of(CipherSuite, answer.cipher_suite)}, with a random number of its own."
    yield Phase("Hello", text, offers[0][0])


def _certificate(seen: Recording) -> Iterator[Phase]:
    shown: list[tuple[MessageSeen, Certificate | Certificate12]] = []
    shown += seen.certificates(by_client=False)
    shown += seen.messages(Certificate12, by_client=False)
    answer = _answer(seen)
    path = cards(seen.verified_path())
    if shown:
        entry, message = shown[0]
        chain = path or cards(message.chain)
        text = f"The server says who it is: {chain[0].title}." if chain else "The server says who it is."
        if path:
            text += f" {path[-1].title}, whom the client trusts, vouches for that, and a signature proves that it is no copy."
        elif any(seen.by_client(alert) and alert.name != "close_notify" for alert in seen.all(AlertSeen)):
            text += " The client was not convinced."
        elif seen.role == "client":
            text += " The client did not verify that."
        yield Phase("Certificate", text, entry)
    elif answer is not None and seen.messages(Finished):
        yield Phase("Certificate", "None this time: the two know each other by a secret that they had before.")


def _exchange(seen: Recording) -> Iterator[Phase]:
    answer, keys = _answer(seen), seen.messages(ClientKeyExchange)
    if answer is None:
        return
    share = answer.extensions.get(X.key_share)
    if keys and answer.cipher_suite in SUITES_12:
        kind = SUITES_12[answer.cipher_suite].key_exchange
        text = {
            "RSA": "The client makes up a premaster secret and encrypts it with the server’s RSA key: nobody else can decrypt it.",
            "PSK": "The premaster secret is made of a key that both had before.",
        }.get(kind, DIFFIE_HELLMAN_12)
        yield Phase("Key exchange", text, keys[0][0])
    elif share is not None:
        entry = seen.messages(ServerHello)[0][0]
        yield Phase("Key exchange", f"{name_of(NamedGroup, share.group)}: {DIFFIE_HELLMAN}", entry)
    elif seen.messages(Finished):
        yield Phase("Key exchange", "None this time: the old secret has to do.")


def _keys(seen: Recording) -> Iterator[Phase]:
    installed = seen.first(KeyInstalled)
    if installed is not None:
        text = "From the secret and all that was said, both compute the session keys, one for each direction. No key ever travels."
        yield Phase("Session keys", text, installed)


def _finished(seen: Recording) -> Iterator[Phase]:
    found = seen.messages(Finished)
    if found:
        changed = seen.first(ChangeCipherSpecSeen) is not None
        answer = _answer(seen)
        habit = answer is not None and X.supported_versions in answer.extensions
        said = "ChangeCipherSpec is a mere habit by now. " if habit else "ChangeCipherSpec: from now on encrypted. "
        text = f"{said if changed else ''}{FINISHED}"
        yield Phase("ChangeCipherSpec, Finished" if changed else "Finished", text, found[0][0])


def _data(seen: Recording) -> Iterator[Phase]:
    found = list(seen.all(DataSeen))
    if found:
        sizes = [sum(entry.size for entry in found if seen.by_client(entry) == by_client) for by_client in (True, False)]
        text = f"Now the data, encrypted and sealed: {count(sizes[0], 'byte')} to the server, {count(sizes[1], 'byte')} back."
        yield Phase("Encrypted data", text, found[0])


def _close(seen: Recording) -> Iterator[Phase]:
    for entry in seen.all(AlertSeen):
        who = "client" if seen.by_client(entry) else "server"
        if entry.name == "close_notify":
            yield Phase(
                "Close", f"The {who} says that this was all (close_notify), and TCP is closed with a FIN from each side.", entry
            )
        else:
            yield Phase("Alert", f"The {who} ends it: {safe(entry.name)}.", entry)
        return
    closed = seen.first(TcpClosed)
    if closed is not None:
        yield Phase("Close", "TCP is closed, without a goodbye.", closed)
