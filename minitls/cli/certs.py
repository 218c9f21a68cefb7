"""``minitls certs make [NAME...]``: a development CA and its certificates; ``certs show FILE | HOST[:PORT]``: what is in them."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minitls.cli.common import (
    CERTIFICATE,
    DEFAULT_TIMEOUT,
    DONE,
    HTTPS,
    STARTTLS,
    USAGE,
    CommandError,
    add_proxy_option,
    add_starttls_option,
    lower,
    reading,
    seconds,
    trust,
)

if TYPE_CHECKING:
    from cryptography import x509

    from minitls.cli.screen import Screen
    from minitls.trace.cards import Card
    from minitls.trace.steps import Fact

FOLDER = "certs"
SUFFIXES = (".pem", ".crt", ".cer", ".cert", ".der", ".key", ".p12", ".pfx")
"""What ends so is meant as a file, also where there is none."""
NAMES_SHOWN = 50

MAKE_EXAMPLES = """\
examples:
  minitls certs make                                a CA and a certificate of each kind, in ./certs
  minitls certs make dev.example 192.0.2.7          one server certificate for both
  minitls certs make '*.dev.example' --key-type rsa2048
  minitls certs make --client alice@dev.example     for a client
"""
INSTALL_EXAMPLES = """\
examples:
  minitls certs install                             how to trust the CA in your data folder, which is made if need be
  minitls certs make --local dev.example            a certificate by it
  minitls certs install --dir certs                 the same for the CA in ./certs

Whoever has the CA's key can vouch for any site to those who trust it: it stays in that folder, for your eyes only.
"""
SHOW_EXAMPLES = """\
examples:
  minitls certs show certs/localhost-p256.pem
  minitls certs show example.com                    what the server sends, and whether it convinces
  minitls certs show chain.pem --ca certs/root.pem --sni localhost

