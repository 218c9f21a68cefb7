"""Whom a server says to be: a chain for each kind of key, with the name that is asked for and without."""

from __future__ import annotations

from minitls.errors import Alert
from minitls.scan.asking import Scan
from minitls.scan.chains import judge
from minitls.scan.hello import ASK_FOR_STAPLE
from minitls.scan.registry import Suite
from minitls.wire.numbers import ExtensionType as X

NOBODY = "no-such-host.invalid"
"""A name that no server has (RFC 6761)."""
KINDS: dict[str, tuple[str, ...]] = {
    "RSA": ("rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512"),
    "RSA-PSS": ("rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512"),
    "ECDSA": ("ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512"),
    "EdDSA": ("ed25519", "ed448"),
    "ML-DSA": ("mldsa44", "mldsa65", "mldsa87"),
}
"""Kinds of keys in TLS 1.3, by what they sign with."""
ASK = {**ASK_FOR_STAPLE, X.signed_certificate_timestamp: None}


async def probe(scan: Scan) -> None:
    facts = scan.facts
    work = [_tls13(scan, kind) for kind in KINDS] if facts.speaks("TLSv1.3") else []
    for version in facts.old[:1]:
        work += [_old(scan, version, kind) for kind in ("RSA", "ECDSA", "DSS")]
    await scan.prober.together(*work)
    await scan.prober.together(_other_name(scan, None), *([_other_name(scan, NOBODY)] if scan.name is not None else []))
    for chain in facts.chains:
        judge(chain, scan.whom, scan.trust)


async def _tls13(scan: Scan, kind: str) -> None:
    config, _ = scan.config("TLSv1.3", signature_schemes=KINDS[kind], request_staples=True)
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        if talk.info.peer_chain:
            scan.seen("TLSv1.3", talk.info.peer_chain, talk.info.ocsp_response, talk.info.scts)


async def _old(scan: Scan, version: str, kind: str) -> None:
    codes = [code for code in scan.facts.codes(version) if Suite.of(code).authentication == kind]
    answer = await scan.ask(version, codes, "done", more=ASK) if codes else None
    if answer is not None and answer.chain:
        stamps = answer.hello.extensions.get(X.signed_certificate_timestamp, ()) if answer.hello is not None else ()
        scan.seen(version, answer.chain, answer.staple, stamps)


async def _other_name(scan: Scan, name: str | None) -> None:
    """What comes for no name, and for one that nobody has."""
    facts = scan.facts
    chain: tuple[bytes, ...]
    refusal: int | None
    warned: list[int]
    if facts.speaks("TLSv1.3"):
        config, seen = scan.config("TLSv1.3")
        async with scan.prober.dialogue(config, name, facts.port) as talk:
            chain, refusal = talk.info.peer_chain, talk.refusal
            warned = seen.alerts
    elif facts.old:
        answer = await scan.ask(facts.old[0], facts.codes(facts.old[0]), "done", name=name)
        chain, refusal, warned = answer.chain, answer.alert, answer.warnings
    else:
        return
    if chain and name is None:
        facts.chain(chain).without_name = True
    known = scan.name is not None and any(each.with_name and chain[:1] == each.der[:1] for each in facts.chains)
    outcome = None
    if chain:
        outcome = "the same certificate" if known or scan.name is None else "another certificate"
        outcome += ", with the warning unrecognized_name" if Alert.unrecognized_name in warned else ""
    elif refusal is not None:
        outcome = f"alert {Alert(refusal).name if refusal in Alert.__members__.values() else refusal}"
    if name is None:
        facts.names.without = outcome
    else:
        facts.names.unknown = outcome
