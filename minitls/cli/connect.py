"""``minitls connect HOST[:PORT]``: what was agreed with a server and why it is trusted; ``-i``: talk to it."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minitls.cli.common import (
    DONE,
    HTTPS,
    NOT_MET,
    STARTTLS,
    USAGE,
    CommandError,
    add_client_options,
    add_connection_options,
    add_output_options,
    add_policy_options,
    add_starttls_option,
    client_config,
)
from minitls.cli.outputs import check_outputs, key_logs, recording_for, write_outputs

if TYPE_CHECKING:
    from minitls.certificates.ocsp import Staple
    from minitls.certificates.sct import Timestamp
    from minitls.cli.net import Session
    from minitls.cli.reach import Target
    from minitls.cli.screen import Screen, Tone
    from minitls.cli.sessions import Cost, EarlyData, KeptSessions
    from minitls.config import ClientConfig
    from minitls.info import ConnectionInfo
    from minitls.trace.run import Run
    from minitls.trace.steps import Fact

FAREWELL = 1.0
"""Seconds that we wait for the server's own close_notify after ours: only so that it can be told."""

EXAMPLES = """\
examples:
  minitls connect example.com                      the summary, then the handshake step by step
  minitls connect example.com --summary            the summary alone
  minitls connect example.com --trace              each message, with what it carried
  minitls connect example.com --trace=keys         which secret is made of what, and when it is used
  minitls connect example.com --html run.html      a page with all of it, down to the single byte
  minitls connect example.com --pcapng run.pcapng  Wireshark opens it decrypted
  minitls connect example.com --json               everything, for programs
  minitls connect localhost:8443 --ca ca.pem       a server of your own
  minitls connect mail.example.com --starttls smtp  a mail server, on its port 25
  minitls connect example.com --proxy http://proxy.example.com:3128
  minitls connect unix:/run/app.sock --sni app.example.com
  minitls connect example.com --require pq         exit with 1 if a quantum computer could read it one day
  minitls connect example.com --resume             come back at once, and see what that saves
  minitls connect example.com --resume --early-data request.txt
  printf 'HEAD / HTTP/1.0\\r\\n\\r\\n' | minitls connect -i example.com
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "connect", description="Shake hands with a server and say what came of it, and why it is trusted.", epilog=EXAMPLES
    )
    parser.add_argument("target", metavar="HOST[:PORT]", help="a name or an address ([::1]:8443); the port is 443 by default")
    parser.add_argument("-i", "--interactive", action="store_true", help="send stdin, print what comes to stdout")
    parser.add_argument("--summary", action="store_true", help="only the summary, without the story of the handshake")
    add_starttls_option(parser)
    returning = parser.add_argument_group("coming back")
    returning.add_argument("--resume", action="store_true", help="connect twice, the second time with the session of the first")
    returning.add_argument(
        "--early-data",
        metavar="FILE",
        help="send this with the hello (0-RTT), and later where that cannot be; whoever records it can send it again",
    )
    add_client_options(parser)
    add_connection_options(parser)
    add_output_options(parser)
    add_policy_options(parser)


def run(args: argparse.Namespace) -> int:
    if args.interactive and args.json:
        raise CommandError(USAGE, "--json and -i both want stdout")
    check_outputs(args)
    return asyncio.run(connect(args))


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection and what came of it.  ``cost``: of its handshake, None where there was none; ``failure``: what ended it."""

    session: Session
    cost: Cost | None
    early_data: EarlyData | None
    failure: Exception | None

    @property
    def run(self) -> Run:
        from minitls.trace.run import Run

        target = {"host": self.session.target.host, "port": self.session.target.port}
        return Run.of(self.session.recording, self.session.info, target=target, error=self.failure)


