"""A run told step by step, as to a newcomer.  Nothing is told that did not happen, and every value is the run's own.

:func:`tell` makes :class:`~minitls.trace.steps.Step` objects; how they look is up to who shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from minitls.crypto.groups import GROUPS, FiniteField, Group, Hybrid, MlKem
from minitls.observe import AlertSeen, ChainVerified, ChangeCipherSpecSeen, DataSeen, KeyInstalled, MessageSeen
from minitls.trace import returning
from minitls.trace.cards import cards
from minitls.trace.recording import Recording, TcpClosed, TcpOpened, certificate_in
from minitls.trace.steps import SHOWN, Arrow, Fact, Step, Story, direction, milliseconds, said
from minitls.trace.text import protection, reasons
from minitls.trace.values import count, duration, ending, extension_value, protocols, safe, short, version_name
from minitls.trace.words import EXPOSED, FROM_WHAT, GREASE, STEPS, SUITES
from minitls.wire.hello import ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    CompressedCertificate,
    EncryptedExtensions,
    Finished,
    KeyUpdate,
    NewSessionTicket,
)
from minitls.wire.messages12 import Certificate12
from minitls.wire.numbers import CipherSuite, NamedGroup, SignatureScheme, is_grease, name_of
from minitls.wire.numbers import ExtensionType as X


def tell(seen: Recording, *, other: Recording | None = None) -> list[Step]:
    """The steps of a run in their order, as far as it came.  ``other``: the other side's recording, where both are ours."""
    from minitls.trace import story12

    story = Story(seen, other)
    chapters = story12.CHAPTERS if story12.spoken(story) else _CHAPTERS
    return [step for chapter in chapters for step in chapter(story)]


def tcp(story: Story) -> Iterator[Step]:
    opened = story.seen.first(TcpOpened)
    if opened is None:
        return
    client, server = (opened.local, opened.peer) if story.seen.role == "client" else (opened.peer, opened.local)
    facts: list[Fact] = [("client", client), ("server", server)]
    if opened.resolving is not None:
        facts.append(("name looked up", f"in {milliseconds(opened.resolving)}"))
    if opened.round_trip is not None:
        facts.append(
            ("round trip", f"{milliseconds(opened.round_trip)} there and back, as the kernel measured it on these packets")
        )
    arrows = (Arrow(True, "SYN", "tcp"), Arrow(False, "SYN, ACK", "tcp"), Arrow(True, "ACK", "tcp"))
    yield story.step("tcp", (), facts, arrows=arrows, at=opened.at)


def client_hello(story: Story) -> Iterator[Step]:
    for entry, hello in story.seen.messages(ClientHello)[:1]:
        key = "client_hello" if X.key_share in hello.extensions else "client_hello_12"
        yield story.step(key, (entry,), list(_offer(hello)))


def _offer(hello: ClientHello) -> Iterator[Fact]:
    extensions = hello.extensions
    if hello.server_name is not None:
        yield "site wanted", f"{safe(hello.server_name)} (server_name, or SNI: one address can be many sites)"
    listed = [version_name(v) for v in extensions.get(X.supported_versions, ()) if not is_grease(v)]
    yield "versions", ", ".join(listed) or f"{version_name(hello.legacy_version)} at the most"
    yield "ciphers", ", ".join(name_of(CipherSuite, s) for s in hello.cipher_suites if not is_grease(s))
    if X.supported_groups in extensions:
        yield "key exchanges", ", ".join(name_of(NamedGroup, g) for g in extensions[X.supported_groups] if not is_grease(g))
    for share in extensions.get(X.key_share, ()):
        if not is_grease(share.group):
            yield "key share", f"{name_of(NamedGroup, share.group)} {short(share.key_exchange, 16)}"
    if hello.alpn:
        yield "protocols inside", f"{', '.join(protocols(extensions[X.application_layer_protocol_negotiation]))} (ALPN)"
    if extensions.get(X.session_ticket):
        yield "ticket", f"{ending(extensions[X.session_ticket], 16)}, of the last visit"
    yield "random", f"{short(hello.random, 16)}, so that no conversation is like another"
    if any(map(is_grease, (*hello.cipher_suites, *extensions))):
        yield "GREASE", GREASE