exit status: 60 if the chain was verified (a server's always is) and did not convince
"""


def add_parser(subparsers: Any) -> None:
    from minitls.certificates.authority import KEYS, LEAF_DAYS

    parser = subparsers.add_parser("certs", description="Make a development CA and certificates, and show what is in certificates.")
    verbs = parser.add_subparsers(required=True, metavar="make | show | install")

    made = verbs.add_parser(
        "make",
        description="Make a development PKI; or a certificate for some names, by the CA of the folder, which is made if need be.",
        epilog=MAKE_EXAMPLES,
    )
    made.add_argument("names", metavar="NAME", nargs="*", help="a host name, an address, or with --client a mailbox")
    made.add_argument("--out", metavar="DIR", default=FOLDER, help="the folder (%(default)s)")
    made.add_argument("--key-type", metavar="KIND", choices=tuple(KEYS), help=f"{', '.join(KEYS)} (p256)")
    made.add_argument("--client", action="store_true", help="for a client, not for a server")
    made.add_argument("--days", metavar="N", type=int, help=f"valid for so many days ({LEAF_DAYS}, the longest that browsers take)")
    made.add_argument("--local", action="store_true", help="by the CA in your data folder, the one of certs install")
    made.set_defaults(run=make)

    shown = verbs.add_parser(
        "show", description="Show the certificates of a file, or those that a server sends.", epilog=SHOW_EXAMPLES
    )
    shown.add_argument("target", metavar="FILE | HOST[:PORT]", help="PEM or DER; or a server, on port 443 by default")
    shown.add_argument("--ca", metavar="FILE", action="append", default=[], help="verify by these certificates, not the system's")
    shown.add_argument("--sni", metavar="NAME", help="ask for, and verify, this name")
    shown.add_argument("--timeout", metavar="SECONDS", type=seconds, default=DEFAULT_TIMEOUT, help="give up after (%(default)g)")
    add_starttls_option(shown)
    add_proxy_option(shown)
    shown.set_defaults(run=show, insecure=False)

    told = verbs.add_parser(
        "install",
        description="Say how to make this system, its browsers and other programs trust the CA; nothing is done.",
        epilog=INSTALL_EXAMPLES,
    )
    told.add_argument("--dir", metavar="DIR", help="the CA of this folder (by default, the one in your data folder)")
    told.set_defaults(run=install)


def run(args: argparse.Namespace) -> int:
    status: int = args.run(args)
    return status


# make -------------------------------------------------------------------------------------------------------------------


def make(args: argparse.Namespace) -> int:
    from minitls.certificates.authority import LEAF_DAYS
    from minitls.certificates.devpki import issue_into, local_ca, make_dev_pki
    from minitls.trace.values import safe

    if args.names:
        days = LEAF_DAYS if args.days is None else args.days
        ca = local_ca() if args.local else Path(args.out)
        entry = issue_into(args.out, args.names, ca=ca, key=args.key_type or "p256", client=args.client, days=days)
        files = [(str(entry.certificate), entry.what), (str(entry.key), "its private key")]
        files.append((str(ca / "root.pem"), "the CA's root, for those who shall trust it"))
    elif args.client or args.key_type or args.days is not None or args.local:
        raise CommandError(
            USAGE, "whose certificate? --client, --key-type, --days and --local go with a NAME", "see minitls certs make --help"
        )
    else:
        pki = make_dev_pki(args.out)
        files = [(f"{entry.certificate}{', .key' if entry.key else ''}", entry.what) for entry in pki.entries.values()]
    width = max(len(file) for file, _ in files)
    for file, what in files:
        print(f"{safe(file):<{width}}  {safe(what)}")
    return DONE


# install ----------------------------------------------------------------------------------------------------------------


def install(args: argparse.Namespace) -> int:
    from minitls.certificates.devpki import authority_in, local_ca
    from minitls.cli.install import ways
    from minitls.cli.screen import screen_for
    from minitls.trace.values import safe

    folder = Path(args.dir) if args.dir else local_ca()
    if args.dir and not (folder / "root.pem").exists():
        raise CommandError(USAGE, f"there is no CA in {args.dir}", f"minitls certs make --out {args.dir} makes one")
    authority_in(folder)
    root = (folder / "root.pem").resolve()
    screen_for(sys.stdout).verdict("warn", f"who trusts {safe(str(root))} believes whatever is signed with the key beside it")
    for way in ways(root):
        print(f"\n{way.who}:")
        for command in way.commands:
            print(f"    {safe(command)}")
        if way.undo:
            print("  and no more after:", *map(safe, way.undo), sep="\n    ")
    return DONE


# show -------------------------------------------------------------------------------------------------------------------


def show(args: argparse.Namespace) -> int:
    from minitls.cli.screen import screen_for

    screen = screen_for(sys.stdout)
    path = Path(args.target)
    if path.exists() or ("://" not in args.target and ("/" in args.target or path.suffix in SUFFIXES)):
        chain = reading(args.target, lambda: certificates_in(path.read_bytes(), args.target))
        name, verified = args.sni, bool(args.ca or args.sni)
    else:
        name, chain = asyncio.run(_chain_of(args))
        verified = True
    for number, der in enumerate(chain, 1):
        _show_one(screen, number, len(chain), der)
    for remark in remarks(chain):
        screen.verdict("warn", remark)
    return _verdict(screen, chain, name, args.ca) if verified else DONE


def certificates_in(data: bytes, where: str) -> list[bytes]:
    """The certificates of a file, DER, in its order.  Raises Misuse."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from minitls.certificates.credentials import load_chain
    from minitls.certificates.faults import PARSE_ERRORS, read_der
    from minitls.errors import Misuse

    if b"-----BEGIN CERTIFICATE-----" in data:
        return [certificate.public_bytes(Encoding.DER) for certificate in load_chain(data, where)]
    if b"PRIVATE KEY-----" in data:
        raise Misuse(f"{where} holds a private key and no certificate", reason="bad_certificate")
    try:
        return [read_der(data).public_bytes(Encoding.DER)]
    except PARSE_ERRORS:
        raise Misuse(f"{where} holds no certificate, neither in PEM nor in DER", reason="bad_certificate") from None


async def _chain_of(args: argparse.Namespace) -> tuple[str, list[bytes]]:
    """The name that was asked for, and what the server of this name sends."""
    from minitls.cli.net import Session, dial
    from minitls.cli.reach import route, server_name, target
    from minitls.config import ClientConfig, Danger
    from minitls.trace.recording import Recording

    to = target(args.target, STARTTLS.get(args.starttls, HTTPS))
    name = server_name(args, to)
    assert name is not None  # nobody may do without here
    session = Session(to, Recording("client"), route(args))
    # It is verified below: what does not convince is to be shown as well.
    config = ClientConfig(verify=Danger.accept_any_certificate, handshake_timeout=args.timeout)
    async with dial(session, config, name, args.timeout):
        assert session.info is not None
        return name, list(session.info.peer_chain)


def _show_one(screen: Screen, number: int, of: int, der: bytes) -> None:
    import hashlib

    from minitls.certificates.faults import quietly
    from minitls.trace.cards import card

    screen.text(f"certificate {number} of {of}")
    with quietly():
        found = card(der)
    if found is None:
        screen.facts([("unreadable", f"{len(der):,} bytes that are no certificate"), ("SHA-256", hashlib.sha256(der).hexdigest())])
        screen.text()
        return
    names = [
        *found.names[:NAMES_SHOWN],
        *([f"and {len(found.names) - NAMES_SHOWN} more"] if len(found.names) > NAMES_SHOWN else []),
    ]
    facts: list[Fact] = [
        ("subject", found.subject or "(none)"),
        ("issuer", found.issuer or "(none)"),
        ("names", ", ".join(names) or "none"),
        ("valid", _validity(found)),
        ("for", ", ".join(_purposes(der)) or "any use"),
        ("key", found.key),
        ("signature", found.signed_with),
        ("serial number", found.serial),
        ("SHA-256", found.sha256),
    ]
    screen.facts(facts)
    screen.text()


def _validity(found: Card) -> str:
    from minitls.trace.values import count

    now = datetime.now(UTC)
    if now < found.not_before:
        left = "not yet"
    elif now > found.not_after:
        left = f"expired {count((now - found.not_after).days, 'day')} ago"
    else:
        left = f"{count((found.not_after - now).days, 'day')} left"
    return f"from {found.not_before:%Y-%m-%d %H:%M} to {found.not_after:%Y-%m-%d %H:%M} UTC ({left})"


def _purposes(der: bytes) -> list[str]:
    """What the certificate says that it is for: a CA, an end of TLS."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    from minitls.certificates.faults import read_der
    from minitls.trace.values import count

    words = {
        ExtendedKeyUsageOID.SERVER_AUTH: "TLS servers",
        ExtendedKeyUsageOID.CLIENT_AUTH: "TLS clients",
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any use",
    }
    found = []
    for extension in read_der(der).extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            room = extension.value.path_length
            found.append("a CA" if room is None else f"a CA, with at most {count(room, 'CA')} below it")
        elif isinstance(extension.value, x509.ExtendedKeyUsage):
            found += [words.get(oid, oid.dotted_string) for oid in extension.value]
    return found


def remarks(chain: Sequence[bytes]) -> list[str]:
    """What is wrong with the order of a chain, in words; nothing about a bundle of roots."""
    from minitls.certificates.faults import PARSE_ERRORS, read_der

    try:
        certificates = [read_der(der) for der in chain]
        if len(certificates) < 2 or all(each.subject == each.issuer for each in certificates):
            return []
        return [*_misplaced(certificates), *(filter(None, (_link(certificates, n) for n in range(len(certificates) - 1))))]
    except PARSE_ERRORS as error:
        return [f"the order cannot be told: {lower(str(error))}"]


def _misplaced(chain: Sequence[x509.Certificate]) -> list[str]:
    """A leaf that is not the first."""
    from cryptography import x509

    def is_ca(certificate: x509.Certificate) -> bool:
        return any(isinstance(e.value, x509.BasicConstraints) and e.value.ca for e in certificate.extensions)

    return [
        f"number {number} is a leaf: it has to come first, and the CAs after it, each the issuer of the one before"
        for number, certificate in enumerate(chain[1:], 2)
        if not is_ca(certificate)
    ]


def _link(chain: Sequence[x509.Certificate], place: int) -> str:
    """What is wrong between a certificate and the next; "" if that one issued it."""
    from minitls.certificates.facts import Facts
    from minitls.certificates.faults import Fault, called
    from minitls.certificates.path import check_signed_by

    below, above = chain[place], chain[place + 1]
    numbers = f"number {place + 2}"
    if below == above:
        return f"{numbers} is the same as number {place + 1}"
    if below.subject == below.issuer:
        return f"number {place + 1} is signed by itself: {numbers} has no place after it"
    if below.issuer == above.subject:
        try:
            check_signed_by(Facts(below), Facts(above))
        except Fault as fault:
            return f"{numbers} has the name of the issuer of number {place + 1}, but {fault.message}"
        return ""
    elsewhere = next((number for number, each in enumerate(chain, 1) if each.subject == below.issuer), None)
    if elsewhere is not None:
        return f"{numbers} is not the issuer of number {place + 1}: that is number {elsewhere}, out of order"
    return f"{numbers} is not the issuer of number {place + 1}, which is missing: {called(below.issuer)}"


def _verdict(screen: Screen, chain: Sequence[bytes], name: str | None, files: Sequence[str]) -> int:
    """Whether the chain convinces, and if not, why, and what to do about it."""
    from minitls.certificates.trust import TrustStore
    from minitls.certificates.verify import as_der
    from minitls.errors import CertificateError
    from minitls.trace.cards import cards
    from minitls.trace.values import safe

    store = trust(files) or TrustStore.system()
    try:
        path = store.verify(list(chain), name)
    except CertificateError as error:
        screen.verdict("bad", safe(str(error)))
        if error.remedy:
            screen.text(safe(error.remedy))
        return CERTIFICATE
    anchor = cards(tuple(as_der(path[-1:])))[0]
    screen.verdict(
        "good", f"trusted{f' for {safe(name)}' if name else ''}, vouched for by {anchor.title}, which is in the trust store"
    )
    return DONE
