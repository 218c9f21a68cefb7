"""What is wrong with a server: the facts judged, each by one rule, in words and with the remedy.

A *fault* has to be mended: an RFC says MUST or MUST NOT, or there is an attack.  A *remark* is what could be better, or what its
owner should know.  What is not known is judged by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from minitls.crypto.groups import GROUPS
from minitls.scan.chains import SOON
from minitls.scan.facts import Facts
from minitls.scan.registry import Suite, groups, name_in, schemes

Severity: TypeAlias = Literal["fault", "remark"]
WEEK = 7 * 24 * 3600
SHOWN = 4
REMARKS = ("superfluous_root", "stranger_in_chain", "wrong_order")
"""What is wrong with a chain, and does no more harm than that."""
STATIC = "anybody who gets the server's key later can read what was recorded before"


@dataclass(frozen=True, slots=True)
class Finding:
    """``id``: stable, for programs; ``title``: one sentence; ``rule``: the section that says so; ``remedy``: what to do."""

    severity: Severity
    id: str
    title: str
    rule: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Rule:
    """``broken``: what it is about, None where all is well; it takes the place of ``{}`` in the title."""

    severity: Severity
    id: str
    title: str
    rule: str
    remedy: str
    broken: Callable[[Facts], str | None]


def findings(facts: Facts) -> list[Finding]:
    """All there are, faults first."""
    found: list[Finding] = []
    for rule in RULES:
        about = rule.broken(facts)
        if about is not None:
            found.append(Finding(rule.severity, rule.id, rule.title.replace("{}", about), rule.rule, rule.remedy))
    found += _chains(facts)
    found += _tolerance(facts)
    found += [
        Finding("fault", "broken_rule", text, "", "a newer version of its software may know better") for text in facts.unusual
    ]
    return sorted(found, key=lambda finding: finding.severity)


def _named(codes: Iterable[int]) -> str | None:
    """Cipher suites by name, the first few."""
    names = list(dict.fromkeys(Suite.of(code).name for code in codes))
    more = len(names) - SHOWN
    return ", ".join([*names[:SHOWN], *([f"and {more} more"] if more > 0 else [])]) or None


def _suites(fits: Callable[[Suite], bool]) -> Callable[[Facts], str | None]:
    def broken(facts: Facts) -> str | None:
        return _named(code for version in reversed(facts.suites) for code in facts.codes(version) if fits(Suite.of(code)))

    return broken


def _when(condition: Callable[[Facts], bool | None]) -> Callable[[Facts], str | None]:
    """A rule without anything to fill in."""
    return lambda facts: "" if condition(facts) else None


def _speaks(*versions: str) -> Callable[[Facts], str | None]:
    return lambda facts: " and ".join(version for version in versions if facts.speaks(version)) or None


def _groups(fits: Callable[[int, str], bool]) -> Callable[[Facts], str | None]:
    def broken(facts: Facts) -> str | None:
        codes = dict.fromkeys(code for each in facts.groups.values() for code in each.codes)
        return ", ".join(name_in(groups(), code) for code in codes if fits(code, name_in(groups(), code))) or None

    return broken


_SMALL_CURVES = ("160", "163", "192", "193", "secp224")


def _weak_curve(code: int, name: str) -> bool:
    return name.startswith("sec") and any(part in name for part in _SMALL_CURVES)


def _odd_curve(code: int, name: str) -> bool:
    return not _weak_curve(code, name) and (name.startswith("sect") or name == "secp256k1")


def _not_post_quantum(facts: Facts) -> bool:
    known = facts.groups.get("TLSv1.3")
    return known is not None and not any(code in GROUPS and GROUPS[code].post_quantum for code in known.codes)


def _hybrid_last(facts: Facts) -> bool:
    known = facts.groups.get("TLSv1.3")
    if known is None or known.order != "server" or not known.codes:
        return False
    quantum = [code in GROUPS and GROUPS[code].post_quantum for code in known.codes]
    return any(quantum) and not quantum[0]


def _weak_signatures(facts: Facts) -> str | None:
    known = facts.signatures.get("TLSv1.2")
    codes = known.codes if known is not None else ()
    return ", ".join(name_in(schemes(), code) for code in codes if code >> 8 in (1, 2)) or None


def _wrong_order(facts: Facts) -> bool:
    """The client decides, and has something bad to decide for."""
    known = facts.suites.get("TLSv1.2")
    if known is None or known.order != "client":
        return False
    good = [Suite.of(code).aead and Suite.of(code).forward_secret for code in known.codes]
    return any(good) and not all(good)


def _cbc(suite: Suite) -> bool:
    return suite.cbc and suite.forward_secret and not suite.anonymous and not _broken(suite) and not suite.finite


def _broken(suite: Suite) -> bool:
    return suite.null or suite.export or any(word in suite.cipher for word in ("RC4", "RC2", "DES", "IDEA", "28147"))


def _static(suite: Suite) -> bool:
    return suite.authentication == "RSA" and not suite.forward_secret and not suite.exchange.startswith(("DH_", "ECDH_"))


RULES: tuple[Rule, ...] = (
    Rule("fault", "sslv2", "SSL 2.0 is spoken, which protects nothing, and with DROWN breaks newer versions that share the key",
         "RFC 6176 3", "turn SSL 2.0 off", _speaks("SSLv2")),
    Rule("fault", "sslv3", "SSL 3.0 is spoken, whose padding gives away cookies (POODLE)", "RFC 7568 3", "turn SSL 3.0 off",
         _speaks("SSLv3")),
    Rule("fault", "tls10_tls11", "there is {}, which must not be used any more: signatures and keys are made with MD5 and SHA-1",
         "RFC 8996 4, 5", "turn TLS 1.0 and 1.1 off: whoever cannot do better is from before 2013", _speaks("TLSv1", "TLSv1.1")),
    Rule("fault", "no_current_version", "neither TLS 1.2 nor TLS 1.3 is spoken", "RFC 9325 3.1.1", "turn TLS 1.2 and 1.3 on",
         _when(lambda facts: bool(facts.versions) and not facts.speaks("TLSv1.2", "TLSv1.3"))),
    Rule("remark", "no_tls13", "TLS 1.3 is not spoken: it is faster, hides the certificate, and has all that is new,"
         " post-quantum key exchange too", "RFC 9325 3.1.1, RFC 9851", "turn TLS 1.3 on",
         _when(lambda facts: facts.speaks("TLSv1.2") and not facts.speaks("TLSv1.3"))),
    Rule("fault", "null", "there are cipher suites without encryption: {}", "RFC 9325 4.1", "remove all with NULL in their name",
         _suites(lambda suite: suite.null)),
    Rule("fault", "anonymous", "there are cipher suites without a certificate, so that anybody can stand between: {}",
         "RFC 5246 A.5", "remove all with anon in their name (OpenSSL: !aNULL)", _suites(lambda suite: suite.anonymous)),
    Rule("fault", "export", "there are cipher suites that were made weak to be exported (FREAK, Logjam): {}", "RFC 9325 4.1",
         "remove them (OpenSSL: !EXPORT)", _suites(lambda suite: suite.export)),
    Rule("fault", "rc4", "RC4 is taken, whose output is biased enough to recover cookies: {}", "RFC 7465 2", "remove RC4",
         _suites(lambda suite: "RC4" in suite.cipher)),
    Rule("fault", "small_blocks", "there are ciphers with blocks of 64 bits or short keys (SWEET32): {}", "RFC 9325 4.1",
         "remove 3DES, DES, IDEA and RC2",
         _suites(lambda suite: any(word in suite.cipher for word in ("DES", "IDEA", "RC2", "28147")) and not suite.export)),
    Rule("fault", "static_rsa", f"static RSA key exchange: {STATIC}, and Bleichenbacher's attack comes back: {{}}",
         "RFC 10015", "keep the suites with ECDHE alone", _suites(_static)),
    Rule("fault", "finite_field_dh", "finite-field Diffie-Hellman is taken before TLS 1.3, which must not be used any more: {}",
         "RFC 10015", "keep the suites with ECDHE alone", _suites(lambda suite: suite.finite and not suite.anonymous)),
    Rule("fault", "static_dh", f"Diffie-Hellman with the certificate's own key: {STATIC}: {{}}",
         "RFC 10015, RFC 9325 4.1",
         "keep the suites with ECDHE alone",
         _suites(lambda suite: suite.exchange.startswith(("DH_", "ECDH_")) and not suite.anonymous)),
    Rule("fault", "small_dh", "the numbers of its Diffie-Hellman have {} bits, and should have 2048 (Logjam)", "RFC 9325 4.5",
         "keep the suites with ECDHE alone, or make larger parameters",
         lambda facts: str(facts.dh_bits) if facts.dh_bits is not None and facts.dh_bits < 2048 else None),
    Rule("remark", "cbc", "there are CBC cipher suites, which were attacked in many ways (Lucky 13, GOLDENDOODLE): {}",
         "RFC 9325 4.2", "keep those with GCM and ChaCha20-Poly1305", _suites(_cbc)),
    Rule("remark", "shared_key_suites", "there are cipher suites for keys that both sides share: {}", "RFC 9257",
         "remove them where nobody has such a key", _suites(lambda suite: suite.shared_key)),
    Rule("remark", "clients_order", "in TLS 1.2 clients decide which cipher suite it is, though there are better and worse ones",
         "RFC 9325 4.2.1", "let the server's order decide, or keep the good ones alone", _when(_wrong_order)),
    Rule("remark", "short_seal", "there are cipher suites whose seal is short, for small devices: {}", "RFC 6655 6.1",
         "remove TLS_AES_128_CCM_8_SHA256 where no small device needs it",
         _suites(lambda suite: suite.tls13 and suite.name == "TLS_AES_128_CCM_8_SHA256")),
    Rule("remark", "not_post_quantum", "no key exchange is post-quantum: who records connections today may read them one day",
         "RFC 10024", "turn X25519MLKEM768 on (OpenSSL 3.5, GnuTLS 3.8.9, Go 1.24, BoringSSL, rustls 0.23 and later)",
         _when(_not_post_quantum)),
    Rule("remark", "hybrid_not_first", "there are post-quantum groups, but the server likes others better", "RFC 10024",
         "put X25519MLKEM768 first", _when(_hybrid_last)),
    Rule("remark", "draft_kyber", "{}: drafts of what X25519MLKEM768 became; no client sends them any more", "RFC 10024",
         "turn X25519MLKEM768 on in its place", _groups(lambda code, name: "Kyber" in name)),
    Rule("fault", "weak_groups", "there are elliptic curves that are too small: {}", "RFC 8422 5.1.1",
         "keep x25519, secp256r1 and secp384r1, and the hybrids", _groups(_weak_curve)),
    Rule("remark", "odd_groups", "there are elliptic curves that RFC 8422 has deprecated: {}", "RFC 8422 5.1.1",
         "keep x25519, secp256r1 and secp384r1, and the hybrids", _groups(_odd_curve)),
    Rule("fault", "no_hello_retry", "a client that guesses the wrong group is turned away, where the server should ask again",
         "RFC 8446 4.1.4", "a newer version of its software may know HelloRetryRequest",
         _when(lambda facts: facts.hello_retry is False)),
    Rule("fault", "weak_signatures", "in TLS 1.2 the server signs with MD5 or SHA-1 for who asks for it: {}", "RFC 9155 4",
         "remove SHA-1 and MD5 from its signature algorithms (OpenSSL: SignatureAlgorithms, security level 2)", _weak_signatures),
    Rule("fault", "no_secure_renegotiation", "secure renegotiation is not supported: somebody between can put words before the"
         " client's own", "RFC 5746 3.6, RFC 9325 3.5", "a newer version of its software has it",
         _when(lambda facts: facts.features.secure_renegotiation is False)),
    Rule("remark", "client_renegotiation", "clients may renegotiate: a handshake each, on a connection that nobody counts",
         "RFC 9113 9.2.1", "turn client-initiated renegotiation off", _when(lambda facts: facts.features.client_renegotiation)),
    Rule("fault", "no_extended_master_secret", "there is no extended master secret: a session can be made to look like another"
         " one's (triple handshake)", "RFC 9325 3.5, RFC 7627 1", "a newer version of its software has it",
         _when(lambda facts: facts.features.extended_master_secret is False)),
    Rule("remark", "no_encrypt_then_mac", "CBC cipher suites seal first and encrypt then, which invites padding oracles",
         "RFC 9325 4.2, RFC 7366 1", "turn encrypt-then-MAC on, or CBC off",
         _when(lambda facts: facts.features.encrypt_then_mac is False)),
    Rule("fault", "compression", "TLS compresses, so that the length of records tells secrets (CRIME)", "RFC 9325 3.3",
         "turn TLS's compression off", _when(lambda facts: facts.features.compression)),
    Rule("fault", "truncated_hmac", "seals are cut short for who asks (truncated_hmac)", "RFC 9325 4.6",
         "turn truncated_hmac off", _when(lambda facts: facts.features.truncated_hmac)),
    Rule("fault", "early_change_cipher_spec", "ChangeCipherSpec is taken before there are keys: somebody between can read and"
         " change everything (CVE-2014-0224)", "RFC 5246 7.1", "its software is from before June 2014 (OpenSSL 1.0.1h): renew it",
         _when(lambda facts: facts.features.early_change_cipher_spec)),
    Rule("remark", "heartbeat", "heartbeats are answered, which TLS over TCP has no need for (Heartbleed was in them)",
         "RFC 6520", "turn heartbeats off", _when(lambda facts: facts.features.heartbeat)),
    Rule("remark", "next_protocol", "NPN is still there, which ALPN has replaced", "RFC 7301", "turn NPN off",
         _when(lambda facts: facts.features.next_protocol)),
    Rule("remark", "no_fallback_scsv", "a client that was made to come back with an older version is not told", "RFC 7507 3",
         "a newer version of its software knows TLS_FALLBACK_SCSV; or keep one version",
         _when(lambda facts: facts.features.fallback_scsv is False and not facts.features.downgrade_sentinel)),
    Rule("fault", "no_downgrade_sentinel", "older hellos are not marked by who has TLS 1.3: a downgrade is not noticed",
         "RFC 8446 4.1.3", "a newer version of its software, or of what stands before it, marks them",
         _when(lambda facts: facts.features.downgrade_sentinel is False)),
    Rule("remark", "alpn_not_strict", "a client with no protocol in common is let in (cross-protocol attacks: ALPACA)",
         "RFC 7301 3.2, RFC 9325 3.8", "refuse it with no_application_protocol",
         _when(lambda facts: facts.features.alpn_mismatch == "ignored")),
    Rule("fault", "long_tickets", "tickets are said to be good for more than seven days", "RFC 8446 4.6.1",
         "a lifetime of a day is enough", _when(lambda facts: (facts.sessions.ticket_lifetime or 0) > WEEK)),
    Rule("remark", "long_tickets12", "TLS 1.2's tickets are said to be good for more than seven days", "RFC 9325 3.4",
         "a lifetime of a day is enough", _when(lambda facts: (facts.sessions.ticket12_lifetime or 0) > WEEK)),
    Rule("remark", "early_data", "0-RTT data is taken: who records it can send it again", "RFC 8446 8, RFC 8470",
         "see that only harmless requests are answered early, or turn it off", _when(lambda facts: facts.sessions.early_data)),
    Rule("fault", "no_key_update", "a KeyUpdate is not answered, or ends the connection", "RFC 8446 4.6.3",
         "a newer version of its software may know it", _when(lambda facts: facts.sessions.key_update is False)),
    Rule("remark", "no_hsts", "browsers are not told to come by HTTPS only (no Strict-Transport-Security)", "RFC 6797 6.1",
         "Strict-Transport-Security: max-age=31536000, once all of the site is reached by HTTPS",
         _when(lambda facts: facts.web.status is not None and facts.web.hsts is None)),
    Rule("remark", "no_close_notify", "connections end without close_notify: an answer that was cut looks like a whole one",
         "RFC 8446 6.1", "a newer version of its software may say goodbye", _when(lambda facts: facts.web.close_notify is False)),
)  # fmt: skip
"""One rule a row."""


def _chains(facts: Facts) -> Iterator[Finding]:
    told: set[tuple[str, str]] = set()
    for chain in facts.chains:
        if not chain.with_name:
            continue  # who asks for no name, or for another, is no visitor of this one
        for fault in chain.faults:
            if (fault.id, fault.text) not in told:
                told.add((fault.id, fault.text))
                severity: Severity = "remark" if fault.id in REMARKS else "fault"
                yield Finding(severity, fault.id, fault.text, fault.rule, fault.remedy)
        days, lifetime = chain.days_left, chain.lifetime_days
        if days is not None and lifetime is not None and 0 <= days < min(SOON, lifetime / 4):
            title = f"the certificate ({chain.key}) expires in {days} days"
            yield Finding("remark", "expires_soon", title, "RFC 5280 4.1.2.5", "renew it; by itself, with ACME (RFC 8555)")


_TOLERANCE = {
    "grease": ("values without a meaning (GREASE) are not passed over", "RFC 8701 3.2"),
    "length_256_to_511": ("a hello of 256 to 511 bytes is not answered", "RFC 7685 4"),
    "length_over_16384": ("a hello that is longer than a record is not answered", "RFC 8446 5.1"),
    "split_into_records": ("a hello that comes in several records is not answered", "RFC 8446 5.1"),
    "many_suites": ("a hello with many cipher suites is not answered", "RFC 8446 4.1.2"),
    "unknown_version": ("a version that is not known yet is not passed over in supported_versions", "RFC 8446 4.2.1"),
    "newer_legacy_version": ("a client that has a newer version is turned away", "RFC 5246 E.1"),
}


def _tolerance(facts: Facts) -> Iterator[Finding]:
    for name, fine in facts.tolerance.items():
        if not fine:
            title, rule = _TOLERANCE[name]
            yield Finding("fault", f"intolerant_{name}", title, rule, "this is a bug of its software, or of what stands before it")
