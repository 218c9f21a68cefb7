"""Whole scans: servers of ours, each with something of its own, and impostors with each fault that we could never have."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitls import ClientAuth, Policy
from minitls.cli.screen import PlainScreen
from minitls.cli.verdict import show
from minitls.connection import Connection
from minitls.scan import tolerance
from minitls.scan.facts import Facts, Preference
from minitls.scan.findings import findings
from minitls.scan.hello import Hello
from minitls.scan.prober import Prober, Unreachable
from minitls.scan.report import document
from minitls.scan.survey import NoTLS, scan_of, survey
from minitls.trace.json import dump
from minitls.wire.hello import ClientHello
from minitls.wire.messages import read_message
from minitls.wire.numbers import CipherSuite, NamedGroup
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.scanning import Impostor, ids, listening, parrot, scanned, serving, wants

SSL3, TLS10, TLS11, TLS12 = 0x0300, 0x0301, 0x0302, 0x0303
GCM, GCM256, CHACHA = 0xC02F, 0xC030, 0xCCA8
HTTP = b"HTTP/1.1 200 OK\r\nServer: test\r\nStrict-Transport-Security: max-age=3\r\nContent-Length: 0\r\n\r\n"

# ours -------------------------------------------------------------------------------------------------------------------


async def test_our_own_server_is_found_to_be_what_it_is(pki: Pki) -> None:
    config = pki.server_config(alpn=("h2", "http/1.1"), record_size_limit=2048, early_data=1000)
    async with serving(config, HTTP) as opener:
        facts = await scanned(opener, trust=pki.trust)
    assert facts.versions == {
        "SSLv2": False, "SSLv3": False, "TLSv1": False, "TLSv1.1": False, "TLSv1.2": True, "TLSv1.3": True
    }  # fmt: skip
    policy = Policy.intermediate
    assert facts.codes("TLSv1.3") == policy.cipher_suites[:4]
    assert [code for code in policy.cipher_suites if "ECDHE_ECDSA" in CipherSuite(code).name] == list(facts.codes("TLSv1.2"))
    assert facts.suites["TLSv1.2"].order == "server"
    assert set(facts.groups["TLSv1.3"].codes) == set(policy.groups)
    assert facts.groups["TLSv1.3"].codes[0] == NamedGroup.X25519MLKEM768
    assert facts.hello_retry
    (chain,) = facts.chains
    assert (chain.verified, chain.key, chain.versions, chain.with_name, chain.without_name) == (
        True, "EC secp256r1", ["TLSv1.3", "TLSv1.2"], True, True
    )  # fmt: skip
    known = facts.features
    assert (known.secure_renegotiation, known.client_renegotiation, known.extended_master_secret) == (True, False, True)
    assert (known.compression, known.fallback_scsv, known.downgrade_sentinel) == (False, True, True)
    assert (known.alpn, known.alpn_order, known.alpn_mismatch) == (("h2", "http/1.1"), "server", "alert no_application_protocol")
    assert (known.record_size_limit, known.max_fragment_length, known.client_certificate) == (2048, True, "none")
    assert set(known.certificate_compression or ()) >= {"zlib"}
    back = facts.sessions
    assert (back.tickets, back.psk, back.early_data_size, back.early_data, back.key_update) == (2, True, 1000, True, True)
    assert (back.ticket12, back.session_id, back.ticket_lifetime) == (True, True, 24 * 3600)
    assert set(facts.tolerance.values()) == {True}
    assert len(facts.tolerance) == 7
    assert (facts.web.status, facts.web.server, facts.web.hsts, facts.web.close_notify) == (200, "test", "max-age=3", True)
    assert facts.unusual == []
    assert set(ids(facts)) == {"early_data"}


async def test_certificates_of_several_kinds(pki: Pki) -> None:
    kinds = ("p256", "rsa2048", "ed25519", "mldsa65")
    config = pki.server_config(credentials=tuple(pki.server(kind) for kind in kinds), policy=Policy.legacy)
    async with serving(config) as opener:
        facts = await scanned(opener, "certificates", "signatures", trust=pki.trust)
    assert {chain.key for chain in facts.chains} == {"EC secp256r1", "RSA 2048", "Ed25519", "ML-DSA-65"}
    assert all(chain.verified for chain in facts.chains)
    assert sum(chain.without_name for chain in facts.chains) == 1
    wants(map(str, (code for code in facts.signatures["TLSv1.3"].codes)), *map(str, (0x0403, 0x0804, 0x0807, 0x0905)))
    assert facts.names.unknown == facts.names.without == "the same certificate"


async def test_tls13_alone_and_with_one_group(pki: Pki) -> None:
    policy = Policy.modern.replace(groups=("secp384r1",), cipher_suites=("TLS_CHACHA20_POLY1305_SHA256",))
    async with serving(pki.server_config(policy=policy, tickets=None, session_cache=None, alpn=("one",)), HTTP) as opener:
        facts = await scanned(opener, "suites", "groups", "features", "sessions", trust=pki.trust)
    assert facts.old == []
    assert facts.codes("TLSv1.3") == (0x1303,)
    assert facts.suites["TLSv1.3"].order is None
    assert facts.groups["TLSv1.3"].codes == (NamedGroup.secp384r1,)
    assert facts.hello_retry
    assert (facts.sessions.tickets, facts.sessions.psk, facts.sessions.key_update) == (0, False, True)
    assert facts.features.alpn == ()
    wants(ids(facts), "not_post_quantum")


async def test_old_suites_of_ours(pki: Pki) -> None:
    policy = Policy.legacy.replace(versions=("TLSv1.2",))
    async with serving(pki.server_config(policy=policy, credentials=(pki.server("rsa2048"),))) as opener:
        facts = await scanned(opener, "features", "signatures", trust=pki.trust)
    rsa = [code for code in policy.cipher_suites if "_RSA_" in CipherSuite(code).name and "PSK" not in CipherSuite(code).name]
    assert set(facts.codes("TLSv1.2")) == set(rsa)
    assert facts.dh_bits is not None
    assert facts.dh_bits >= 2048
    assert facts.features.encrypt_then_mac
    wants(ids(facts), "no_tls13", "static_rsa", "finite_field_dh", "cbc")


async def test_a_server_that_wants_to_know_its_clients(pki: Pki) -> None:
    for auth, outcome in ((ClientAuth.request, "asked for"), (ClientAuth.require, "required")):
        async with serving(pki.server_config(client_auth=auth, trust=pki.trust), HTTP) as opener:
            facts = await scanned(opener, "features", "certificates", "sessions", "http", trust=pki.trust)
        assert facts.features.client_certificate == outcome
        assert facts.sessions.key_update is (True if outcome == "asked for" else None)
        assert facts.chains[0].verified


async def test_a_server_that_does_not_hear_key_updates(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Connection.peer_updated_keys
    monkeypatch.setattr(Connection, "peer_updated_keys", lambda self, requested: original(self, False))
    async with serving(pki.server_config(), HTTP) as opener:
        facts = await scanned(opener, "sessions", trust=pki.trust)
    assert facts.sessions.key_update is False
    wants(ids(facts), "no_key_update")


@pytest.mark.parametrize(
    ("which", "found"), [("expired", "expired"), ("untrusted", "unknown_ca"), ("self_signed", "self_signed"), ("stapled", "")]
)
async def test_certificates_that_do_not_convince(pki: Pki, which: str, found: str) -> None:
    async with serving(pki.server_config(credentials=(getattr(pki, which),))) as opener:
        facts = await scanned(opener, "certificates", trust=pki.trust)
    assert [fault.id for fault in facts.chains[0].faults] == ([found] if found else [])
    assert facts.chains[0].staple == ("good" if which == "stapled" else "unknown" if found == "" else "none")
    assert bool(findings(facts)) == bool(found)


async def test_a_name_that_the_certificate_has_not(pki: Pki) -> None:
    async with serving(pki.server_config()) as opener:
        facts = await scanned(opener, "certificates", name="other.example", trust=pki.trust)
    wants(ids(facts), "name_mismatch")


async def test_an_address_is_asked_for_without_a_name(pki: Pki) -> None:
    async with serving(pki.server_config()) as opener:
        facts = await scanned(opener, "certificates", "http", name="127.0.0.1", trust=pki.trust)
    assert facts.name is None
    assert facts.chains[0].verified
    assert facts.names.unknown is None


# impostors ---------------------------------------------------------------------------------------------------------------


async def of(impostor: Impostor, *only: str, **how: Any) -> Facts:
    async with listening(impostor.serve) as opener:
        return await scanned(opener, *(only or ("versions",)), **how)


@pytest.mark.parametrize("versions", [(SSL3,), (TLS10, TLS11), (SSL3, TLS10, TLS11, TLS12), (TLS12,)])
async def test_old_versions(versions: tuple[int, ...]) -> None:
    facts = await of(Impostor(dict.fromkeys(versions, (5, 47))))
    names = {SSL3: "SSLv3", TLS10: "TLSv1", TLS11: "TLSv1.1", TLS12: "TLSv1.2"}
    assert [name for name, spoken in facts.versions.items() if spoken] == [names[version] for version in versions]
    wanted = {"sslv3": SSL3 in versions, "tls10_tls11": TLS10 in versions, "no_current_version": TLS12 not in versions}
    assert {name: name in ids(facts) for name in wanted} == wanted


async def test_ssl2() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(2**14))[2:5] == b"\x01\x00\x02":
            writer.write(b"\x80\x0b\x04\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00")
        writer.close()

    async with listening(serve) as opener:
        facts = await scanned(opener, "suites", "tolerance", "features")
    assert [name for name, spoken in facts.versions.items() if spoken] == ["SSLv2"]
    wants(ids(facts), "sslv2", "no_current_version")


async def test_the_servers_order_over_several_batches() -> None:
    """Suites that stand far from each other in our list, in an order that is neither ours nor of their numbers."""
    order = (0xC0AB, GCM, 0x0005, CHACHA, 0x00A8, 0xC02B, 0x0019, 0xC100)
    facts = await of(Impostor({TLS12: order}), "suites")
    assert (facts.codes("TLSv1.2"), facts.suites["TLSv1.2"].order) == (order, "server")


async def test_no_order_of_its_own() -> None:
    facts = await of(Impostor({TLS12: (0x0005, GCM, 0xC013)}, own_order=False), "suites")
    assert set(facts.codes("TLSv1.2")) == {0x0005, GCM, 0xC013}
    assert facts.suites["TLSv1.2"].order == "client"
    wants(ids(facts), "rc4", "clients_order", "static_rsa")


@pytest.mark.parametrize(("bits", "small"), [(1024, True), (2048, False)])
async def test_small_numbers(bits: int, small: bool) -> None:
    facts = await of(Impostor({TLS12: (0x009E,)}, prime_bits=bits), "suites", "signatures")
    assert facts.dh_bits == bits
    assert ("small_dh" in ids(facts)) == small
    assert facts.signatures["TLSv1.2"].codes == (0x0401,)


async def test_a_signature_that_nobody_asked_for() -> None:
    facts = await of(Impostor({TLS12: (0x009E,)}, scheme=0x0201), "signatures")
    assert facts.signatures["TLSv1.2"].codes == (0x0201,)
    assert any("not offered" in problem for problem in facts.unusual)
    wants(ids(facts), "weak_signatures", "broken_rule")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"answers": {X.extended_master_secret: None}}, "no_secure_renegotiation"),
        ({"answers": {X.renegotiation_info: b""}}, "no_extended_master_secret"),
        ({"compression": True}, "compression"),
        ({"answers": {X.heartbeat: 1}}, "heartbeat"),
        ({"answers": {4: b""}}, "truncated_hmac"),
        ({"answers": {13172: b""}}, "next_protocol"),
        ({"fallback": False, "suites": {TLS11: (0x002F,), TLS12: (0x002F,)}}, "no_fallback_scsv"),
        ({"answers": {X.application_layer_protocol_negotiation: (b"h2",)}}, "alpn_not_strict"),
    ],
)
async def test_features_that_a_server_lacks_or_should(changes: dict[str, Any], found: str) -> None:
    impostor = Impostor(**({"suites": {TLS12: (0x002F,)}} | changes))
    async with listening(impostor.serve) as opener:
        facts = await scanned(opener, "features", timeout=0.5)
    wants(ids(facts), found)
    if "answers" not in changes:
        assert facts.features.encrypt_then_mac is False


@pytest.mark.parametrize(("alert", "taken"), [(10, False), (20, True), (21, True), (None, None)])
async def test_change_cipher_spec_before_its_time(alert: int | None, taken: bool | None) -> None:
    """Who could not decrypt what came after it has taken it; who says nothing is not judged."""
    impostor = Impostor({TLS12: (0x009E,)}, early_ccs=alert)
    async with listening(impostor.serve) as opener:
        facts = await scanned(opener, "features", timeout=0.5)
    assert facts.features.early_change_cipher_spec is taken
    assert ("early_change_cipher_spec" in ids(facts)) is (taken is True)


async def test_numbers_that_have_a_name(pki: Pki) -> None:
    """RFC 7919's are known by theirs."""
    config = pki.server_config(
        policy=Policy.legacy.replace(versions=("TLSv1.2",), groups=("ffdhe3072",)), credentials=(pki.server("rsa2048"),)
    )
    async with serving(config) as opener:
        facts = await scanned(opener, "suites")
    assert (facts.dh_bits, facts.dh_group) == (3072, "ffdhe3072")
    assert (await of(Impostor({TLS12: (0x009E,)}), "suites")).dh_group is None


