"""``minitls explain``: what a number or a name means."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from minitls.cli.common import DONE, USAGE, CommandError, did_you_mean
from minitls.cli.dictionary import KINDS, Entry, Kind, by_code, by_name, names
from minitls.wire.numbers import is_grease

EXAMPLES = """\
examples:
  minitls explain 0x11ec
  minitls explain alert 47
  minitls explain X25519MLKEM768
  minitls explain ECDHE-RSA-AES128-GCM-SHA256     OpenSSL's names are known, too
  minitls explain 22                              all that 22 can be
"""

LABELS: dict[Kind, str] = {
    "alert": "alert",
    "suite": "cipher suite",
    "group": "group of the key exchange",
    "scheme": "signature scheme",
    "extension": "extension",
    "message": "handshake message",
    "version": "version",
    "record": "type of record",
}
NUMBER = re.compile(r"0x[0-9a-fA-F]{1,4}(?:,0x[0-9a-fA-F]{1,2})?|[0-9]{1,5}")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "explain", description="Look up alerts, cipher suites, groups, signature schemes, extensions, messages.", epilog=EXAMPLES
    )
    parser.add_argument("what", metavar="WHAT", nargs="+", help=f"a number or a name; before it, if you like: {', '.join(LABELS)}")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    kind, what = split(args.what)
    found = look_up(kind, what)
    if not found:
        guess = did_you_mean(what, tuple(dict.fromkeys(names())))
        raise CommandError(USAGE, f"no {LABELS[kind] if kind else 'entry'} {what!r} in the dictionary", guess)
    if args.json:
        from minitls.trace.json import SCHEMA, dump

        print(dump({"schema": SCHEMA, "entries": [as_json(entry) for entry in found]}))
        return DONE
    from minitls.cli.screen import screen_for

    screen = screen_for(sys.stdout)
    for entry in found:
        facts = [("", entry.text), ("defined in", entry.source)]
        facts += [("status", entry.status)] if entry.status else []
        facts += [("also", ", ".join(entry.also))] if entry.also else []
        screen.entry(entry.name, f"{LABELS[entry.kind]} {number(entry)}", [*facts, ("minitls", support(entry))])
    return DONE


def split(what: list[str]) -> tuple[Kind | None, str]:
    """``alert 47``, ``cipher suite 0x1301``: the kind, if there is one, and the rest."""
    kind: Kind | None = None
    while len(what) > 1 and what[0].lower() in KINDS:
        kind, what = kind or KINDS[what[0].lower()], what[1:]
    return kind, " ".join(what)


def look_up(kind: Kind | None, what: str) -> list[Entry]:
    """By number, ``0x13,0x01`` as OpenSSL writes it included, or by name."""
    if not NUMBER.fullmatch(what):
        return by_name(what, kind)
    high, _, low = what.partition(",")
    code = int(high, 0) << 8 | int(low, 0) if low else int(high, 16 if high.startswith("0x") else 10)
    found = by_code(code, kind)
    if is_grease(code):
        text = "A value that means nothing, sent so that servers stay used to what they do not know."
        found.append(
            Entry("extension", code, "GREASE", text, "RFC 8701", "also as a suite, a group, a version and a signature scheme")
        )
    return found


def number(entry: Entry) -> str:
    """As it is usually written: alerts, messages and most extensions in decimal."""
    return str(entry.code) if entry.code < 256 and entry.kind not in ("suite", "group") else f"0x{entry.code:04x}"


def as_json(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "code": entry.code,
        "name": entry.name,
        "text": entry.text,
        "source": entry.source,
        "status": entry.status or None,
        "also": list(entry.also),
        "minitls": support(entry),
    }


def support(entry: Entry) -> str:
    """Whether minitls has it."""
    if entry.name == "GREASE":
        return "sends it as a client, and ignores it everywhere"
    answer: str = _SUPPORT[entry.kind](entry.code)
    return answer


def _offered(attribute: str, table: str, option: str) -> Any:
    def answer(code: int) -> str:
        from minitls.crypto.groups import GROUPS
        from minitls.crypto.signatures import SCHEMES
        from minitls.crypto.suites import SUITES
        from minitls.crypto.suites12 import SUITES_12
        from minitls.policy import Policy

        if code in getattr(Policy.intermediate, attribute):
            return "has it, on by default"
        if attribute == "signature_schemes" and code in (Policy.intermediate.certificate_signature_schemes or ()):
            return "has it, in certificates and in TLS 1.2"
        tables: dict[str, Any] = {"groups": GROUPS, "schemes": SCHEMES, "suites": SUITES}
        if attribute == "cipher_suites" and code in SUITES_12:
            return "has it, for old peers: --policy legacy"
        return f"has it, off by default: {option}" if code in tables[table] else "does not have it"

    return answer


def _extension(code: int) -> str:
    from minitls.wire.extensions import EXTENSIONS
    from minitls.wire.numbers import ExtensionType as X

    used = {
        X.server_name,
        X.supported_groups,
        X.signature_algorithms,
        X.application_layer_protocol_negotiation,
        X.supported_versions,
        X.cookie,
        X.certificate_authorities,
        X.signature_algorithms_cert,
        X.key_share,
        X.status_request,
        X.signed_certificate_timestamp,
        X.max_fragment_length,
        X.record_size_limit,
        X.ec_point_formats,
        X.extended_master_secret,
        X.encrypt_then_mac,
        X.session_ticket,
        X.renegotiation_info,
        X.psk_key_exchange_modes,
        X.pre_shared_key,
        X.early_data,
        X.ticket_request,
    }
    if code in used:
        return "has it"
    return "reads it, and does not act on it" if code in EXTENSIONS else "passes it over"


def _message(code: int) -> str:
    from minitls.wire.messages import MESSAGES
    from minitls.wire.messages12 import MESSAGES_12
    from minitls.wire.numbers import HandshakeType

    return "has it" if code in MESSAGES or code in MESSAGES_12 or code == HandshakeType.message_hash else "does not have it"


def _alert(code: int) -> str:
    from minitls.errors import Alert

    return "knows it" if code in Alert.__members__.values() else "takes it as the end of the connection, like every alert"


def _version(code: int) -> str:
    from minitls.policy import Policy

    return "speaks it" if code in Policy.intermediate.versions else "does not speak it"


def _record(code: int) -> str:
    from minitls.wire.numbers import ContentType

    return "has it" if code in ContentType.__members__.values() else "does not have it"


_SUPPORT: dict[Kind, Any] = {
    "alert": _alert,
    "suite": _offered("cipher_suites", "suites", "--ciphers"),
    "group": _offered("groups", "groups", "--groups"),
    "scheme": _offered("signature_schemes", "schemes", "--sigalgs"),
    "extension": _extension,
    "message": _message,
    "version": _version,
    "record": _record,
}