def retry(story: Story) -> Iterator[Step]:
    for entry, request in story.seen.messages(HelloRetryRequest):
        share = request.extensions.get(X.key_share)
        name = name_of(NamedGroup, share) if isinstance(share, int) else ""
        facts = [("key exchange", f"{name}{story.why('group')}")] if name else []
        yield story.step("retry", (entry,), facts, asks=f"for a share in {name}" if name else "to have its cookie back")
    for entry, hello in story.seen.messages(ClientHello)[1:]:
        facts = [("key share", extension_value(X.key_share, hello.extensions.get(X.key_share, ())))]
        if X.pre_shared_key in hello.extensions:
            facts += [("binder", f"{short(each, 16)}, made anew") for each in hello.extensions[X.pre_shared_key].binders[:SHOWN]]
        yield story.step("hello_again", (entry,), facts)


def server_hello(story: Story) -> Iterator[Step]:
    for entry, hello in story.seen.messages(ServerHello):
        share = hello.extensions.get(X.key_share)
        suite, why = name_of(CipherSuite, hello.cipher_suite), story.why("cipher_suite")
        facts = [("version", version_name(hello.extensions.get(X.supported_versions, hello.legacy_version)))]
        facts.append(("cipher", f"{suite}{why}"))
        if suite in SUITES:
            facts.append(("", SUITES[suite]))
        if share is not None:
            facts.append(("key exchange", f"{name_of(NamedGroup, share.group)}{story.why('group')}"))
            facts.append(("key share", short(share.key_exchange, 16)))
        if not why:
            facts += [("for us", reason) for _, offer in story.seen.messages(ClientHello)[-1:] for reason in reasons(offer, hello)]
        yield story.step("server_hello", (entry,), facts)
        yield from returning.psk_taken(story, entry, hello)
        if share is not None and share.group in GROUPS:
            yield _shared_secret(story, GROUPS[share.group])


def _shared_secret(story: Story, group: Group) -> Step:
    hybrid = group if isinstance(group, Hybrid) else None
    text = [STEPS["hybrid"].text[0].format(name=group.name)] if hybrid else []
    if not isinstance(group, MlKem):
        classical = hybrid.classical if hybrid else group
        where = "with very large numbers" if isinstance(classical, FiniteField) else "on an elliptic curve"
        text.append(STEPS["diffie_hellman"].text[0].format(name=classical.name.replace("x25519", "X25519"), where=where))
    if isinstance(group, (Hybrid, MlKem)):
        kem = f"ML-KEM-{group.name.partition('MLKEM')[2]}"
        text.append(STEPS["ml_kem" if hybrid else "ml_kem_alone"].text[0].format(name=kem, size=f"{group.kem.answer_length:,}"))
    facts = [("post-quantum", "yes" if group.post_quantum else EXPOSED)]
    facts += story.secrets("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET")
    return Step(STEPS["shared_secret"].title, tuple(text), (), tuple(facts))


def change_cipher_spec(story: Story) -> Iterator[Step]:
    found = list(story.seen.all(ChangeCipherSpecSeen))
    if found:
        arrows = [Arrow(story.seen.by_client(entry), "ChangeCipherSpec, 1 byte", "clear") for entry in found]
        yield story.step("change_cipher_spec", (), arrows=arrows, at=found[0].at)


def encrypted_extensions(story: Story) -> Iterator[Step]:
    for entry, message in story.seen.messages(EncryptedExtensions):
        facts: list[Fact] = []
        if X.application_layer_protocol_negotiation in message.extensions:
            chosen = ", ".join(protocols(message.extensions[X.application_layer_protocol_negotiation]))
            facts.append(("protocol inside", f"{chosen} (ALPN)"))
        if X.server_name in message.extensions:
            facts.append(("site wanted", "yes, it is here"))
        if X.early_data in message.extensions:
            facts.append(("early data", "accepted"))
        if X.ticket_request in message.extensions:
            facts.append(("tickets", extension_value(X.ticket_request, message.extensions[X.ticket_request])))
        yield story.step("encrypted_extensions", (entry,), facts or [("settled", "nothing this time")])


def _later(entry: MessageSeen) -> bool:
    """Whether a message is one of an authentication after the handshake."""
    return entry.key.startswith(("CLIENT_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET"))


def certificate_request(story: Story) -> Iterator[Step]:
    for entry, request in story.seen.messages(CertificateRequest):
        if not _later(entry):
            yield story.step("certificate_request", (entry,), _accepted(request))


def _accepted(request: CertificateRequest) -> list[Fact]:
    names = request.extensions.get(X.certificate_authorities, ())
    return [("accepted", f"certificates of {count(len(names), 'authority').replace('ys', 'ies')}, by name")] if names else []


def certificate(story: Story) -> Iterator[Step]:
    for entry, message in story.seen.certificates(by_client=False):
        facts = list(chain_facts(story, message.chain, entry.at))
        for shown in (beside.extensions for beside in message.certificate_list[:1]):
            if X.delegated_credential in shown:
                code = shown[X.delegated_credential].cred.dc_cert_verify_algorithm
                facts.append(("delegates", f"to another key, for some days, which signs with {name_of(SignatureScheme, code)}"))
        yield story.step("certificate", (entry,), facts)