@pytest.mark.parametrize(
    ("changes", "chokes_on"),
    [
        ({"deaf": range(256, 512)}, "length_256_to_511"),
        ({"deaf": range(16_385, 20_000)}, "length_over_16384"),
        ({"split": False}, "split_into_records"),
        ({"deaf": range(700, 1_000)}, "many_suites"),
    ],
)
async def test_intolerance(changes: dict[str, Any], chokes_on: str) -> None:
    async with listening(Impostor({TLS12: (GCM,)}, **changes).serve) as opener:
        scan = scan_of(Prober(opener, timeout=0.3, at_once=8, rate=1e6), "localhost", 443)
        scan.facts.versions, scan.facts.suites = {"TLSv1.2": True}, {"TLSv1.2": Preference((GCM,))}
        await tolerance.probe(scan)
    assert scan.facts.tolerance[chokes_on] is False
    assert scan.facts.tolerance["grease"] is True
    wants(ids(scan.facts), f"intolerant_{chokes_on}")


# and anything at all -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (b"", "it ends the connection at a ClientHello, of any version"),
        (b"SSH-2.0-x\x1b[31m\r\n", "it does not speak TLS: what came is not TLS: b'SSH-2.0-x\\x1b[31m\\r\\n'"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "it takes none of our hellos, of any version, and answers with alert 40"),
    ],
)
async def test_what_does_not_speak_tls(said: bytes, sentence: str) -> None:
    with pytest.raises(NoTLS) as caught:
        await scanned(parrot(said))
    assert str(caught.value) == sentence


