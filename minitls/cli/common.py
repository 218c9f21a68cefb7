"""What all commands share: the exit statuses, the options that become a configuration, and errors in one sentence."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from minitls.errors import Misuse

if TYPE_CHECKING:
    from minitls.certificates.credentials import Credential
    from minitls.certificates.store import CredentialStore
    from minitls.certificates.trust import TrustStore
    from minitls.config import ClientConfig
    from minitls.observe import KeyLog, Observer
    from minitls.policy import Policy
    from minitls.sessions.store import SessionStore

DONE = 0
NOT_MET = 1
USAGE = 2
NOT_RESOLVED = 6
NOT_CONNECTED = 7
TIMEOUT = 28
RANGE = 33
TLS = 35
REDIRECTS = 47
CERTIFICATE = 60
INTERRUPTED = 130
PIPE_CLOSED = 141
"""Exit statuses, curl's numbers where curl has one, and 128 + the signal where a shell would say so."""

FORMS = ("messages", "wire", "keys")
TRACE = "--trace=messages"

DEFAULT_TIMEOUT = 30.0
HTTPS = 443
STARTTLS = {"smtp": 25, "imap": 143, "pop3": 110, "ftp": 21, "ldap": 389, "xmpp": 5222, "postgres": 5432, "mysql": 3306}
"""The protocols that can go on in TLS, and their ports."""
POLICIES = ("intermediate", "modern", "legacy", "fips_202205", "wpa3_192", "cnsa_202407", "cnsa1", "cnsa2")
"""minitls.policy's, which is not imported for a --help."""
REQUIREMENTS = ("verified", "pq", "alpn", "ech", "resumed", "early-data")