def chain_facts(story: Story, chain: tuple[bytes, ...], at: float) -> Iterator[Fact]:
    """A server's certificates, from its own up to who is trusted, and what was checked."""
    client = story.seen if story.seen.role == "client" else story.other
    verified = client.first(ChainVerified) if client is not None else None
    raw = client.chosen("peer_public_key") if client is not None else None
    if raw is not None:  # RFC 7250: there is no certificate around it
        yield "public key", raw.value
        yield "checked", "it is one of those that the client was told to trust"
        return
    path = cards(verified.path if verified is not None else chain)
    for number, found in enumerate(path):
        others = [name for name in found.names[:SHOWN] if name != found.title] if not number else []
        names = f", for {', '.join(others)}{' …' if len(found.names) > SHOWN else ''}" if others else ""
        root = ": trusted already, and so not sent" if verified is not None and number == len(path) - 1 > 0 else ""
        yield "signed by" if number else "certificate", f"{found.title}{names}, key {found.key}, {found.validity(at)}{root}"
    if verified is not None:
        name = f"it is for {safe(verified.server_name)}; " if verified.server_name else ""
        yield (
            "checked",
            f"{name}each signature is by the key of the next one; none has expired; the last one is trusted",
        )
    elif client is not None:
        refused = any(story.seen.by_client(entry) and entry.name != "close_notify" for entry in story.seen.all(AlertSeen))
        yield "checked", "yes, and refused: the client does not believe it" if refused else "no: nobody has vouched for it"


def certificate_verify(story: Story) -> Iterator[Step]:
    for entry, message in story.seen.messages(CertificateVerify, by_client=False):
        facts = [("signature", f"{name_of(SignatureScheme, message.algorithm)}{story.why('certificate')}")]
        yield story.step("certificate_verify", (entry,), [*facts, ("", short(message.signature, 16))])


def client_certificate(story: Story) -> Iterator[Step]:
    proofs = [proof for proof in story.seen.messages(CertificateVerify, by_client=True) if not _later(proof[0])]
    for entry, message in story.seen.certificates(by_client=True):
        if not _later(entry):
            facts = _shown(entry, message)
            facts += [("signature", name_of(SignatureScheme, proof.algorithm)) for _, proof in proofs]
            key = "client_certificate" if message.chain else "no_client_certificate"
            yield story.step(key, (entry, *(sent for sent, _ in proofs)), facts)


def _shown(entry: MessageSeen, message: Certificate) -> list[Fact]:
    """A client's certificate."""
    return [
        ("certificate", f"{found.title} (key {found.key}, {found.validity(entry.at)}), signed by {found.issuer_title}")
        for found in cards(message.chain)[:1]
    ]


def client_authentications(story: Story) -> Iterator[Step]:
    """What the server asked after the handshake, and what it heard (RFC 8446 section 4.6.2)."""
    kinds = (CertificateRequest, Certificate, CompressedCertificate, CertificateVerify, Finished)
    later = [entry for entry in story.seen.all(MessageSeen) if isinstance(entry.message, kinds) and _later(entry)]
    starts = [number for number, entry in enumerate(later) if isinstance(entry.message, CertificateRequest)]
    for start, end in pairwise((*starts, len(later))):
        facts: list[Fact] = []
        for entry in later[start:end]:
            message = entry.message
            if isinstance(message, CertificateRequest):
                facts += _accepted(message)
            elif (shown := certificate_in(message)) is not None:
                facts += _shown(entry, shown) or [("certificate", "none: the client declines")]
            elif isinstance(message, CertificateVerify):
                facts.append(("signature", name_of(SignatureScheme, message.algorithm)))
        yield story.step("client_authentication", later[start:end], facts)


def finished(story: Story) -> Iterator[Step]:
    found = [entry for entry in story.seen.messages(Finished) if not _later(entry[0])]
    facts = [
        ("the client's" if story.seen.by_client(entry) else "the server's", short(message.verify_data, 16))
        for entry, message in found
    ]
    if found:
        yield story.step("finished", [entry for entry, _ in found], facts)


