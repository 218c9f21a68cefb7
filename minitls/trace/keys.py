"""The key schedule of a run, as it unfolds: RFC 8446 section 7.1's for TLS 1.3, RFC 5246 sections 6.3 and 8.1's for TLS 1.2.

What is derived follows from what was said: each :class:`Derivation` names its parent, the label, and the messages whose hash goes
into it, with that hash.  No secret is in it.  Who has the key log's secrets (``Recording.key_log``) gets them from :func:`values`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from minitls.crypto.groups import GROUPS, Hybrid, MlKem
from minitls.crypto.prf import MASTER_SECRET_LENGTH, MasterSecret
from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import SUITES_12, Suite12, lengths
from minitls.observe import ChangeCipherSpecSeen, KeyInstalled, MessageSeen
from minitls.trace.recording import Entry, Recording, Role
from minitls.trace.values import count, name_of_message, short
from minitls.wire.hello import ClientHello, HelloRetryRequest, Message, ServerHello
from minitls.wire.messages import Finished, KeyUpdate, NewSessionTicket
from minitls.wire.messages12 import ClientKeyExchange, HelloRequest
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import HandshakeType, NamedGroup, name_of

EARLY, HANDSHAKE, MAIN = "Early Secret", "Handshake Secret", "Main Secret"
RESUMPTION = "resumption_master_secret"
PREMASTER, MASTER, KEY_BLOCK = "premaster secret", "master secret", "key block"
CLIENT_RANDOM = "CLIENT_RANDOM"
"""Under which the key log has TLS 1.2's master secret."""