class CommandError(Exception):
    """The command cannot go on.  ``status``: the exit status; ``hint``: a second line, such as what to do about it."""

    def __init__(self, status: int, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.hint = hint


class Subcommands(argparse._SubParsersAction):  # type: ignore[type-arg]  # only type checkers know it as generic
    """argparse's; each command is listed with its description, and so known to shells and to man."""

    def add_parser(self, name: str, **kw: Any) -> Any:
        return super().add_parser(name, help=kw["description"], **kw)


class Parser(argparse.ArgumentParser):
    """argparse's, with a guess at what was meant, and examples that keep their lines."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        kw.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kw.setdefault("allow_abbrev", False)
        super().__init__(*args, **kw)
        self.register("action", "parsers", Subcommands)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """``--trace`` may be followed by what is no form of it: only ``--trace=wire`` says which."""
        return super().parse_known_args([TRACE if each == "--trace" else each for each in args], namespace)

    def error(self, message: str) -> NoReturn:
        raise CommandError(USAGE, message, self._guess(message) or f"see {self.prog} --help")

    def _guess(self, message: str) -> str:
        if message.startswith("unrecognized arguments: "):
            wrong = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
            return did_you_mean(wrong, list(_options(self)))
        if choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            return did_you_mean(choice[1], re.split(r"[ ,']+", choice[2]))
        return ""


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """All options of a parser and of those below it."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _options(below)


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """``did you mean --trace?``, or "" where nothing is near."""
    near = difflib.get_close_matches(wrong, list(known), 1)
    return f"did you mean {near[0]}?" if near else ""


# options ----------------------------------------------------------------------------------------------------------------


class PrintSchema(argparse.Action):
    """``--json-schema``, like ``--help``."""

    def __call__(self, *_: Any) -> NoReturn:
        from minitls.trace.json import schema

        print(schema(), end="")
        raise SystemExit(DONE)


def add_form_options(parser: argparse.ArgumentParser, *, each: bool = False) -> argparse._ArgumentGroup:
    """How a run is shown.  ``each``: there are many, and each gets a file of its own."""
    more = "; FILE is numbered for each connection: run.{0} becomes run-1.{0}, run-2.{0}, or write %%d where the number goes"
    group = parser.add_argument_group("what is shown")
    group.add_argument(
        "--trace",
        metavar="FORM",
        choices=FORMS,
        help="--trace: the handshake message by message, as the RFC draws it; --trace=wire: with every field and its bytes; "
        "--trace=keys: the key schedule as it unfolds",
    )
    group.add_argument(
        "--html", metavar="FILE", help=f"a page of its own: messages, fields, bytes, keys{more.format('html') if each else ''}"
    )
    group.add_argument(
        "--pcapng",
        metavar="FILE",
        help="a capture that Wireshark opens decrypted; IT HOLDS THE SECRETS (only you may read it)"
        + (more.format("pcapng") if each else ""),
    )
    group.add_argument("--json", action="store_true", help='everything, for programs (schema "minitls/1")')
    group.add_argument("--json-schema", action=PrintSchema, nargs=0, help="print that schema, and do nothing else")
    group.add_argument(
        "--secrets", action="store_true", help="SHOW SECRETS in --trace=keys and --html, and keep them in --save-run"
    )
    return group


def add_output_options(parser: argparse.ArgumentParser, *, each: bool = False) -> None:
    group = add_form_options(parser, each=each)
    group.add_argument("--save-run", metavar="FILE", help=f"keep the run for `minitls show`{'; numbered, too' if each else ''}")
    group.add_argument("--key-log", metavar="FILE", help="append the secrets for Wireshark; also: SSLKEYLOGFILE=FILE")


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what may be spoken", "Names are IANA's, in any case, best first, with commas between them.")
    which = f"where to start from: {', '.join(POLICIES)}"
    group.add_argument("--policy", choices=POLICIES, default=POLICIES[0], metavar="NAME", help=which)
    group.add_argument("--tls", metavar="VERSIONS", type=words, help="versions: 1.3, 1.2")
    group.add_argument("--groups", metavar="NAMES", type=words, help="key exchanges: X25519MLKEM768,x25519,secp256r1")
    group.add_argument("--ciphers", metavar="NAMES", type=words, help="cipher suites: TLS_AES_128_GCM_SHA256")
    group.add_argument("--sigalgs", metavar="NAMES", type=words, help="signature schemes: ecdsa_secp256r1_sha256,ed25519")


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """For commands that have an end of a connection of their own, with certificates and ALPN."""
    group = parser.add_argument_group("the connection")
    group.add_argument("--alpn", metavar="NAMES", type=words, help="application protocols, best first: h2,http/1.1")
    group.add_argument("--cert", metavar="FILE", action="append", default=[], help="our certificate chain in PEM, leaf first")
    group.add_argument("--key", metavar="FILE", action="append", default=[], help="its private key; without: in the same file")
    group.add_argument("--timeout", metavar="SECONDS", type=seconds, default=DEFAULT_TIMEOUT, help="give up after (%(default)g)")


def add_client_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the server")
    group.add_argument("--ca", metavar="FILE", action="append", default=[], help="trust these certificates, and not the system's")
    group.add_argument("--sni", metavar="NAME", help="ask for, and verify, this name instead of HOST")
    group.add_argument("--insecure", action="store_true", help="go on with a certificate that does not convince")
    group.add_argument(
        "--require",
        metavar="WHAT",
        type=requirements,
        default=(),
        help="exit with 1 unless: pq (post-quantum key exchange), alpn (a protocol was agreed), "
        "ech (nobody on the way could read the name), verified, resumed, early-data",
    )
    add_proxy_option(group)
    group.add_argument("--psk", metavar="IDENTITY:HEX", type=shared_key, help="a key that the server has, too; of SHA-256")
    group.add_argument("--session", metavar="FILE", help="offer the session in FILE, which is good for one connection")
    group.add_argument("--save-session", metavar="FILE", help="keep the session that the server gives; it holds secrets")


def add_proxy_option(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--proxy", metavar="URL", help="go through this HTTP proxy: http[s]://[USER:PASSWORD@]HOST[:PORT]")


def add_starttls_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--starttls",
        metavar="PROTO",
        choices=STARTTLS,
        help=f"ask for TLS in the clear first, as mail servers and databases want it: {', '.join(STARTTLS)}",
    )


def words(text: str) -> tuple[str, ...]:
    """A list on the command line, with commas or (as OpenSSL has it) colons; a slash in it is ALPN's."""
    found = tuple(filter(None, re.split(r"[,:\s]+", text)))
    if not found:
        raise argparse.ArgumentTypeError("no names in it")
    return found


def shared_key(text: str) -> tuple[bytes, bytes]:
    """IDENTITY:HEX as identity and key; the identity may have colons.  Raises CommandError, which does not repeat the key."""
    identity, colon, digits = text.rpartition(":")
    hint = "such as --psk sensor-7:000102030405060708090a0b0c0d0e0f"
    if not colon or not 1 <= len(os.fsencode(identity)) < 2**16:
        raise CommandError(USAGE, "--psk wants IDENTITY:HEX", hint)
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if not key:
        raise CommandError(USAGE, f"the key of --psk {identity!r} is not in hex, two digits for each byte", hint)
    return os.fsencode(identity), key


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def requirements(text: str) -> tuple[str, ...]:
    found = words(text)
    for name in found:
        if name not in REQUIREMENTS:
            guess = did_you_mean(name, REQUIREMENTS) or f"one of {', '.join(REQUIREMENTS)}"
            raise argparse.ArgumentTypeError(f"unknown requirement {name!r}: {guess}")
    return found


# configurations ---------------------------------------------------------------------------------------------------------


def policy(args: argparse.Namespace) -> Policy:
    """The policy that the options ask for.  Raises Misuse, with a guess at what was meant."""
    from minitls.policy import Policy

    chosen: Policy = getattr(Policy, args.policy)
    asked = {
        "versions": args.tls,
        "groups": args.groups,
        "cipher_suites": args.ciphers,
        "signature_schemes": args.sigalgs,
    }
    changes = {name: tuple(map(_code_or_name, given)) for name, given in asked.items() if given}
    return chosen.replace(**changes) if changes else chosen


def _code_or_name(text: str) -> str | int:
    """``0x11ec`` is a code point."""
    return int(text, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,4}", text) else text


def pairs(args: argparse.Namespace) -> list[tuple[str, str | None]]:
    """What --cert and --key name.  Raises CommandError."""
    if args.key and len(args.key) != len(args.cert):
        raise CommandError(
            USAGE, f"{len(args.cert)} --cert but {len(args.key)} --key: each certificate has its key, in the same order"
        )
    return list(zip(args.cert, args.key or [None] * len(args.cert), strict=True))


def credentials(args: argparse.Namespace) -> tuple[Credential, ...]:
    """What --cert and --key name, as they are now.  Raises Misuse and CommandError."""
    from minitls.certificates.credentials import Credential

    return tuple(reading(cert, partial(Credential.from_files, cert, key)) for cert, key in pairs(args))


def watched(args: argparse.Namespace) -> CredentialStore | None:
    """The same for a server that goes on when they are replaced; None where there are none.  Raises Misuse and CommandError."""
    from minitls.certificates.store import CredentialStore

    return reading(args.cert[0], partial(CredentialStore.watch, *pairs(args))) if args.cert else None


def trust(files: Sequence[str]) -> TrustStore | None:
    """The certificates in these files; None, for the system's, where there are none."""
    from minitls.certificates.trust import TrustStore

    return reading(files[0], partial(TrustStore.from_files, *files)) if files else None


def reading(path: str, read: Callable[[], Any]) -> Any:
    """What ``read`` gives; a file that cannot be read in one sentence."""
    try:
        return read()
    except OSError as error:
        if isinstance(error, Misuse):
            raise
        raise CommandError(USAGE, f"cannot read {error.filename or path}: {lower(error.strerror)}") from None


def lower(sentence: str | None) -> str:
    """``Connection refused`` in the middle of a sentence."""
    return (sentence[:1].lower() + sentence[1:]) if sentence else "unknown error"


def key_log(args: argparse.Namespace, *also: KeyLog) -> KeyLog | None:
    """Where secrets go: --key-log, else SSLKEYLOGFILE, and ``also``.  Raises CommandError where the file cannot be written."""
    from minitls.observe import key_log_to

    path = args.key_log or os.environ.get("SSLKEYLOGFILE")
    logs = list(also)
    if path:
        try:
            with Path(path).open("a"):
                pass
        except OSError as error:
            raise CommandError(USAGE, f"cannot write the key log {path}: {lower(error.strerror)}") from None
        logs.append(key_log_to(path))
    if not logs:
        return None

    def write(line: str) -> None:
        for log in logs:
            log(line)

    return write


def client_config(
    args: argparse.Namespace,
    observer: Observer,
    sessions: SessionStore,
    *,
    alpn: tuple[str, ...] = (),
    also_log: Sequence[KeyLog] = (),
    staples: bool = False,
) -> ClientConfig:
    """The configuration of connect and get.  ``alpn``: what is offered unless --alpn says otherwise; ``staples``: ask for them."""
    from minitls.config import ClientConfig, Danger
    from minitls.crypto.psk import ExternalPsk

    shown = credentials(args)
    if len(shown) > 1:
        raise CommandError(USAGE, "a client shows one certificate: give --cert once")
    psk = ExternalPsk(*args.psk) if args.psk else None
    return ClientConfig(
        policy=policy(args),
        alpn=args.alpn or alpn,
        trust=trust(args.ca),
        verify=Danger.accept_any_certificate if args.insecure else None,
        credential=shown[0] if shown else None,
        psk=None if psk is None else lambda hint: psk,
        session_store=sessions,
        request_staples=staples,
        key_log=key_log(args, *also_log),
        observer=observer,
        handshake_timeout=args.timeout,
    )
