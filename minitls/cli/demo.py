"""``minitls demo``: a CA, a server and a client on this machine, over real TCP, and what passes between them, explained.

No network, no file: the certificates are made for the occasion.  What is shown is what happened.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minitls.cli.common import DONE, USAGE, CommandError, add_output_options, add_policy_options, key_log, policy
from minitls.cli.outputs import check_outputs, recording_for, show_trace, write_outputs

if TYPE_CHECKING:
    from minitls.cli.reach import Target
    from minitls.cli.screen import Screen
    from minitls.cli.sessions import Cost
    from minitls.config import ClientConfig
    from minitls.info import ConnectionInfo
    from minitls.policy import Policy
    from minitls.trace.recording import Recording

SITE = "shop.example"
"""A name under .example is nobody's (RFC 2606)."""
PROTOCOL = "http/1.1"
REQUEST = b"GET /secret-wishes HTTP/1.1\r\nHost: shop.example\r\nCookie: session=4711\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\nHello! Nobody but you and me can read it.\n"
TIMEOUT = 20.0
EARLY_DATA = 2**14

KEYS = {
    "ecdsa_secp384r1_sha384": "p384",
    "ecdsa_secp521r1_sha512": "p521",
    "ed25519": "ed25519",
    "ed448": "ed448",
    "rsa_pss_rsae_sha256": "rsa2048",
    "rsa_pss_rsae_sha384": "rsa2048",
    "rsa_pss_rsae_sha512": "rsa2048",
    "mldsa44": "mldsa44",
    "mldsa65": "mldsa65",
    "mldsa87": "mldsa87",
}
"""Which key the demo's certificates have, by the first of --sigalgs; P-256 otherwise."""

EXAMPLES = """\
examples:
  minitls demo                             the story, step by step
  minitls demo --trace                     the same as the RFC draws it
  minitls demo --html run.html             and as a page, down to the single byte
  minitls demo --groups x25519             without post-quantum cryptography
  minitls demo --sigalgs mldsa65           with post-quantum certificates, too
  minitls demo --resume                    the same two once more: a ticket instead of certificates
  minitls demo --early-data                and the request goes out together with the hello
  minitls demo --tls 1.2                   the handshake of 2008: ECDHE, and a certificate that all can see
  minitls demo --tls 1.2 --policy legacy --kex rsa
                                           the textbooks' own: the premaster secret under the server's public key
  minitls demo --key-log keys.txt          and record it with Wireshark on the loopback interface
"""


def add_parser(subparsers: Any) -> None:
    about = "A CA, a server and a client on this machine, over real TCP, and what passes between them, explained step by step."
    parser = subparsers.add_parser("demo", description=about, epilog=EXAMPLES)
    add_output_options(parser)
    add_policy_options(parser)
    parser.add_argument(
        "--kex",
        type=str.lower,
        choices=("ecdhe", "dhe", "rsa", "psk"),
        help="TLS 1.2's key exchange: where its premaster secret comes from (all but ecdhe: with --policy legacy)",
    )
    parser.add_argument("--resume", action="store_true", help="let the client come back, and tell its second visit")
    parser.add_argument("--early-data", action="store_true", help="the same, and what it asks goes with its hello (0-RTT)")


def run(args: argparse.Namespace) -> int:
    from minitls.trace.recording import Recording
    from minitls.trace.run import Run

    check_outputs(args)
    client, server = recording_for(args, "client"), Recording("server")
    played = asyncio.run(play(args, client, server))
    write_outputs(args, [Run.of(client, played.infos[0], target={"host": SITE})], other=server)
    if args.json:
        from minitls.trace.json import SCHEMA, document, dump

        sides = {seen.role: document(seen, info) for seen, info in zip((client, server), played.infos, strict=True)}
        print(dump({"schema": SCHEMA, **sides}))
        return DONE
    from minitls.cli.screen import screen_for

    screen = screen_for(sys.stdout)
    if args.trace:
        show_trace(args, client, screen)
    else:
        show(screen, client, server, played)
    return DONE


@dataclass(frozen=True, slots=True)
class Played:
    """What client and server came to, in this order, and what each visit's handshake took."""

    infos: tuple[ConnectionInfo, ConnectionInfo]
    costs: tuple[Cost, ...]


def with_key_exchange(chosen: Policy, kind: str) -> Policy:
    """The policy with nothing but TLS 1.2's suites of one key exchange.  Raises Misuse where it has none."""
    from minitls.crypto.suites12 import SUITES_12
    from minitls.errors import Misuse

    suites = tuple(code for code in chosen.cipher_suites if code in SUITES_12 and SUITES_12[int(code)].key_exchange == kind)
    if not suites:
        raise Misuse(f"this policy has no suite with {kind}: add --policy legacy")
    return chosen.replace(versions=("TLSv1.2",), cipher_suites=suites)