async def connect(args: argparse.Namespace) -> int:
    """Connect, report, and talk if asked to; once more before that, if there is to be a session."""
    from minitls.cli.reach import target
    from minitls.cli.screen import screen_for
    from minitls.cli.sessions import kept_sessions, read_early_data, save

    to = target(args.target, STARTTLS.get(args.starttls, HTTPS))
    screen = screen_for(sys.stderr if args.interactive else sys.stdout)
    early_data = read_early_data(args)
    kept = kept_sessions(args)
    first = await visit(args, to, screen, kept, report=False) if args.resume else None
    if first is None or first.failure is None:
        last = await visit(args, to, screen, kept, early_data=early_data, first=first)
    else:
        last, first = first, None
    write_outputs(args, [each.run for each in (first, last) if each is not None])
    if args.json:
        _print_json(last, first)
    elif last.failure is not None:
        _show_refused(screen, last.failure)
    elif not (args.trace or args.summary or args.interactive):
        _tell(screen, last.session)
    if args.save_session and (last.failure is None or kept.newest is not None):
        save(args.save_session, kept)
    if last.failure is not None:
        raise last.failure
    assert last.session.info is not None
    check_requirements(args.require, last.session.info)
    return DONE


async def visit(
    args: argparse.Namespace,
    to: Target,
    screen: Screen,
    kept: KeptSessions,
    *,
    early_data: bytes = b"",
    first: Visit | None = None,
    report: bool = True,
) -> Visit:
    """One connection.  ``first``: one to compare it with; ``report``: say what came of it, and talk."""
    from minitls.certificates.trust import TrustStore
    from minitls.cli.net import Session, dial
    from minitls.cli.reach import route, server_name
    from minitls.cli.sessions import AT_ONCE, Cost, early_data_outcome
    from minitls.trace.verdict import times

    session = Session(to, recording_for(args, "client", None if args.json else screen), route(args))
    if session.recording.also is not None and args.resume:
        screen.text("the second connection" if report else "the first connection")
    alpn = ("h2", "http/1.1") if to.port == HTTPS and not (args.interactive or args.starttls) else ()
    config = client_config(args, session.recording, kept, alpn=alpn, also_log=key_logs(session.recording), staples=True)
    if args.resume and not args.insecure:
        _ = (config.trust or TrustStore.system()).anchors  # read before the clock runs: no server saves us that
    cost, early, failure = None, None, None
    try:
        async with dial(session, config, server_name(args, to), args.timeout, early_data=early_data):
            assert session.info is not None
            cost = Cost.of(session.recording, session.info)
            if early_data:
                early = early_data_outcome(len(early_data), session.info, kept.taken)
            if report and not args.interactive:
                await kept.wait(AT_ONCE)
            if report and not args.json:
                summarise(screen, session, session.info, config, brief=args.interactive)
                returned(screen, session.info, kept, Visit(session, cost, early, None), first)
            if report and args.interactive:
                await _talk(session)
            if args.save_session or not report:
                await kept.wait()
            if not (report and args.interactive):
                await _part(session)
                if report and not args.json:
                    screen.facts(times(session.recording, session.info.timing.handshake))  # tickets have come until now
    except Exception as error:
        failure = error
    return Visit(session, cost, early, failure)


def summarise(screen: Screen, session: Session, info: ConnectionInfo, config: ClientConfig, *, brief: bool) -> None:
    """The verdict first, then (unless ``brief``) what was agreed and the chain."""
    from minitls.cli.sessions import resumed

    tone, text = _verdict(info, config)
    screen.verdict(tone, f"{text}; {resumed(info, config.clock())}" if info.resumed else text)
    if not brief:
        screen.facts([("server", _where(session)), *agreed(info, config), *_chain(info)])


def _verdict(info: ConnectionInfo, config: ClientConfig) -> tuple[Tone, str]:
    from minitls.trace.cards import cards
    from minitls.trace.values import identity_name

    path = cards(info.verified_chain)
    if path:
        return "good", f"verified: this is {info.server_name}, vouched for by {path[-1].title}"
    if has_psk(info):
        name = f", {identity_name(info.psk_identity)}" if info.psk_identity is not None else ""
        return "good", f"verified: the server has the key that we share{name}"
    return "warn", f"NOT verified, as --insecure asks: {_why_not(info, config)}"