TRAFFIC = {
    "CLIENT_EARLY_TRAFFIC_SECRET": "client_early_traffic_secret",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET": "client_handshake_traffic_secret",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET": "server_handshake_traffic_secret",
    "CLIENT_TRAFFIC_SECRET_0": "client_application_traffic_secret_0",
    "SERVER_TRAFFIC_SECRET_0": "server_application_traffic_secret_0",
    "EXPORTER_SECRET": "exporter_master_secret",
}
"""RFC 8446's names by the key log's."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """One step.  ``parent``: what it is made of, "" for where a schedule begins; ``also``: what else goes in.

    ``over``: the messages whose hash goes in, and ``digest`` that hash in hex.  ``key_log``: its name in a key log; ``length`` in
    bytes, 0 where it is not known.  ``meaning``: one line for people.
    """

    at: float
    name: str
    parent: str
    how: str
    label: str = ""
    also: str = ""
    over: tuple[str, ...] = ()
    digest: str = ""
    length: int = 0
    key_log: str = ""
    meaning: str = ""

    @property
    def formula(self) -> str:
        """``Derive-Secret(Handshake Secret, "c hs traffic", ClientHello...ServerHello)``."""
        label = f'"{self.label}"' if self.label else ""
        parts = (self.parent, label, self.also, "...".join(dict.fromkeys((self.over[0], self.over[-1]))) if self.over else "")
        return f"{self.how}({', '.join(filter(None, parts))})" if self.how else self.also


@dataclass(slots=True)
class KeySchedule:
    """Told a run's entries one by one, it says what can be derived now."""

    role: Role
    suite: Suite12 | None = None
    _hash: str = ""
    _messages: list[tuple[str, bytes]] = field(default_factory=list)
    _hello: ClientHello | None = None
    _randoms: tuple[bytes, bytes] = (b"", b"")
    _extended: bool = False
    _had: set[str] = field(default_factory=set)
    _updates: dict[bool, int] = field(default_factory=dict)
    _tickets: int = 0
    _complete: bool = False

    def __call__(self, entry: Entry) -> Iterator[Derivation]:
        if isinstance(entry, MessageSeen):
            message = entry.message
            if not self._complete and not isinstance(message, HelloRequest):
                self._messages.append((name_of_message(message), message.raw))
            yield from self._message(entry, message)
        elif isinstance(entry, KeyInstalled) and entry.key == "CLIENT_EARLY_TRAFFIC_SECRET" and entry.key not in self._had:
            self._hash = next((suite.hash_name for suite in SUITES.values() if suite.name == entry.cipher_suite), "sha256")
            yield from self._early(entry.at, with_psk=True)
            yield self._traffic(entry.at, EARLY, "c e traffic", entry.key, "protects early data (0-RTT)")
        elif isinstance(entry, ChangeCipherSpecSeen) and self.suite is not None and KEY_BLOCK not in self._had:
            yield from self._session(entry.at)

    def _message(self, entry: MessageSeen, message: Message) -> Iterator[Derivation]:
        by_client = entry.sent == (self.role == "client")
        if isinstance(message, ClientHello):
            self._hello = message
        elif isinstance(message, HelloRetryRequest) and message.cipher_suite in SUITES:
            self._replace_first(SUITES[message.cipher_suite].hash_name)
        elif isinstance(message, ServerHello):
            yield from self._server_hello(entry.at, message)
        elif isinstance(message, ClientKeyExchange):
            yield from self._premaster(entry.at)
        elif isinstance(message, KeyUpdate):
            yield self._updated(entry.at, by_client)
        elif isinstance(message, NewSessionTicket) and RESUMPTION in self._had:
            self._tickets += 1
            nonce, size = short(message.ticket_nonce), self._size
            yield Derivation(
                entry.at, f"PSK of ticket {self._tickets}", RESUMPTION, "HKDF-Expand-Label", "resumption",
                f"ticket_nonce {nonce}", length=size, meaning="for another visit",
            )  # fmt: skip
        elif isinstance(message, Finished) and self.suite is None and not self._complete:
            yield from self._finished(entry.at, by_client)

    # TLS 1.3 ----------------------------------------------------------------------------------------------------------

    @property
    def _size(self) -> int:
        return hashlib.new(self._hash).digest_size if self._hash else 0

    def _replace_first(self, hash_name: str) -> None:
        """Section 4.4.1: a ClientHello that was answered by HelloRetryRequest is hashed as message_hash."""
        (_, first), *rest = self._messages
        digest = hashlib.new(hash_name, first).digest()
        raw = bytes((HandshakeType.message_hash,)) + len(digest).to_bytes(3, "big") + digest
        self._messages = [("message_hash", raw), *rest]

    def _early(self, at: float, *, with_psk: bool) -> Iterator[Derivation]:
        what = "PSK" if with_psk else "no PSK: zeros"
        meaning = "where the schedule begins" + (": what both had before" if with_psk else "; there is nothing secret in it")
        self._had.add(EARLY)
        yield Derivation(at, EARLY, "", "HKDF-Extract", also=f"0, {what}", length=self._size, meaning=meaning)

    def _traffic(self, at: float, parent: str, label: str, key_log: str, meaning: str) -> Derivation:
        self._had.add(key_log)
        digest = hashlib.new(self._hash, b"".join(raw for _, raw in self._messages)).hexdigest()
        over = tuple(name for name, _ in self._messages)
        name = TRAFFIC.get(key_log, RESUMPTION)
        return Derivation(at, name, parent, "Derive-Secret", label, "", over, digest, self._size, key_log, meaning)

    def _server_hello(self, at: float, hello: ServerHello) -> Iterator[Derivation]:
        if X.supported_versions not in hello.extensions:
            self.suite = SUITES_12.get(hello.cipher_suite)
            self._randoms = self._hello.random if self._hello is not None else b"", hello.random
            self._extended = X.extended_master_secret in hello.extensions
            return
        if hello.cipher_suite not in SUITES:
            return  # it will be refused
        self._hash = SUITES[hello.cipher_suite].hash_name
        with_psk = X.pre_shared_key in hello.extensions
        if EARLY not in self._had or not with_psk:
            yield from self._early(at, with_psk=with_psk)
        share = hello.extensions.get(X.key_share)
        if share is None:
            shared = "zeros: no key exchange (psk_ke)"
        else:
            group = GROUPS.get(share.group)
            kind = "ECDHE and ML-KEM" if isinstance(group, Hybrid) else "ML-KEM" if isinstance(group, MlKem) else "(EC)DHE"
            shared = f"{kind} shared secret of {name_of(NamedGroup, share.group)}"
        yield self._extract(at, HANDSHAKE, EARLY, shared, "the key exchange comes in")
        for who in ("client", "server"):
            label, key_log = f"{who[0]} hs traffic", f"{who.upper()}_HANDSHAKE_TRAFFIC_SECRET"
            yield self._traffic(at, HANDSHAKE, label, key_log, f"protects the {who}'s handshake messages")

    def _extract(self, at: float, name: str, parent: str, also: str, meaning: str) -> Derivation:
        """Section 7.1: the next of the three goes through "derived" first."""
        return Derivation(at, name, parent, "HKDF-Extract", "derived", also, length=self._size, meaning=meaning)

    def _finished(self, at: float, by_client: bool) -> Iterator[Derivation]:
        if not by_client and self._hash:
            yield self._extract(at, MAIN, HANDSHAKE, "zeros", "RFC 8446 calls it the Master Secret")
            for who in ("client", "server"):
                label, key_log = f"{who[0]} ap traffic", f"{who.upper()}_TRAFFIC_SECRET_0"
                yield self._traffic(at, MAIN, label, key_log, f"protects the {who}'s data")
            yield self._traffic(at, MAIN, "exp master", "EXPORTER_SECRET", "what applications derive keys of their own from")
        elif by_client and self._hash:
            self._complete = True
            self._had.add(RESUMPTION)
            yield self._traffic(at, MAIN, "res master", "", "what tickets' keys are made of")

    def _updated(self, at: float, by_client: bool) -> Derivation:
        number = self._updates.get(by_client, 0)
        self._updates[by_client] = number + 1
        who = "client" if by_client else "server"
        name = f"{who}_application_traffic_secret_"
        key_log = f"{who.upper()}_TRAFFIC_SECRET_{number + 1}"
        return Derivation(
            at, f"{name}{number + 1}", f"{name}{number}", "HKDF-Expand-Label", "traffic upd", length=self._size, key_log=key_log,
            meaning=f"protects the {who}'s data from now on",
        )  # fmt: skip

    # TLS 1.2 ----------------------------------------------------------------------------------------------------------

    def _premaster(self, at: float) -> Iterator[Derivation]:
        if self.suite is None:
            return
        exchange = self.suite.key_exchange
        origin = {
            "RSA": "48 bytes that the client made up, encrypted with the server's RSA key",
            "DHE": "the Diffie-Hellman shared secret",
            "ECDHE": "the ECDHE shared secret",
            "PSK": "the key that both have",
            "ECDHE_PSK": "the ECDHE shared secret and the key that both have",
        }[exchange]
        length = MASTER_SECRET_LENGTH if exchange == "RSA" else 0
        yield Derivation(at, PREMASTER, "", "", also=origin, length=length, meaning="it never travels in the clear")
        if self._extended:
            raws = b"".join(raw for _, raw in self._messages)
            over, digest = tuple(name for name, _ in self._messages), hashlib.new(self.suite.hash_name, raws).hexdigest()
            label, also, meaning = "extended master secret", "", "bound to this handshake (RFC 7627)"
        else:
            over, digest = (), ""
            label, also, meaning = "master secret", "ClientHello.random + ServerHello.random", "of the randoms only"
        yield Derivation(at, MASTER, PREMASTER, "PRF", label, also, over, digest, MASTER_SECRET_LENGTH, CLIENT_RANDOM, meaning)
        self._had.add(MASTER)
        yield from self._session(at)

    def _session(self, at: float) -> Iterator[Derivation]:
        """The key block, and what is cut out of it."""
        assert self.suite is not None
        if MASTER not in self._had:
            origin = "the master secret of the session that is resumed"
            yield Derivation(at, MASTER, "", "", also=origin, length=MASTER_SECRET_LENGTH, key_log=CLIENT_RANDOM, meaning="old")
        self._had |= {MASTER, KEY_BLOCK}
        mac, key, iv = lengths(self.suite.cipher)
        randoms = "ServerHello.random + ClientHello.random"
        meaning = "cut into the keys of both directions"
        yield Derivation(at, KEY_BLOCK, MASTER, "PRF", "key expansion", randoms, length=2 * (mac + key + iv), meaning=meaning)
        for who in ("client", "server"):
            parts = [f"{size} bytes of {what}" for size, what in ((mac, "MAC key"), (key, "key"), (iv, "IV")) if size]
            name, what = f"{who} write key", f"{self.suite.cipher.name}: {', '.join(parts)}"
            yield Derivation(at, name, KEY_BLOCK, "", also=what, length=mac + key + iv, meaning=f"protects what the {who} sends")


