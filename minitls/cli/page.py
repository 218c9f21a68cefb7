"""The page of ``serve --www``: what ``--html`` makes of a run, for the visitor who made it, and what this visitor offered."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from minitls.cli.dictionary import by_code
from minitls.crypto.groups import GROUPS
from minitls.crypto.signatures import SCHEMES
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import SUITES_12
from minitls.info import ConnectionInfo
from minitls.trace.html import Offer, Visitor
from minitls.trace.html import page as page_of
from minitls.trace.recording import Recording, TcpOpened
from minitls.trace.run import Run
from minitls.trace.steps import Fact, milliseconds
from minitls.trace.values import duration, protocols, version_name
from minitls.wire.extensions import EXTENSIONS
from minitls.wire.hello import ServerHello
from minitls.wire.messages import CompressedCertificate, EncryptedExtensions
from minitls.wire.numbers import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, is_grease, name_of
from minitls.wire.numbers import ExtensionType as X

SIGNALS = (0x00FF, 0x5600)
"""TLS_EMPTY_RENEGOTIATION_INFO_SCSV and TLS_FALLBACK_SCSV: heeded, and never chosen."""
SPOKEN = EXTENSIONS.keys() - {X.max_fragment_length, X.heartbeat, X.use_srtp}
"""Extensions that we do something with; the others we only read."""


def page(recording: Recording, info: ConnectionInfo) -> str:
    """The whole document."""
    return page_of(Run.of(recording, info), visitor=Visitor(tuple(_about(recording, info)), tuple(_offered(recording, info))))


def _about(recording: Recording, info: ConnectionInfo) -> Iterator[Fact]:
    yield "JA4, your kind of client", info.client_hello.ja4
    yield "JA3, its older form", info.client_hello.ja3
    yield "you have been here before", _returned(info)
    yield "the name you asked for", info.server_name or "none"
    opened = recording.first(TcpOpened)
    if opened is not None and opened.round_trip is not None:
        yield "from you to us and back", milliseconds(opened.round_trip)


def _returned(info: ConnectionInfo) -> str:
    if not info.resumed:
        return "not that we knew"
    when = "" if info.authenticated is None else f" {duration(max(1, info.timing.started - info.authenticated))} ago"
    early = ", and what you asked for came with your hello (0-RTT)" if info.early_data_accepted else ""
    return f"yes: we showed our certificate{when}, and this visit goes on from there ({info.resumption}){early}"


def _offered(recording: Recording, info: ConnectionInfo) -> Iterator[Offer]:
    """What is in the hello, of the kinds among which a server chooses."""
    hello = info.client_hello
    extensions = hello.extensions
    suites, groups, schemes = {*SUITES, *SUITES_12, *SIGNALS}, GROUPS, SCHEMES
    yield _offer("versions", hello.versions, version_name, (info.version,), (ProtocolVersion.TLSv1_2, ProtocolVersion.TLSv1_3))
    yield _offer("cipher suites", hello.cipher_suites, _suite, (info.cipher_suite,), suites)
    yield _offer("key exchanges", extensions.get(X.supported_groups, ()), _group, (info.group,), groups)
    yield _offer("key shares for", [each.group for each in extensions.get(X.key_share, ())], _group, (info.group,), groups)
    yield _offer("signatures", extensions.get(X.signature_algorithms, ()), _scheme, (info.signature_scheme,), schemes)
    inside = protocols(extensions.get(X.application_layer_protocol_negotiation, ()))
    yield Offer("protocols (ALPN)", tuple((name, "taken" if name == info.alpn_protocol else "left") for name in inside))
    answers: list[ServerHello | EncryptedExtensions] = [message for _, message in recording.messages(ServerHello)]
    answers += [message for _, message in recording.messages(EncryptedExtensions)]
    answered = [_extension(kind) for answer in answers for kind in answer.extensions]
    if recording.messages(CompressedCertificate):
        answered.append(_extension(X.compress_certificate))
    yield _offer("extensions", extensions, _extension, answered, SPOKEN)


def _offer(
    what: str, codes: Iterable[int], name: Callable[[int], str], taken: Container[str | None], ours: Container[int]
) -> Offer:
    """``taken``: by name; ``ours``: by code point, what we could have taken."""
    named = {code: name(code) for code in codes if not is_grease(code)}
    return Offer(
        what,
        tuple((text, "taken" if text in taken else "left" if code in ours else "strange") for code, text in named.items()),
    )


def _suite(code: int) -> str:
    """The dictionary knows more names than the registry of what we speak."""
    return next((entry.name for entry in by_code(code, "suite")), name_of(CipherSuite, code))


def _group(code: int) -> str:
    return name_of(NamedGroup, code)


def _scheme(code: int) -> str:
    return name_of(SignatureScheme, code)


def _extension(code: int) -> str:
    return name_of(X, code)