def has_psk(info: ConnectionInfo) -> bool:
    """Whether both sides trust each other for a key that they share, and no certificate was needed."""
    return info.psk_identity is not None or "_PSK_" in (info.cipher_suite or "")


def returned(screen: Screen, info: ConnectionInfo, kept: KeptSessions, this: Visit, first: Visit | None) -> None:
    """What became of the session and of early data, and what they have saved."""
    from minitls.cli.sessions import savings, why_not_resumed

    if not info.resumed and (first is not None or kept.taken is not None):
        screen.verdict("warn", f"NOT resumed: {why_not_resumed(info, kept.taken)}")
    if this.early_data is not None:
        accepted = this.early_data.outcome == "accepted"
        screen.verdict("good" if accepted else "warn", f"early data {this.early_data}")
    if info.resumed and first is not None and first.cost is not None and this.cost is not None:
        screen.facts(savings(first.cost, this.cost))


def _where(session: Session) -> str:
    from minitls.trace.recording import TcpOpened

    opened = session.recording.first(TcpOpened)
    parts = [str(session.target)]
    if session.route.proxy is not None or session.route.starttls is not None:
        parts.append(str(session.route))
    elif opened is not None and opened.peer != parts[0]:
        parts.append(f"at {opened.peer}")
    return " ".join(parts)


def _why_not(info: ConnectionInfo, config: ClientConfig) -> str:
    """What the verification that was turned off would have said."""
    from minitls.certificates.trust import TrustStore
    from minitls.errors import CertificateError
    from minitls.trace.values import safe

    try:
        (config.trust or TrustStore.system()).verify(info.peer_chain, info.server_name)
    except CertificateError as error:
        return safe(str(error))
    return "it would have been found good"


def agreed(info: ConnectionInfo, config: ClientConfig) -> list[Fact]:
    """What the two sides came to."""
    from minitls.trace.values import safe

    quantum = "post-quantum" if is_post_quantum(info) else "not post-quantum"
    retry = ", after a HelloRetryRequest" if info.hello_retry else ""
    since = ", when the session began" if info.resumed else ""
    facts = [
        ("version", info.version or ""),
        ("cipher suite", info.cipher_suite or ""),
        ("key exchange", f"{info.group or 'none of its own'} ({quantum}{retry})" + (since if info.version == "TLSv1.2" else "")),
        ("signature", (info.signature_scheme or "none") + since),
    ]
    if config.alpn:
        facts.append(("ALPN", safe(info.alpn_protocol) if info.alpn_protocol else f"none of {', '.join(map(safe, config.alpn))}"))
    facts.append(("ECH", hidden_name(info)))
    if info.client_signature_scheme:
        facts.append(("we showed", f"our certificate ({info.client_signature_scheme})"))
    if info.beside is not None:
        facts += [("OCSP", _staple(info.beside.staple)), ("SCTs", _timestamps(info.beside.timestamps))]
    return facts


def hidden_name(info: ConnectionInfo) -> str:
    """Who on the way could read whom we asked for (RFC 9849)."""
    from minitls.certificates.names import is_address

    if info.ech_accepted:
        return "accepted: nobody on the way could read the name"
    if info.server_name is None or is_address(info.server_name):
        return "none; no name was sent that it would hide"
    return f"none: {info.server_name} went in the clear"


_PLACES = {"certificate": "in the certificate", "tls": "beside the certificate", "ocsp": "in the OCSP response"}


def _staple(staple: Staple | None) -> str:
    if staple is None:
        return "none stapled, and none promised"
    until = "" if staple.until is None else f", good until {staple.until:%Y-%m-%d %H:%M} UTC"
    return f"stapled: not revoked{until}"


def _timestamps(timestamps: Sequence[Timestamp]) -> str:
    """How many logs have seen the certificate, by what it and the server say; nobody here has the logs' keys."""
    if not timestamps:
        return "none"
    ways = Counter(stamp.source for stamp in timestamps)
    return ", ".join(f"{number} {_PLACES[source]}" for source, number in ways.items())


