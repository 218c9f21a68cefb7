"""What the hellos say beside versions, suites and groups: extensions taken up, downgrades noticed, renegotiation refused."""

from __future__ import annotations

from minitls.crypto.compression import compressions
from minitls.errors import Alert
from minitls.scan.answer import Answer
from minitls.scan.asking import CODES, Scan, in_order, whose_order
from minitls.scan.hello import TLS12, Hello
from minitls.scan.registry import FALLBACK_SCSV, Suite, protocols
from minitls.wire.hello import DOWNGRADE_TO_11, DOWNGRADE_TO_12
from minitls.wire.messages import CertificateRequest, CompressedCertificate, EncryptedExtensions
from minitls.wire.messages12 import CertificateRequest12
from minitls.wire.numbers import CertificateCompressionAlgorithm, ContentType
from minitls.wire.numbers import ExtensionType as X

TRUNCATED_HMAC, NEXT_PROTOCOL = 4, 13172
DEFLATE = 1
MFL_512 = 1
ASKED_LIMIT = 2**14
NO_RENEGOTIATION = 100
DECRYPTION_FAILED = 21
"""What TLS 1.0 said where bad_record_mac is said today (RFC 5246 section 7.2.2)."""
ALERT_RECORD = 7
"""Bytes of a record with an alert in the clear."""
SHORT = 1.0
"""Seconds for what comes at once, if it comes."""
UNKNOWN_PROTOCOL = "minitls-scan/1"


async def probe(scan: Scan) -> None:
    facts = scan.facts
    work = [_alpn(scan)]
    if facts.old:
        work += [_extensions(scan, facts.old[0]), _limits(scan, facts.old[0]), _fallback(scan), _early_ccs(scan, facts.old[0])]
    if facts.speaks("TLSv1.3"):
        work += [_encrypted(scan), _sentinel(scan), *(_compressed(scan, code) for code in compressions())]
        facts.features.certificate_compression = ()
    await scan.prober.together(*work)
    if facts.speaks("TLSv1.2", "TLSv1.3"):  # these wait, and some servers have one connection at a time
        await _client_certificate(scan)
    if facts.speaks("TLSv1.2"):
        await _renegotiation(scan)


async def _extensions(scan: Scan, version: str) -> None:
    """One hello that offers everything; encrypt_then_mac is for CBC alone, so that such a suite has to be chosen."""
    codes, features = scan.facts.codes(version), scan.facts.features
    cbc = [code for code in codes if Suite.of(code).cbc]
    more = {X.heartbeat: 1, X.encrypt_then_mac: None, TRUNCATED_HMAC: b"", NEXT_PROTOCOL: b""}
    answer = await scan.ask(version, cbc or codes, compression=bytes((DEFLATE, 0)), more=more)
    if answer.hello is None:
        answer = await scan.ask(version, codes)
        if answer.hello is None:
            return
    else:
        features.compression = answer.hello.legacy_compression_method != 0
    features.secure_renegotiation = answer.has(X.renegotiation_info)
    if CODES[version] > CODES["SSLv3"]:
        features.extended_master_secret = answer.has(X.extended_master_secret)
        features.heartbeat = answer.has(X.heartbeat)
        features.truncated_hmac = answer.has(TRUNCATED_HMAC)
        features.next_protocol = answer.has(NEXT_PROTOCOL)
        features.encrypt_then_mac = answer.has(X.encrypt_then_mac) if cbc else None


async def _limits(scan: Scan, version: str) -> None:
    if version == "SSLv3":
        return
    codes, features = scan.facts.codes(version), scan.facts.features
    answer = await scan.ask(version, codes, more={X.max_fragment_length: MFL_512})
    if answer.hello is not None:
        features.max_fragment_length = answer.has(X.max_fragment_length)
    answer = await scan.ask(version, codes, more={X.record_size_limit: ASKED_LIMIT})
    if answer.has(X.record_size_limit) and answer.hello is not None:
        features.record_size_limit = answer.hello.extensions[X.record_size_limit]


async def _fallback(scan: Scan) -> None:
    """RFC 7507: who comes back with less than both have was cheated, and says so."""
    facts = scan.facts
    spoken = [version for version in ("TLSv1.3", *facts.old) if facts.versions.get(version)]
    if len(spoken) > 1:
        answer = await scan.ask(spoken[1], (*facts.codes(spoken[1]), FALLBACK_SCSV))
        if answer.kind in ("hello", "alert"):
            facts.features.fallback_scsv = answer.alert == Alert.inappropriate_fallback


async def _sentinel(scan: Scan) -> None:
    """RFC 8446 section 4.1.3: a server that has TLS 1.3 marks the random of every older hello."""
    for version in scan.facts.old[:1]:
        answer = await scan.ask(version, scan.facts.codes(version))
        if answer.hello is not None:
            mark = DOWNGRADE_TO_12 if version == "TLSv1.2" else DOWNGRADE_TO_11
            scan.facts.features.downgrade_sentinel = answer.hello.random[-8:] == mark