async def test_what_stays_silent() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(serve) as opener:
        with pytest.raises(NoTLS, match="it does not answer a ClientHello"):
            await scanned(opener, timeout=0.1)


async def test_a_server_that_has_had_enough_of_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minitls.scan.prober.PAUSE", 0.01)
    left = 9
    good = parrot(Impostor({TLS12: (GCM,)}).answer(_hello()))

    async def sometimes() -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConnectionRefusedError(111, "Connection refused")
        return await good()

    with pytest.raises(Unreachable, match="Connection refused"):
        await scanned(sometimes)


def _hello() -> Any:
    return read_message(ClientHello, Hello(version=TLS12, suites=(GCM,)).message())


async def test_it_is_polite(pki: Pki) -> None:
    """Never more connections at a time than were allowed, nor faster."""
    now, most = 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await reader.read(2**14)
        writer.write(b"\x15\x03\x01\x00\x02\x02\x28")
        await reader.read()
        now -= 1
        writer.close()

    async with listening(serve) as opener:
        prober = Prober(opener, timeout=2, at_once=2, rate=100)
        began = asyncio.get_running_loop().time()
        with pytest.raises(NoTLS):
            await survey(scan_of(prober, "localhost", 443, trust=pki.trust))
        took = asyncio.get_running_loop().time() - began
    assert most <= 3  # the server sees an end a little later than we do
    assert prober.connections > 10
    assert took >= (prober.connections - 1) / 100 * 0.95