def derivations(recording: Recording) -> list[Derivation]:
    """All of a run that is over, in their order."""
    schedule = KeySchedule(recording.role)
    return [found for entry in recording.timeline for found in schedule(entry)]


def installed(recording: Recording) -> dict[str, list[KeyInstalled]]:
    """When each traffic secret's keys (TLS 1.2: each write key) came into use, by the name of its derivation."""
    found: dict[str, list[KeyInstalled]] = {}
    for entry in recording.all(KeyInstalled):
        found.setdefault(name_of_secret(entry.key), []).append(entry)
    return found


def name_of_secret(key_log: str) -> str:
    """The RFC's name of what the key log, or an observer, calls so."""
    if key_log in TRAFFIC:
        return TRAFFIC[key_log]
    who, found, number = key_log.partition("_TRAFFIC_SECRET_")
    return f"{who.lower()}_application_traffic_secret_{number}" if found else key_log


def values(key_log: Iterable[str], suite: str, server_random: bytes = b"") -> dict[str, list[tuple[str, str]]]:
    """What the key log has, and the keys made of it, in hex, by the names of derivations.  SECRET: only for who has asked.

    ``suite``: the connection's, by its name; ``server_random``: of TLS 1.2's ServerHello.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    tls13 = next((each for each in SUITES.values() if each.name == suite), None)
    tls12 = next((each for each in SUITES_12.values() if each.name == suite), None)
    for label, random, secret in map(str.split, key_log):
        value = bytes.fromhex(secret)
        if label == CLIENT_RANDOM and tls12 is not None:
            master = MasterSecret(tls12.hash_name, value, extended=False)
            block = master.key_block(bytes.fromhex(random), server_random, *lengths(tls12.cipher))
            for who in ("client", "server"):
                parts = ((what, getattr(block, f"{who}_{what}")) for what in ("mac", "key", "iv"))
                found[f"{who} write key"] = [(what, part.hex()) for what, part in parts if part]
            found[MASTER] = [("secret", secret)]
        else:
            found[name_of_secret(label)] = [("secret", secret)]
            if tls13 is not None and label != "EXPORTER_SECRET":
                key, iv = TrafficSecret(tls13.hash_name, value, label).key_and_iv(tls13.aead.key_length)
                found[name_of_secret(label)] += [("key", key.hex()), ("iv", iv.hex())]
    return found


def in_words(derivation: Derivation) -> str:
    """``32 bytes: protects the client's data``."""
    size = count(derivation.length, "byte") if derivation.length else ""
    return ": ".join(filter(None, (size, derivation.meaning)))