async def _early_ccs(scan: Scan, version: str) -> None:
    """A ChangeCipherSpec before there is a key exchange, and a record after it.

    Who refuses says unexpected_message, or nothing.  Who takes it has keys that everybody knows (CVE-2014-0224), and cannot decrypt
    the record with them: that is what tells, and the connection is over with it.
    """
    code = CODES[version]
    hello = Hello(version=code, suites=scan.facts.codes(version), name=scan.name)
    head = code.to_bytes(2, "big")
    change = bytes((ContentType.change_cipher_spec,)) + head + b"\0\x01\x01"
    answer = await scan.prober.ask_then(hello, change + bytes((ContentType.handshake,)) + head + b"\0\x40" + bytes(64))
    if len(answer) >= ALERT_RECORD and answer[0] == ContentType.alert:
        scan.facts.features.early_change_cipher_spec = answer[ALERT_RECORD - 1] in (Alert.bad_record_mac, DECRYPTION_FAILED)


async def _encrypted(scan: Scan) -> None:
    """What only EncryptedExtensions say."""
    config, seen = scan.config("TLSv1.3", record_size_limit=ASKED_LIMIT)
    async with scan.prober.dialogue(config, scan.name, scan.facts.port):
        for message in seen.messages:
            if isinstance(message, EncryptedExtensions) and X.record_size_limit in message.extensions:
                scan.facts.features.record_size_limit = message.extensions[X.record_size_limit]


async def _compressed(scan: Scan, code: int) -> None:
    config, seen = scan.config("TLSv1.3", certificate_compression=(code,))
    async with scan.prober.dialogue(config, scan.name, scan.facts.port):
        if any(isinstance(message, CompressedCertificate) for message in seen.messages):
            known = scan.facts.features.certificate_compression or ()
            scan.facts.features.certificate_compression = tuple(sorted({*known, CertificateCompressionAlgorithm(code).name}))


async def _client_certificate(scan: Scan) -> None:
    config, seen = scan.config()
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        asked = any(isinstance(message, (CertificateRequest, CertificateRequest12)) for message in seen.messages)
        if asked and talk.refusal is None:
            await talk.until(lambda: False, SHORT)
        if talk.complete or asked:
            scan.facts.features.client_certificate = ("required" if talk.refusal is not None else "asked for") if asked else "none"


async def _renegotiation(scan: Scan) -> None:
    """A second ClientHello inside the first connection (RFC 5246 section 7.4.1.2, RFC 5746 section 3.5)."""
    config, seen = scan.config("TLSv1.2")
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        if not talk.complete or talk.over:
            return
        hello = Hello(version=TLS12, suites=scan.facts.codes("TLSv1.2"), name=scan.name)
        secure = scan.facts.features.secure_renegotiation is not False
        more = {X.renegotiation_info: talk.info.tls_unique if secure else b""}
        talk.write_handshake(hello.replace(more=more).message())
        await talk.until(lambda: NO_RENEGOTIATION in seen.alerts)
        accepted = talk.error is not None and talk.error.message == "ServerHello after the handshake"
        scan.facts.features.client_renegotiation = accepted


async def _alpn(scan: Scan) -> None:
    facts, names = scan.facts, protocols()
    old = next((version for version in facts.old if version != "SSLv3"), None)

    async def chosen(offered: tuple[str, ...]) -> tuple[str | None, int | None, bool]:
        """The protocol, the alert, and whether it went on."""
        if old is not None:
            answer: Answer = await scan.ask(old, facts.codes(old), alpn=offered)
            picked = answer.hello.extensions.get(X.application_layer_protocol_negotiation, ()) if answer.hello else ()
            return (picked[0].decode("ascii", "backslashreplace") if picked else None), answer.alert, answer.hello is not None
        config, _ = scan.config("TLSv1.3", alpn=offered)
        async with scan.prober.dialogue(config, scan.name, facts.port) as talk:
            return talk.info.alpn_protocol, talk.refusal, talk.complete

    async def pick(offered: tuple[int, ...]) -> int | None:
        protocol = (await chosen(tuple(names[place] for place in offered)))[0]
        return names.index(protocol) if protocol in names else None

    if old is None and not facts.speaks("TLSv1.3"):
        return
    found = await in_order(pick, range(len(names)))
    facts.features.alpn = tuple(names[place] for place in found)
    facts.features.alpn_order = await whose_order(pick, found)
    if found:
        _, alert, went_on = await chosen((UNKNOWN_PROTOCOL,))
        if alert is not None:
            facts.features.alpn_mismatch = f"alert {Alert(alert).name if alert in Alert.__members__.values() else alert}"
        elif went_on:
            facts.features.alpn_mismatch = "ignored"