def session_keys(story: Story) -> Iterator[Step]:
    installed = [entry for entry in story.seen.all(KeyInstalled) if entry.key.endswith("_TRAFFIC_SECRET_0")]
    if installed:
        facts = story.secrets("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0")
        facts = facts or [(direction(story.seen.by_client(entry)), f"from {entry.key}") for entry in installed]
        answers = [answer.extensions for _, answer in story.seen.messages(ServerHello)]
        psk, exchanged = (any(kind in extensions for extensions in answers) for kind in (X.pre_shared_key, X.key_share))
        secrets = ", ".join(["the key that both had before"] * psk + ["the key exchange"] * exchanged)
        key = "session_keys" if exchanged else "session_keys_psk_ke"
        yield story.step(key, (), [*facts, ("made from", FROM_WHAT.format(secrets=secrets))], at=installed[-1].at)


def afterwards(story: Story) -> Iterator[Step]:
    tickets = story.seen.messages(NewSessionTicket)
    if tickets:
        facts = [("ticket", ending(message.ticket, 16)) for _, message in tickets[:SHOWN]]
        facts.append(("good for", duration(max(message.ticket_lifetime for _, message in tickets))))
        allowed = max(message.extensions.get(X.early_data, 0) for _, message in tickets)
        facts.append(("early data", extension_value(X.early_data, allowed) if allowed else "not with these"))
        yield story.step("tickets", [entry for entry, _ in tickets[:SHOWN]], facts)
    updates = story.seen.messages(KeyUpdate)
    if updates:
        yield story.step("key_update", [entry for entry, _ in updates])


def data(story: Story) -> Iterator[Step]:
    every = list(story.seen.all(DataSeen))
    numbered = [(number, entry) for number, entry in enumerate(every) if protection(entry.key) != "early"]
    found = [entry for _, entry in numbered]
    facts = [fact for number, entry in numbered[:SHOWN] for fact in said(story, number, entry)]
    if len(found) > SHOWN:
        facts.append(("and so on", f"{len(found)} pieces in all"))
    if found:
        step = story.step("data", found[:SHOWN], facts)
        wire = any(name == "on the wire" for name, _ in facts)
        yield Step(step.title, (*step.text, *(STEPS["records"].text if wire else ())), step.arrows, step.facts, step.at)


def goodbye(story: Story) -> Iterator[Step]:
    alerts = list(story.seen.all(AlertSeen))
    farewells = [entry for entry in alerts if entry.name == "close_notify"]
    for entry in alerts:
        if entry.name not in ("close_notify", "user_canceled"):
            who = "client" if story.seen.by_client(entry) else "server"
            yield story.step("alert", (entry,), [("meaning", f"minitls explain alert {entry.code}")], who=who)
            return
    if farewells:
        fins = [Arrow(story.seen.by_client(entry), "FIN", "tcp") for entry in story.seen.all(TcpClosed)]
        silent = "server" if story.seen.by_client(farewells[0]) else "client"
        facts = [("note", f"the {silent} gave no close_notify of its own")] if len(farewells) == 1 else []
        yield story.step("goodbye", (), facts, arrows=[*map(story.arrow, farewells), *fins], at=farewells[-1].at)


_CHAPTERS: tuple[Callable[[Story], Iterator[Step]], ...] = (
    tcp,
    client_hello,
    returning.psks,
    returning.early_data,
    retry,
    server_hello,
    change_cipher_spec,
    encrypted_extensions,
    certificate_request,
    certificate,
    certificate_verify,
    client_certificate,
    returning.end_of_early_data,
    finished,
    session_keys,
    afterwards,
    client_authentications,
    data,
    goodbye,
)


def on_the_way(seen: Recording) -> tuple[list[str], list[str]]:
    """What somebody between the two could see of this conversation, and what not."""
    visible, opened = [], seen.first(TcpOpened)
    if opened is not None:
        visible.append(f"that {opened.local} and {opened.peer} talked, when, and for how long")
    for _, hello in seen.messages(ClientHello)[:1]:
        if hello.server_name is not None:
            visible.append(f"the name of the site: {safe(hello.server_name)}")
    visible.append("what both can do and what was chosen: versions, ciphers, key exchanges")
    sent, received = seen.bytes_on_wire(sent=True), seen.bytes_on_wire(sent=False)
    if sent:
        visible.append(f"how much: {count(sent, 'byte')} one way, {count(received, 'byte')} the other")
    hidden = []
    if seen.messages(Certificate12):
        visible.append("the server's certificate: TLS 1.3 hides it, TLS 1.2 does not")
    elif seen.certificates(by_client=False):
        hidden.append("the server's certificate")
    if any(
        X.pre_shared_key in hello.extensions or hello.extensions.get(X.session_ticket) for _, hello in seen.messages(ClientHello)
    ):
        visible.append("that the two have met before, but not who the client is")
    if seen.first(DataSeen) is not None:
        hidden += ["the request: the page, passwords, cookies", "the answer, every word of it"]
    return visible, hidden