def is_post_quantum(info: ConnectionInfo) -> bool:
    from minitls.crypto.groups import GROUPS

    return any(group.post_quantum for group in GROUPS.values() if group.name == info.group)


def _chain(info: ConnectionInfo) -> list[Fact]:
    import time

    from minitls.trace.cards import cards

    now = time.time()
    chain = cards(info.verified_chain or info.peer_chain)
    facts = [("chain" if not n else "", f"{card.title}, key {card.key}, {card.validity(now)}") for n, card in enumerate(chain)]
    if info.verified_chain and len(chain) > 1:
        facts[-1] = ("", f"{facts[-1][1]}: in the trust store")
    return facts


def check_requirements(required: tuple[str, ...], info: ConnectionInfo) -> None:
    """Raises CommandError for what --require asks and this connection has not."""
    missing = {
        "verified": (bool(info.verified_chain) or has_psk(info), "the certificate was not verified"),
        "pq": (is_post_quantum(info), f"the key exchange is {info.group or 'none of its own'}, which is not post-quantum"),
        "alpn": (info.alpn_protocol is not None, "no application protocol was agreed"),
        "ech": (info.ech_accepted, hidden_name(info)),
        "resumed": (info.resumed, "no session was resumed"),
        "early-data": (info.early_data_accepted, "no early data was accepted"),
    }
    problems = [f"--require {name}: {problem}" for name in required for met, problem in (missing[name],) if not met]
    if problems:
        raise CommandError(NOT_MET, "; ".join(problems))


async def _part(session: Session) -> None:
    """Say goodbye, and let the server do so too; what it does not say is no fault here."""
    import contextlib

    assert session.writer is not None
    assert session.reader is not None
    session.writer.write_eof()
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(FAREWELL):
            while await session.reader.read(2**16):
                pass
            await session.ended(FAREWELL)


async def _talk(session: Session) -> None:
    """stdin to the server, the server to stdout, until the server ends it.  The end of stdin becomes a close_notify."""
    from minitls.cli.stdin import read_stdin
    from minitls.cli.stdout import put

    assert session.writer is not None
    assert session.reader is not None
    writer = session.writer

    async def send() -> None:
        async for data in read_stdin():
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    try:
        while data := await session.reader.read(2**16):
            put(data)
    finally:
        sending.cancel()
        await asyncio.wait((sending,))
    if not sending.cancelled() and (problem := sending.exception()) is not None:
        raise problem


def _print_json(last: Visit, first: Visit | None) -> None:
    """The document of the connection; with --resume that of the one before it as its ``first``."""
    from minitls.trace.json import document_of, dump

    def told(visit: Visit) -> dict[str, Any]:
        early, found = visit.early_data, document_of(visit.run)
        cost = None if visit.cost is None else {"bytes_sent": visit.cost.sent, "bytes_received": visit.cost.received}
        return found | {"handshake": cost, "early_data": None if early is None else dataclasses.asdict(early)}

    print(dump(told(last) | {"first": None if first is None else told(first)}))


def _show_refused(screen: Screen, failure: Exception) -> None:
    """The chain that did not convince; the sentence itself goes to stderr."""
    import time

    from minitls.errors import CertificateError
    from minitls.trace.cards import cards

    if not isinstance(failure, CertificateError):
        return
    now = time.time()
    screen.verdict("bad", "not verified, and so not connected; the server sent:")
    screen.facts(
        [
            ("chain" if not n else "", f"{card.title}, key {card.key}, {card.validity(now)}, issued by {card.issuer_title}")
            for n, card in enumerate(cards(failure.chain))
        ]
    )


def _tell(screen: Screen, session: Session) -> None:
    from minitls.trace.story import tell

    screen.text()
    for number, step in enumerate(tell(session.recording), 1):
        screen.step(number, step)
