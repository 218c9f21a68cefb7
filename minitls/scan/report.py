"""A scan as JSON: facts and findings, for programs.

The document says which ``schema`` it follows, "minitls-scan/1".  Within one number fields are only added.  What was not found out
is null, or not there where ``only`` left its section out; names are IANA's, code points are strings such as "0x1301".

    schema        "minitls-scan/1"
    target        host, port, name (what was asked for with server_name; null for an address)
    began, seconds, connections     when (ISO 8601, UTC), how long, and how many connections it took
    versions      "SSLv2" to "TLSv1.3": true or false
    suites        by version: order ("server", "client", null), suites: [{code, name, forward_secret, aead}], in that order
    dh_bits, dh_group   of finite-field Diffie-Hellman, the smallest: its size, and its name in RFC 7919, null for another
    groups        by version: order, complete (false: not all could be asked about), groups: [{code, name, post_quantum}]
    hello_retry   whether a handshake went through after a HelloRetryRequest
    signatures    by version: order, schemes: [{code, name}]
    chains        [{key, versions, with_name, without_name, verified, days_left, lifetime_days, must_staple, staple ("good", "bad",
                  "none", "unknown"), scts: {certificate, tls, ocsp}, faults: [{id, text, rule, remedy}], certificates: [...]}];
                  a certificate is as in the schema "minitls/1" (:mod:`minitls.trace.json`)
    names         without, unknown: what comes for no name, and for one that nobody has
    features      as :class:`minitls.scan.facts.Features` has them
    sessions      as :class:`minitls.scan.facts.Sessions` has them
    tolerance     by what it was confronted with: true where it went on
    web           status, server, hsts, close_notify: of one HEAD request
    unusual       rules that the server broke, in words
    findings      [{severity ("fault", "remark"), id, title, rule, remedy}], faults first
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from minitls.crypto.groups import GROUPS
from minitls.scan.facts import Chain, Facts, Preference
from minitls.scan.findings import Finding
from minitls.scan.registry import Suite, groups, name_in, schemes
from minitls.trace.json import certificate

SCHEMA = "minitls-scan/1"


def document(facts: Facts, found: Iterable[Finding], *, began: float, seconds: float, connections: int) -> dict[str, Any]:
    """``began``: seconds since the epoch."""
    return {
        "schema": SCHEMA,
        "target": {"host": facts.host, "port": facts.port, "name": facts.name},
        "began": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "connections": connections,
        "versions": facts.versions,
        "suites": _preferences(facts.suites, "suites", _suite),
        "dh_bits": facts.dh_bits,
        "dh_group": facts.dh_group,
        "groups": _preferences(facts.groups, "groups", _group),
        "hello_retry": facts.hello_retry,
        "signatures": _preferences(facts.signatures, "schemes", _scheme),
        "chains": [_chain(chain) for chain in facts.chains],
        "names": dataclasses.asdict(facts.names),
        "features": dataclasses.asdict(facts.features),
        "sessions": dataclasses.asdict(facts.sessions),
        "tolerance": facts.tolerance,
        "web": dataclasses.asdict(facts.web),
        "unusual": facts.unusual,
        "findings": [dataclasses.asdict(finding) for finding in found],
    }


def _preferences(known: Mapping[str, Preference], what: str, entry: Callable[[int], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        version: {"order": each.order, "complete": each.complete, what: [entry(code) for code in each.codes]}
        for version, each in known.items()
    }


def _suite(code: int) -> dict[str, Any]:
    suite = Suite.of(code)
    return {"code": f"0x{code:04x}", "name": suite.name, "forward_secret": suite.forward_secret, "aead": suite.aead}


def post_quantum(code: int) -> bool:
    return (code in GROUPS and GROUPS[code].post_quantum) or any(word in name_in(groups(), code) for word in ("MLKEM", "Kyber"))


def _group(code: int) -> dict[str, Any]:
    return {"code": f"0x{code:04x}", "name": name_in(groups(), code), "post_quantum": post_quantum(code)}


def _scheme(code: int) -> dict[str, Any]:
    return {"code": f"0x{code:04x}", "name": name_in(schemes(), code)}


def _chain(chain: Chain) -> dict[str, Any]:
    plain = dataclasses.asdict(chain)
    del plain["der"], plain["ocsp_response"]
    return plain | {"certificates": [certificate(der) for der in chain.der]}
