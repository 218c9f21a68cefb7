"""Hellos that are unusual and right: a server that chokes on one of them breaks when clients learn something new."""

from __future__ import annotations

from minitls.crypto.groups import GROUPS
from minitls.scan.asking import CODES, Scan
from minitls.scan.hello import OLD_GROUPS, TLS12, TLS13, Hello
from minitls.scan.registry import suites
from minitls.wire.extensions import KeyShareEntry
from minitls.wire.numbers import GREASE, NamedGroup
from minitls.wire.numbers import ExtensionType as X

UNKNOWN_VERSION = 0x0305
FEW = 12


def usual(scan: Scan) -> Hello:
    """What a browser would send to this very server: all its versions, its best suites and groups."""
    facts = scan.facts
    versions = [version for version in ("TLSv1.3", *facts.old) if facts.versions.get(version)]
    offered = [code for version in versions for code in facts.codes(version)]
    known = [code for preference in facts.groups.values() for code in preference.codes[:4]]
    groups = tuple(dict.fromkeys((NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1, *known)))
    hello = Hello(version=CODES[versions[0]], suites=tuple(offered[:FEW]), name=scan.name, groups=groups)
    if versions[0] != "TLSv1.3":
        return hello
    older = {X.ec_point_formats: (0,), X.renegotiation_info: b"", X.extended_master_secret: None, X.session_ticket: b""}
    return hello.replace(more={X.supported_versions: tuple(CODES[version] for version in versions), **older})


def greased(hello: Hello) -> Hello:
    """RFC 8701: values without a meaning, wherever a list may grow."""
    more = {GREASE[3]: b"", **hello.more, GREASE[4]: b"\0", X.supported_groups: (GREASE[1], *(hello.groups or OLD_GROUPS))}
    more[X.application_layer_protocol_negotiation] = (GREASE[5].to_bytes(2, "big"), b"http/1.1", b"h2")
    if hello.version >= TLS13:
        share = GROUPS[NamedGroup.x25519].generate()
        more[X.key_share] = (KeyShareEntry(GREASE[1], b"\0"), KeyShareEntry(share.group.code, share.public))
        more[X.supported_versions] = (GREASE[2], *hello.more[X.supported_versions])
    return hello.replace(suites=(GREASE[0], *hello.suites), more=more)


def trials(scan: Scan, hello: Hello) -> dict[str, Hello]:
    """By the name that the facts have them under."""
    found = {
        "grease": greased(hello),
        "length_256_to_511": hello.replace(length=400),
        "length_over_16384": hello.replace(length=17_000),
        "split_into_records": hello.replace(piece=64),
        "many_suites": hello.replace(suites=(*hello.suites, *(code for code in suites() if code not in hello.suites))),
    }
    if len(hello.message()) > 400:
        del found["length_256_to_511"]
    if hello.version >= TLS13:
        versions = (UNKNOWN_VERSION, *hello.more[X.supported_versions])
        found["unknown_version"] = hello.replace(more={**hello.more, X.supported_versions: versions})
    for version in scan.facts.old[:1]:
        base = Hello(version=CODES[version], suites=scan.facts.codes(version)[:FEW], name=scan.name)
        if CODES[version] == TLS12:
            found["newer_legacy_version"] = base.replace(legacy_version=TLS13)
    return found


async def probe(scan: Scan) -> None:
    if not scan.facts.speaks(*CODES):
        return
    hello = usual(scan)
    if hello.version < CODES["TLSv1"] or (await scan.prober.ask(hello)).hello is None:
        return  # where the usual does not work, the unusual shows nothing
    tried = trials(scan, hello)
    answers = await scan.prober.together(*map(scan.prober.ask, tried.values()))
    scan.facts.tolerance = {name: answer.hello is not None for name, answer in zip(tried, answers, strict=True)}