_ANSWERS = [
    Impostor({version: (GCM, 0x009E, 0x002F)}, answers=answers, chain=chain).answer(_hello())
    for version in (SSL3, TLS12)
    for answers in ({}, {X.application_layer_protocol_negotiation: (b"h2",)})
    for chain in ((), (b"no certificate", b"\x30\x03\x02\x01\x01"))
]


def _whole(said: bytes) -> None:
    """A scan of a server that says this to everybody, judged, and as JSON and as text."""

    async def scan() -> Facts | NoTLS:
        try:
            return await scanned(parrot(said))
        except NoTLS as nothing:
            return nothing

    facts = asyncio.run(scan())
    if isinstance(facts, NoTLS):
        assert str(facts).isprintable()
    else:
        assert dump(document(facts, findings(facts), began=0, seconds=0, connections=0))
        out = io.StringIO()
        show(PlainScreen(out), "there", facts, findings(facts), 0, 0)
        assert all(line.isprintable() for line in out.getvalue().split("\n"))


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=300), st.builds(bytes.__add__, st.sampled_from(_ANSWERS), st.binary(max_size=100))))
def test_any_bytes_are_a_result_or_one_clear_line(said: bytes) -> None:
    _whole(said)


@settings(max_examples=60)
@given(st.data())
def test_an_answer_with_any_byte_changed_is_one_too(data: st.DataObject) -> None:
    said = bytearray(data.draw(st.sampled_from(_ANSWERS)))
    said[data.draw(st.integers(0, len(said) - 1))] = data.draw(st.integers(0, 255))
    _whole(bytes(said))
