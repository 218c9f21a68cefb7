"""The same facts from three scanners, in one form; and why they differ where they do.

:func:`ours` reads ``minitls scan --json``, :func:`from_sslscan` that program's XML, :func:`from_testssl` its JSON.  Each gives
facts by name; what a program does not report is not among them.  ``DIFFERENCES`` explains each difference that there is,
``TESTSSL`` says for each line of testssl.sh which of our facts it is, or why we have none.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from minitls.scan.registry import Suite, groups, suites

Facts = dict[str, Any]
OLD = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def ours(document: Mapping[str, Any]) -> Facts:
    """From ``minitls scan --json``."""
    found: Facts = {"versions": frozenset(version for version, spoken in document["versions"].items() if spoken)}
    everything: set[int] = set()
    for version, each in document["suites"].items():
        codes = [int(suite["code"], 16) for suite in each["suites"]]
        found[f"suites {version}"] = frozenset(codes)
        if each["order"] == "server":
            found[f"first suite {version}"] = codes[0]
            found[f"order {version}"] = tuple(codes)
        found[f"own order {version}"] = each["order"] == "server"
        everything.update(codes)
    found["suites"] = frozenset(everything)
    for what, entries in (("groups", "groups"), ("signatures", "schemes")):
        for version, each in document[what].items():
            found[f"{what} {version}"] = frozenset(int(entry["code"], 16) for entry in each[entries])
    found["smallest Diffie-Hellman"], found["Diffie-Hellman group"] = document["dh_bits"], document["dh_group"]
    found |= _weaknesses(everything, {version: found.get(f"suites {version}", frozenset()) for version in OLD}, document)
    chains = [chain for chain in document["chains"] if chain["with_name"]]
    found["certificates"] = frozenset(chain["certificates"][0]["sha256"] for chain in chains)
    found["verified"] = all(chain["verified"] for chain in chains)
    found["chain lengths"] = frozenset(len(chain["certificates"]) for chain in chains)
    found["out of order"] = any(
        fault["id"] in ("wrong_order", "stranger_in_chain") for chain in chains for fault in chain["faults"]
    )
    found["stapled"] = any(chain["staple"] not in (None, "none") for chain in chains)
    found["must staple"] = any(chain["must_staple"] for chain in chains)
    known, back, web = document["features"], document["sessions"], document["web"]
    found |= {
        "secure renegotiation": known["secure_renegotiation"],
        "clients renegotiate": known["client_renegotiation"],
        "fallback SCSV": known["fallback_scsv"],
        "early ChangeCipherSpec": known["early_change_cipher_spec"],
        "compression": known["compression"],
        "heartbeat": known["heartbeat"],
        "extended master secret": known["extended_master_secret"],
        "encrypt-then-MAC": known["encrypt_then_mac"],
        "max_fragment_length": known["max_fragment_length"],
        "NPN": known["next_protocol"],
        "ALPN": None if known["alpn"] is None else frozenset(known["alpn"]),
        "resumed by ticket": back["ticket12"],
        "resumed by ID": back["session_id"],
        "ticket lifetime": back["ticket12_lifetime"],
        "HTTP status": web["status"],
        "HSTS": web["hsts"] is not None if web["status"] is not None else None,
        "HTTP server": web["server"],
    }
    return {name: value for name, value in found.items() if value is not None}


def _weaknesses(everything: Iterable[int], by_version: Mapping[str, frozenset[int]], document: Mapping[str, Any]) -> Facts:
    """What our findings say, by their ids, and what follows from suites and groups."""
    ids = {finding["id"] for finding in document["findings"]}
    offered = [Suite.of(code) for code in everything]
    fields = frozenset(int(entry["code"], 16) for each in document["groups"].values() for entry in each["groups"])
    named = {NAMED[code] for code in fields & NAMED.keys()} | ({document["dh_group"]} if document["dh_group"] else set())
    beast = {code for version in ("SSLv3", "TLSv1") for code in by_version[version] if Suite.of(code).cbc}
    return {
        **{name: id in ids for name, id in FINDINGS.items()},
        "LOGJAM": any(suite.export and suite.finite for suite in offered),
        "FREAK": any(suite.export and suite.exchange.startswith("RSA") for suite in offered),
        "single DES, RC2, RC4 or MD5": any(_low(suite) for suite in offered),
        "3DES or IDEA": any(word in suite.cipher for word in ("3DES", "IDEA") for suite in offered),
        "CBC": any(suite.cbc for suite in offered),
        "BEAST": bool(beast),
        "CBC in TLS 1.0 and SSL 3.0": frozenset(beast) or None,
        "AEAD": any(suite.aead and not suite.anonymous for suite in offered),
        "static RSA": "static_rsa" in ids,
        "forward secrecy": any(suite.forward_secret for suite in offered),
        "forward secret suites": frozenset(suite.code for suite in offered if suite.forward_secret and not _open(suite)),
        "curves": fields & set(CURVES.values()),
        "finite fields": frozenset(named),
        "some order": any(each["order"] == "server" for each in document["suites"].values()),
        "many suites": document["tolerance"].get("many_suites"),
        "tolerant": all(document["tolerance"].values()),
    }  # fmt: skip


def _open(suite: Suite) -> bool:
    return suite.anonymous or suite.null


def _low(suite: Suite) -> bool:
    """Weak, and neither meant to be nor without any encryption."""
    return bool(re.search("DES_CBC|RC2|RC4|MD5", suite.cipher)) and not ("3DES" in suite.cipher or suite.export or suite.null)


FINDINGS = {
    "NULL": "null",
    "anonymous": "anonymous",
    "export": "export",
    "RC4": "rc4",
    "POODLE": "sslv3",
    "DROWN": "sslv2",
    "SWEET32": "small_blocks",
}
"""Names of weaknesses, and our findings about them."""


def from_sslscan(xml: str) -> Facts:
    """From ``sslscan --xml``.  Raises AssertionError for an element that nobody has thought of."""
    (test,) = ElementTree.fromstring(xml).findall("ssltest")
    unknown = {element.tag for element in test} - SSLSCAN
    assert not unknown, f"sslscan says something new: {unknown}"

    def version(element: ElementTree.Element) -> str:
        return element.attrib["sslversion"].replace("TLSv1.0", "TLSv1")

    def coded(elements: Iterable[ElementTree.Element], name: str) -> Facts:
        found: dict[str, set[int]] = {}
        for element in elements:
            found.setdefault(f"{name} {version(element)}", set()).add(int(element.attrib["id"], 16))
        return {key: frozenset(codes) for key, codes in found.items()}

    protocols = [
        (f"{each.attrib['type'].upper()}v{each.attrib['version']}", each.attrib["enabled"]) for each in test.iter("protocol")
    ]
    found: Facts = {"versions": frozenset(name.replace("v1.0", "v1") for name, enabled in protocols if enabled == "1")}
    ciphers = list(test.iter("cipher"))
    found |= coded(ciphers, "suites") | coded(test.iter("group"), "groups")
    found |= coded(test.iter("connection-signature-algorithm"), "signatures")
    for cipher in ciphers:
        if cipher.attrib["status"] == "preferred":
            found[f"first suite {version(cipher)}"] = int(cipher.attrib["id"], 16)
    if sizes := [int(cipher.attrib["dhebits"]) for cipher in ciphers if "dhebits" in cipher.attrib]:
        found["smallest Diffie-Hellman"] = min(sizes)
    if (renegotiation := test.find("renegotiation")) is not None:
        found["secure renegotiation"] = renegotiation.attrib["secure"] == "1"
    if (fallback := test.find("fallback")) is not None:
        found["fallback SCSV"] = fallback.attrib["supported"] == "1"
    if (compression := test.find("compression")) is not None:
        found["compression"] = compression.attrib["supported"] == "1"
    blobs = [element.text or "" for element in test.iter("certificate-blob")]
    if blobs:
        found["certificates"] = frozenset(_sha256(blob) for blob in blobs)
    return found


SSLSCAN = {
    "protocol",
    "renegotiation",
    "fallback",
    "compression",
    "cipher",
    "group",
    "connection-signature-algorithm",
    "certificates",
    "heartbleed",  # an attack: none are made
}
"""The elements of its answer."""


def _sha256(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip() + "\n")).hexdigest()


@dataclass(frozen=True)
class Line:
    """What becomes of a line of testssl.sh: ``fact``: ours, by name, ``read``: from its words; or ``why`` we have none.

    ``unread``: why what it says beyond that is no fact of ours.
    """

    pattern: str
    fact: str = ""
    read: Callable[[str], Any] = bool
    why: str = ""
    unread: str = ""


def _has(*words: str) -> Callable[[str], bool]:
    return lambda text: any(text.startswith(word) for word in words)


def _unless(*unknown: str, wanted: str) -> Callable[[str], bool | None]:
    """None where it could not find out."""
    return lambda text: None if text.startswith(unknown) else text.startswith(wanted)


def _offers(text: str) -> bool | None:
    return "not offered" not in text


_CODES = {name: code for code, name in suites().items()}
CURVES = {"prime256v1": 0x17, "secp384r1": 0x18, "secp521r1": 0x19, "X25519": 0x1D, "X448": 0x1E}
NAMED = {code: name for code, name in groups().items() if name.startswith("ffdhe")}
NAMES = {"SSLv2": "SSLv2", "SSLv3": "SSLv3", "TLS1": "TLSv1", "TLS1_1": "TLSv1.1", "TLS1_2": "TLSv1.2", "TLS1_3": "TLSv1.3"}
DERIVED = "what follows from suites and versions; our findings say it in words"
ATTACK = "reads memory of a server that has the fault, and there is no other way to tell: that is for its owner to do"
IN_DER = "stands in the certificate, which the JSON has as it came"
BLEICHENBACHER = (
    "Bleichenbacher's oracle may be in the time, or in one answer of many: that none is seen proves nothing; the finding about"
    " static RSA names the attack, and its remedy ends it"
)
SHOWN = "how it goes about it, or what it would be for others"

TESTSSL: tuple[Line, ...] = (
    Line(r"(SSLv2|SSLv3|TLS1|TLS1_1|TLS1_2|TLS1_3)", "versions", _offers),
    Line("NPN", "NPN", _offers),
    Line("ALPN", "ALPN", lambda text: frozenset() if text == "not offered" else frozenset(text.split())),
    Line(r"ALPN_.*|NPN_.*", why=DERIVED),
    Line(r"cipher_x[0-9a-f]+", "suites", lambda text: int(text.split()[0].removeprefix("x"), 16)),
    Line(r"cipher-(ssl|tls).*", "suites of a version", lambda text: int(text.split(" x")[1].split()[0], 16)),
    Line("cipher_order", "some order", _has("server")),
    Line("cipherlist_NULL", "NULL", _offers),
    Line("cipherlist_aNULL", "anonymous", _offers),
    Line("cipherlist_EXPORT", "export", _offers),
    Line("cipherlist_LOW", "single DES, RC2, RC4 or MD5", _offers),
    Line("cipherlist_3DES_IDEA", "3DES or IDEA", _offers),
    Line("cipherlist_AVERAGE", "CBC", _offers),
    Line("cipherlist_STRONG", "AEAD", _offers),
    Line(r"cipherorder_.*", "order", lambda text: tuple(_CODES[name] for name in text.split())),
    Line(r"cipher_order_.*|cipher_negotiated|protocol_negotiated", why=DERIVED),
    Line("PFS_ECDHE_curves", "curves", lambda text: frozenset(CURVES[name] for name in text.split())),
    Line("PFS", "forward secrecy", _offers),
    Line("PFS_ciphers", "forward secret suites", lambda text: frozenset(_CODES[name] for name in text.split())),
    Line("DH_groups", "finite fields", lambda text: frozenset(text.split())),
    Line("LOGJAM-common_primes", "Diffie-Hellman group", lambda text: text.removeprefix("RFC7919/") if "RFC7919" in text else None),
    Line("GREASE", "tolerant", _has("No bugs found")),
    Line("pre_128cipher", "many suites", _has("No 128 cipher limit bug")),
    Line("TLS_extensions", "extensions", lambda text: frozenset(int(number) for number in re.findall(r"#(\d+)", text))),
    Line(
        "TLS_session_ticket",
        "ticket lifetime",
        lambda text: int(match[1]) if (match := re.search(r"(\d+) seconds", text)) else None,
    ),
    Line("sessionresumption_ticket", "resumed by ticket", _unless("check failed", wanted="supported")),
    Line("sessionresumption_ID", "resumed by ID", _unless("check failed", wanted="supported")),
    Line("SSL_sessionID_support", why="an ID without a resumption is of no use to anybody"),
    Line("TLS_timestamp", why="the clock in the random, which no server of today tells"),
    Line("cert_fingerprintSHA256.*", "certificates", str.lower),
    Line("certs_countServer.*", "chain lengths", int),
    Line("certs_list_ordering_problem.*", "out of order", _has("yes")),
    Line("OCSP_stapling.*", "stapled", _offers),
    Line("cert_mustStapleExtension.*", "must staple", _has("supported")),
    Line("cert_chain_of_trust.*", "verified", _has("passed")),
    Line(r"cert_(trust|expirationStatus|validityPeriod|revocation)\b.*", why="part of what is verified, or judged otherwise"),
    Line(r"cert\b.*|cert_.*|certificate_transparency.*", why=IN_DER),
    Line("DNS_CAArecord.*|intermediate_cert.*", why="the DNS is not asked"),
    Line("HTTP_status_code", "HTTP status", lambda text: int(text.split()[0])),
    Line("HSTS|HSTS_time", "HSTS", _offers),
    Line("HSTS_.*", why="the header is told as it is"),
    Line("banner_server", "HTTP server", lambda text: None if text.startswith("No Server") else text),
    Line(r"HTTP_.*|HPKP.*|banner_.*|cookie_.*|security_headers|BREACH|[A-Z][A-Za-z]*-.*", why="of HTTP, not of TLS"),
    Line("secure_renego", "secure renegotiation", _unless("TLS 1.3 only", wanted="supported")),
    Line("secure_client_renego", "clients renegotiate", _unless("not vulnerable, TLS 1.3", wanted="VULNERABLE")),
    Line("CRIME_TLS", "compression", _has("VULNERABLE")),
    Line("fallback_SCSV", "fallback SCSV", _unless("no ", "only ", wanted="supported")),
    Line("heartbleed", "heartbeat", lambda text: False if "no heartbeat extension" in text else None, unread=ATTACK),
    Line("ticketbleed|winshock", why=ATTACK),
    Line("ROBOT", "static RSA", lambda text: False if "no RSA key transport" in text else None, unread=BLEICHENBACHER),
    Line("CCS", "early ChangeCipherSpec", _has("VULNERABLE", "potentially")),
    Line("POODLE_SSL", "POODLE", _has("VULNERABLE")),
    Line("SWEET32", "SWEET32", _has("VULNERABLE")),
    Line("FREAK", "FREAK", _has("VULNERABLE")),
    Line("DROWN", "DROWN", _has("VULNERABLE")),
    Line("LOGJAM", "LOGJAM", _has("VULNERABLE")),
    Line("BEAST", "BEAST", _has("VULNERABLE")),
    Line("BEAST_CBC_(TLS1|SSL3)", "CBC in TLS 1.0 and SSL 3.0", lambda text: frozenset(_CODES[name] for name in text.split())),
    Line("LUCKY13", "CBC", _has("potentially vulnerable")),
    Line("RC4", "RC4", _has("VULNERABLE")),
    Line("DROWN_hint", why="where else the certificate may be: a search of others' scans"),
    Line("engine_problem|service|scanTime|scanProblem|optimal_proto|host_certificate_Problem|TLS_misses_.*", why=SHOWN),
    Line("clientsimulation.*", why="what other clients would get: minitls negotiate answers that for ours, offline"),
)


def line_of(name: str) -> Line | None:
    return next((line for line in TESTSSL if re.fullmatch(line.pattern, name)), None)


_EXTENSIONS = {1: "max_fragment_length", 15: "heartbeat", 22: "encrypt-then-MAC", 23: "extended master secret"}


def from_testssl(entries: Iterable[Mapping[str, str]]) -> Facts:
    """From ``testssl --jsonfile``.  Raises AssertionError for a line that nobody has thought of."""
    found: Facts = {}
    versions, suites, certificates, lengths = set[str](), set[int](), set[str](), set[int]()
    for entry in entries:
        name, text = entry["id"], entry["finding"]
        line = line_of(name)
        assert line is not None, f"testssl.sh says something new: {name}: {text}"
        if line.why:
            continue
        value = line.read(text)
        if line.fact == "versions":
            versions |= {NAMES[name]} if value else set()
        elif line.fact == "order":
            found[f"order {name.partition('_')[2].replace('_', '.')}"] = value
        elif line.fact == "suites of a version":
            version = NAMES[name.removeprefix("cipher-").rpartition("_x")[0].upper().replace("SSL", "SSLv")]
            found[f"suites {version}"] = found.get(f"suites {version}", frozenset()) | {value}
        elif line.fact == "suites":
            suites.add(value)
        elif line.fact == "certificates":
            certificates.add(value)
        elif line.fact == "chain lengths":
            lengths.add(value)
        elif line.fact == "extensions":
            found |= {fact: kind in value for kind, fact in _EXTENSIONS.items() if kind in value}
        elif line.fact == "CBC in TLS 1.0 and SSL 3.0":
            found[line.fact] = found.get(line.fact, frozenset()) | value
        elif line.fact == "verified":
            found[line.fact] = found.get(line.fact, True) and value
        elif line.fact in ("out of order", "stapled", "must staple"):
            found[line.fact] = found.get(line.fact, False) or value
        elif value is not None:
            found[line.fact] = value
    found |= {"versions": frozenset(versions)} if versions else {}
    found |= {"suites": frozenset(suites)} if suites else {}
    found |= {"certificates": frozenset(certificates), "chain lengths": frozenset(lengths)} if certificates else {}
    return found


@dataclass(frozen=True)
class Difference:
    """``fits``: takes theirs and ours; ``servers``: where it is to be seen, a regular expression."""

    tool: str
    fact: str
    servers: str
    why: str
    fits: Callable[[Any, Any], bool] = lambda theirs, ours: True


def fewer(theirs: Any, ours: Any) -> bool:
    """It has found some of what we have found."""
    return bool(theirs < ours)


def nothing(theirs: Any, ours: Any) -> bool:
    """It says no more than no, or than anything."""
    return theirs is False or theirs == frozenset({ANY_SCHEME})


ANY_SCHEME = 0xFDFF
"""sslscan's number for: whatever is asked for."""
HYBRIDS = frozenset({0x11EB, 0x11EC, 0x11ED})

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "sslscan",
        "first suite .*",
        ".*",
        "The server has no order of its own: the first is the client's, and every client has another.",
        lambda theirs, ours: ours is None,
    ),
    Difference(
        "sslscan",
        "secure renegotiation",
        ".*",
        "Whether sslscan sees it depends on the handshake that it happens to make; OpenSSL's own s_client sees it.",
        nothing,
    ),
    Difference(
        "sslscan",
        "signatures .*",
        ".*",
        "A server that, with no scheme in common, signs by its default or takes a suite without signatures counts as taking any.",
        nothing,
    ),
    Difference(
        "sslscan",
        "groups TLSv1.2",
        "openssl, ECDSA",
        "It offers each group alone; but the certificate's curve has to be offered beside it (RFC 8422 section 5.1).",
        fewer,
    ),
    Difference(
        "sslscan",
        "groups TLSv1.3",
        "minitls.*",
        "It does not know the hybrid groups.",
        lambda theirs, ours: ours - theirs == HYBRIDS,
    ),
    Difference(
        "sslscan",
        "versions",
        "minitls",
        "Its hello of TLS 1.2 has no extended_master_secret, which minitls insists on.",
        lambda theirs, ours: ours - theirs == {"TLSv1.2"},
    ),
    Difference(
        "testssl",
        "versions",
        "minitls",
        "Neither has its hello of TLS 1.2.",
        lambda theirs, ours: ours - theirs == {"TLSv1.2"},
    ),
    Difference("testssl", "ALPN", "nginx.*", "It asks for fewer protocols: nginx also takes http/1.0 and http/0.9.", fewer),
    Difference(
        "testssl",
        "resumed by .*",
        ".*",
        "It takes what s_client makes of it, by TLS 1.3 too, whose tickets come when s_client may have left: no run is like"
        " another; s_client -reconnect has the last word.",
    ),
)


def differences(theirs: Facts, ours: Facts) -> dict[str, tuple[Any, Any]]:
    """Facts of theirs that we have otherwise, or not at all."""
    return {name: (value, ours.get(name)) for name, value in theirs.items() if ours.get(name) != value}


def unexplained(tool: str, server: str, found: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    def explained(name: str, values: tuple[Any, Any]) -> bool:
        return any(
            each.tool == tool and re.fullmatch(each.fact, name) and re.fullmatch(each.servers, server) and each.fits(*values)
            for each in DIFFERENCES
        )

    return {name: values for name, values in found.items() if not explained(name, values)}
