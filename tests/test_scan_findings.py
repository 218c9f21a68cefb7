"""The judge alone: every rule finds its fault, finds none in a good server, and none in what is not known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minitls.scan.facts import Chain, Facts, Fault, Preference
from minitls.scan.findings import RULES, findings
from minitls.scan.tolerance import trials
from minitls.wire.numbers import NamedGroup
from tests.scanning import ids

GOOD12 = (0xC02B, 0xC02C, 0xCCA9)


def good() -> Facts:
    """A server that nobody complains about."""
    facts = Facts("localhost", 443, "localhost")
    facts.versions = {"SSLv2": False, "SSLv3": False, "TLSv1": False, "TLSv1.1": False, "TLSv1.2": True, "TLSv1.3": True}
    facts.suites = {"TLSv1.2": Preference(GOOD12, "server"), "TLSv1.3": Preference((0x1301, 0x1302), "server")}
    facts.groups = {"TLSv1.2": Preference((29, 23), "server"), "TLSv1.3": Preference((NamedGroup.X25519MLKEM768, 29), "server")}
    facts.hello_retry = True
    facts.signatures = {"TLSv1.2": Preference((0x0403,)), "TLSv1.3": Preference((0x0403,))}
    facts.chains = [Chain((b"leaf",), "EC secp256r1", True, True, ["TLSv1.3"], True, 60, 90)]
    known = facts.features
    known.secure_renegotiation = known.extended_master_secret = known.fallback_scsv = known.downgrade_sentinel = True
    known.client_renegotiation = known.compression = known.heartbeat = known.truncated_hmac = known.next_protocol = False
    known.alpn, known.alpn_mismatch = ("h2",), "alert no_application_protocol"
    facts.sessions.tickets, facts.sessions.ticket_lifetime, facts.sessions.psk, facts.sessions.key_update = 2, 7200, True, True
    facts.tolerance = {"grease": True}
    facts.web.status, facts.web.hsts, facts.web.close_notify = 200, "max-age=31536000", True
    return facts


def suites12(*codes: int, order: str = "server") -> Callable[[Facts], object]:
    return lambda facts: facts.suites.update({"TLSv1.2": Preference((*GOOD12, *codes), order)})  # type: ignore[arg-type]


def groups13(*codes: int) -> Callable[[Facts], object]:
    return lambda facts: facts.groups.update({"TLSv1.3": Preference(codes, "server")})


def feature(name: str, value: object) -> Callable[[Facts], object]:
    return lambda facts: setattr(facts.features, name, value)


def session(name: str, value: object) -> Callable[[Facts], object]:
    return lambda facts: setattr(facts.sessions, name, value)


def web(name: str, value: object) -> Callable[[Facts], object]:
    return lambda facts: setattr(facts.web, name, value)


def speaks(**versions: bool) -> Callable[[Facts], object]:
    return lambda facts: facts.versions.update({name.replace("_", "."): spoken for name, spoken in versions.items()})


BROKEN: dict[str, Callable[[Facts], object]] = {
    "sslv2": speaks(SSLv2=True),
    "sslv3": speaks(SSLv3=True),
    "tls10_tls11": speaks(TLSv1_1=True),
    "no_current_version": speaks(TLSv1=True, TLSv1_2=False, TLSv1_3=False),
    "no_tls13": speaks(TLSv1_3=False),
    "null": suites12(0xC006),
    "anonymous": suites12(0xC018),
    "export": suites12(0x0003),
    "rc4": suites12(0xC011),
    "small_blocks": suites12(0xC012),
    "static_rsa": suites12(0x009C),
    "finite_field_dh": suites12(0x009E),
    "static_dh": suites12(0xC02D),
    "small_dh": lambda facts: setattr(facts, "dh_bits", 1024),
    "cbc": suites12(0xC013),
    "shared_key_suites": suites12(0xD001),
    "clients_order": suites12(0xC013, order="client"),
    "short_seal": lambda facts: facts.suites.update({"TLSv1.3": Preference((0x1305,))}),
    "not_post_quantum": groups13(29, 23),
    "hybrid_not_first": groups13(29, NamedGroup.X25519MLKEM768),
    "draft_kyber": groups13(NamedGroup.X25519MLKEM768, 0x6399),
    "weak_groups": lambda facts: facts.groups.update({"TLSv1.2": Preference((23, 19))}),
    "odd_groups": lambda facts: facts.groups.update({"TLSv1.2": Preference((23, 22))}),
    "no_hello_retry": lambda facts: setattr(facts, "hello_retry", False),
    "weak_signatures": lambda facts: facts.signatures.update({"TLSv1.2": Preference((0x0403, 0x0203))}),
    "no_secure_renegotiation": feature("secure_renegotiation", False),
    "client_renegotiation": feature("client_renegotiation", True),
    "no_extended_master_secret": feature("extended_master_secret", False),
    "no_encrypt_then_mac": feature("encrypt_then_mac", False),
    "compression": feature("compression", True),
    "truncated_hmac": feature("truncated_hmac", True),
    "early_change_cipher_spec": feature("early_change_cipher_spec", True),
    "heartbeat": feature("heartbeat", True),
    "next_protocol": feature("next_protocol", True),
    "no_fallback_scsv": lambda facts: [
        setattr(facts.features, name, value) for name, value in (("fallback_scsv", False), ("downgrade_sentinel", None))
    ],
    "no_downgrade_sentinel": feature("downgrade_sentinel", False),
    "alpn_not_strict": feature("alpn_mismatch", "ignored"),
    "long_tickets": session("ticket_lifetime", 8 * 24 * 3600),
    "long_tickets12": session("ticket12_lifetime", 8 * 24 * 3600),
    "early_data": session("early_data", True),
    "no_key_update": session("key_update", False),
    "no_hsts": web("hsts", None),
    "no_close_notify": web("close_notify", False),
}
"""For each rule, what it is about."""


def test_a_good_server_has_no_findings() -> None:
    assert findings(good()) == []


def test_what_is_not_known_is_not_judged() -> None:
    assert findings(Facts("localhost", 443)) == []


def test_every_rule_is_tried() -> None:
    assert list(BROKEN) == [rule.id for rule in RULES]


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_finds_its_fault_and_no_other_does(name: str) -> None:
    facts = good()
    BROKEN[name](facts)
    found = ids(facts)
    also = {"no_current_version": {"tls10_tls11"}, "export": {"rc4", "static_rsa"}, "clients_order": {"cbc"}}.get(name, set())
    assert set(found) == {name} | also
    finding = found[name]
    assert finding.rule.startswith("RFC ")
    assert finding.remedy
    assert "{}" not in finding.title


def test_faults_come_first_and_many_suites_are_not_all_listed() -> None:
    facts = good()
    for name in ("no_hsts", "sslv3"):
        BROKEN[name](facts)
    suites12(*range(0x0010, 0x0017), 0x0030, 0x0031)(facts)
    assert [finding.severity for finding in findings(facts)] == sorted(finding.severity for finding in findings(facts))
    assert "and 4 more" in ids(facts)["static_dh"].title or "more" in ids(facts)["finite_field_dh"].title


def test_a_chains_faults_are_told_once_and_only_of_what_a_visitor_sees() -> None:
    facts = good()
    fault = Fault("expired", "it expired", "RFC 5280 4.1.2.5", "renew it")
    facts.chains[0].faults = [fault, Fault("superfluous_root", "a root", "RFC 8446 4.4.2")]
    facts.chains.append(Chain((b"other",), with_name=True, faults=[fault]))
    facts.chains.append(Chain((b"default",), without_name=True, faults=[Fault("name_mismatch", "of another")]))
    assert [(finding.severity, finding.id) for finding in findings(facts)] == [("fault", "expired"), ("remark", "superfluous_root")]


@pytest.mark.parametrize(
    ("left", "lifetime", "soon"), [(20, 398, True), (22, 398, False), (2, 6, False), (1, 6, True), (-1, 90, False)]
)
def test_a_certificate_that_expires_soon(left: int, lifetime: int, soon: bool) -> None:
    facts = good()
    facts.chains[0].days_left, facts.chains[0].lifetime_days = left, lifetime
    assert ("expires_soon" in ids(facts)) == soon


def test_intolerance_and_broken_rules() -> None:
    facts = good()
    facts.tolerance = {"grease": False, "many_suites": True}
    facts.unusual = ["TLSv1.2: something odd"]
    assert set(ids(facts)) == {"intolerant_grease", "broken_rule"}
    assert ids(facts)["intolerant_grease"].rule == "RFC 8701 3.2"


def test_every_trial_has_its_words() -> None:
    from minitls.scan.asking import Scan
    from minitls.scan.prober import Prober
    from minitls.scan.tolerance import usual
    from tests.scanning import TrustStore, parrot

    facts = good()
    scan = Scan(Prober(parrot(b"")), facts, "localhost", "localhost", TrustStore.from_certificates([]))
    facts.tolerance = dict.fromkeys(trials(scan, usual(scan)), False)
    assert len(facts.tolerance) == 7
    assert {f"intolerant_{name}" for name in facts.tolerance} <= set(ids(facts))