async def play(args: argparse.Namespace, client: Recording, server: Recording) -> Played:
    """Make the certificates, start the server, be the client; the last visit stays in the recordings.

    Raises what either of them raises.
    """
    import minitls
    from minitls.aio.streams import StreamReader
    from minitls.certificates.authority import Authority
    from minitls.cli.reach import Target
    from minitls.wire.numbers import ProtocolVersion

    chosen = policy(args)
    if args.kex is not None:
        chosen = with_key_exchange(chosen, args.kex.upper())
    returns = args.resume or args.early_data
    if args.early_data and ProtocolVersion.TLSv1_3 not in chosen.versions:
        raise CommandError(USAGE, "TLS 1.2 has no early data", "--resume shows how its clients come back")
    if returns and args.kex == "psk":
        raise CommandError(USAGE, "with a key that both had before there is nothing to resume", "leave --resume or --kex psk out")
    psk = hashlib.sha256(b"a secret that both have").digest() if args.kex == "psk" else None
    key = KEYS.get(getattr(chosen.signature_schemes[0], "name", ""), "p256")
    if args.kex in ("rsa", "dhe"):
        key = "rsa2048"
    authority = Authority.create("minitls demo CA", key=key)
    credential = authority.issue(SITE, key=key).credential()
    visits: asyncio.Queue[ConnectionInfo | BaseException] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, StreamReader)
        try:
            request = b""
            while not request.endswith(b"\r\n\r\n") and (data := await reader.read_early()):
                request += data
            server.data.append((True, request or await reader.readuntil(b"\r\n\r\n")))
            writer.write(REPLY)
            await reader.read()  # until the client's close_notify
            visits.put_nowait(writer.get_extra_info("tls"))
        except Exception as error:
            visits.put_nowait(error)
        finally:
            writer.close()

    def failed(error: BaseException, _: object) -> None:
        visits.put_nowait(error)  # the client says what went wrong

    theirs = minitls.ServerConfig(
        credentials=(credential,),
        alpn=(PROTOCOL,),
        policy=chosen,
        observer=server,
        key_log=server.note_secret,
        psk=None if psk is None else lambda identity: psk,
        early_data=EARLY_DATA if args.early_data else None,
    )
    ours = minitls.ClientConfig(
        trust=authority.trust(),
        alpn=(PROTOCOL,),
        policy=chosen,
        observer=client,
        key_log=key_log(args, client.note_secret),
        psk=None if psk is None else lambda hint: (b"the demo's client", psk),
    )
    listening = await minitls.start_server(serve, "127.0.0.1", 0, config=theirs, answer_early=True, handshake_failed=failed)
    async with listening:
        to = Target("127.0.0.1", listening.sockets[0].getsockname()[1])
        first = await visit(to, ours, client, visits)
        if not returns:
            return first
        client.forget()
        server.forget()
        second = await visit(to, ours, client, visits, early=args.early_data)
        return Played(second.infos, (*first.costs, *second.costs))


async def visit(
    to: Target,
    config: ClientConfig,
    client: Recording,
    visits: asyncio.Queue[ConnectionInfo | BaseException],
    *,
    early: bool = False,
) -> Played:
    """One connection of the client's; ``early``: its request goes with the hello.  ``visits``: what the server says of it."""
    from minitls.cli.net import Session, dial
    from minitls.cli.sessions import Cost

    session = Session(to, client)
    async with dial(session, config, SITE, TIMEOUT, early_data=REQUEST if early else b""):
        assert session.info is not None
        assert session.reader is not None
        assert session.writer is not None
        cost = Cost.of(client, session.info)
        if not early:
            session.writer.write(REQUEST)
        said_twice = early and not session.info.early_data_accepted
        client.data += [(True, REQUEST)] * (2 if said_twice else 1)
        client.data.append((False, await session.reader.readexactly(len(REPLY))))
        session.writer.write_eof()
        await session.reader.read()
        await session.ended(TIMEOUT)
    answered = await visits.get()
    if isinstance(answered, BaseException):
        raise answered
    return Played((session.info, answered), (cost,))


def show(screen: Screen, client: Recording, server: Recording, played: Played) -> None:
    """The whole story, from TCP's handshake to what somebody on the way has seen of it."""
    from minitls.cli.sessions import savings
    from minitls.trace import story12
    from minitls.trace.steps import Story, milliseconds
    from minitls.trace.story import on_the_way, tell

    steps = tell(client, other=server)
    version = "TLS 1.2" if story12.spoken(Story(client, server)) else "TLS 1.3"
    took = client.timeline[-1].at - client.started
    again = len(played.costs) > 1
    screen.banner(
        "How HTTPS works, the second time" if again else "How HTTPS works",
        f"A client and a server on this machine have just talked over {version}{' for the second time' if again else ''}, in "
        f"{milliseconds(took)}. This is what they said, "
        f"step by step; every number below is from that conversation. The server calls itself {SITE}. The client has been told to "
        "trust the “minitls demo CA”, as your computer has been told to trust some hundred others.",
    )
    for number, step in enumerate(steps, 1):
        screen.step(number, step)
    screen.text()
    if again:
        screen.facts(savings(*played.costs))
        screen.text()
    visible, hidden = on_the_way(client)
    screen.columns(("Somebody on the way has seen", visible), ("and has not seen", hidden))
    screen.text()
    screen.text("Now try: minitls connect example.com   minitls demo --trace   minitls explain X25519MLKEM768")
