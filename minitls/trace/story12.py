"""TLS 1.2's chapters of the story: the handshake that the textbooks draw, with a premaster secret in its middle.

Where it comes from is what tells the classic handshakes apart: encrypted with the server's public key (RSA), agreed on
(Diffie-Hellman, signed by the certificate's key), or known to both before (PSK).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from minitls.crypto.suites12 import SUITES_12, Suite12
from minitls.observe import ChangeCipherSpecSeen
from minitls.trace import story as tls13
from minitls.trace.steps import Arrow, Fact, Step, Story
from minitls.trace.values import count, duration, ending, extension_value, short, version_name
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.messages import CertificateVerify
from minitls.wire.messages12 import (
    Certificate12,
    CertificateRequest12,
    ClientKeyExchange,
    NewSessionTicket12,
    ServerHelloDone,
    ServerKeyExchange,
)
from minitls.wire.numbers import CipherSuite, name_of
from minitls.wire.numbers import ExtensionType as X

MASTER = "CLIENT_RANDOM"
"""Under which the key log has the master secret (RFC 9850)."""


def spoken(story: Story) -> bool:
    """Whether this run came to TLS 1.2."""
    return any(X.supported_versions not in hello.extensions for _, hello in story.seen.messages(ServerHello))


def _suite(story: Story) -> Suite12 | None:
    return next((SUITES_12.get(hello.cipher_suite) for _, hello in story.seen.messages(ServerHello)), None)


def server_hello(story: Story) -> Iterator[Step]:
    for entry, hello in story.seen.messages(ServerHello):
        facts: list[Fact] = [
            ("version", version_name(hello.legacy_version)),
            ("cipher", f"{name_of(CipherSuite, hello.cipher_suite)}{story.why('cipher_suite')}"),
            ("random", f"{short(hello.random, 16)}: the server's, beside the client's"),
        ]
        if X.application_layer_protocol_negotiation in hello.extensions:
            kind = X.application_layer_protocol_negotiation
            facts.append(("protocol inside", f"{extension_value(kind, hello.extensions[kind])} (ALPN)"))
        extended = X.extended_master_secret in hello.extensions
        facts.append(
            (
                "master secret",
                "bound to the handshake that it is from (RFC 7627)" if extended else "of the randoms only, as long ago",
            )
        )
        yield story.step("server_hello_12", (entry,), facts)


def certificate(story: Story) -> Iterator[Step]:
    for entry, message in story.seen.messages(Certificate12, by_client=False):
        yield story.step("certificate_12", (entry,), list(tls13.chain_facts(story, message.chain, entry.at)))


def server_key_exchange(story: Story) -> Iterator[Step]:
    for entry, message in story.seen.messages(ServerKeyExchange):
        suite = _suite(story)
        signed = suite is not None and suite.authentication != "PSK"
        facts: list[Fact] = [("the server's half", short(message.parameters, 16))]
        if signed:
            facts.append(("signed", "these bytes and both randoms, with the certificate's private key"))
        yield story.step("server_key_exchange" if signed else "server_key_exchange_psk", (entry,), facts)


def certificate_request(story: Story) -> Iterator[Step]:
    for entry, request in story.seen.messages(CertificateRequest12):
        names = request.certificate_authorities
        facts = [("accepted", f"certificates of {count(len(names), 'CA')}, by name")] if names else []
        yield story.step("certificate_request", (entry,), facts)


def server_hello_done(story: Story) -> Iterator[Step]:
    for entry, _ in story.seen.messages(ServerHelloDone):
        yield story.step("server_hello_done", (entry,))


def client_key_exchange(story: Story) -> Iterator[Step]:
    """The heart of it: the premaster secret."""
    suite = _suite(story)
    proofs = story.seen.messages(Certificate12, by_client=True)
    for entry, shown in proofs:
        yield story.step("client_certificate" if shown.chain else "no_client_certificate", (entry,))
    for entry, message in story.seen.messages(ClientKeyExchange):
        if suite is None:
            return
        what = "encrypted" if suite.key_exchange == "RSA" else "the client's half"
        key = {"RSA": "premaster_rsa", "PSK": "premaster_psk"}.get(suite.key_exchange, "premaster_dh")
        yield story.step(key, (entry,), [(what, short(message.exchange_keys, 16))])
    for entry, proof in story.seen.messages(CertificateVerify, by_client=True):
        yield story.step("client_proof_12", (entry,), [("signature", short(proof.signature, 16))])


def master_secret(story: Story) -> Iterator[Step]:
    """How the session keys follow."""
    suite = _suite(story)
    if suite is None or not list(story.seen.all(ChangeCipherSpecSeen)):
        return
    facts: list[Fact] = []
    if MASTER in story.seen.secrets:
        length, fingerprint = story.seen.secrets[MASTER]
        other = story.other.secrets.get(MASTER) if story.other is not None else None
        same = "" if other is None else ", the same at both" if other[1] == fingerprint else ", NOT the same at both"
        facts.append(("master secret", f"{length} bytes{same}: SHA-256 {fingerprint}…"))
    for _, hello in story.seen.messages(ClientHello)[:1]:
        facts.append(("client's random", short(hello.random, 16)))
    for _, answer in story.seen.messages(ServerHello)[:1]:
        facts.append(("server's random", short(answer.random, 16)))
    facts.append(("session keys", f"one for each direction, for {suite.cipher.name}"))
    resumed = not story.seen.messages(ClientKeyExchange)
    yield story.step("resumed_12" if resumed else "master_secret", (), facts)


def change_cipher_spec(story: Story) -> Iterator[Step]:
    found = list(story.seen.all(ChangeCipherSpecSeen))
    if found:
        arrows = [Arrow(story.seen.by_client(entry), "ChangeCipherSpec, 1 byte", "clear") for entry in found]
        yield story.step("change_cipher_spec_12", (), arrows=arrows, at=found[0].at)


def ticket(story: Story) -> Iterator[Step]:
    for entry, message in story.seen.messages(NewSessionTicket12):
        hint = message.ticket_lifetime_hint
        facts = [("ticket", ending(message.ticket, 16)), ("good for", duration(hint) if hint else "as long as the server likes")]
        yield story.step("ticket_12", (entry,), facts)


CHAPTERS: tuple[Callable[[Story], Iterator[Step]], ...] = (
    tls13.tcp,
    tls13.client_hello,
    server_hello,
    certificate,
    server_key_exchange,
    certificate_request,
    server_hello_done,
    client_key_exchange,
    master_secret,
    ticket,
    change_cipher_spec,
    tls13.finished,
    tls13.data,
    tls13.goodbye,
)
