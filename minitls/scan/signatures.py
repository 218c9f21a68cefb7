"""What a server proves its keys with, and the certificates that come to light on the way."""

from __future__ import annotations

from minitls.crypto.signatures import SCHEMES
from minitls.scan.asking import Scan, in_order, whose_order
from minitls.scan.facts import Preference
from minitls.scan.registry import Suite, schemes
from minitls.wire.numbers import SignatureScheme


async def probe(scan: Scan) -> None:
    work = [_tls12(scan)] if scan.facts.speaks("TLSv1.2") else []
    work += [_tls13(scan)] if scan.facts.speaks("TLSv1.3") else []
    await scan.prober.together(*work)


async def _tls13(scan: Scan) -> None:
    """CertificateVerify is encrypted: the engine has to read it, and asks for what it can check."""

    async def pick(offered: tuple[int, ...]) -> int | None:
        config, _ = scan.config("TLSv1.3", signature_schemes=offered, request_staples=True)
        async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
            info = talk.info
            if talk.error is not None and talk.error.reason == "wrong_signature_type":
                scan.note(f"TLSv1.3: {talk.error}")
            if info.signature_scheme is None or not info.peer_chain:
                return None
            scan.seen("TLSv1.3", info.peer_chain, info.ocsp_response, info.scts)
            return int(SignatureScheme[info.signature_scheme])

    offered = [int(code) for code, scheme in SCHEMES.items() if scheme.in_tls13 and not scheme.clients_only]
    found = await in_order(pick, offered)
    scan.facts.signatures["TLSv1.3"] = Preference(tuple(found), await whose_order(pick, found))


async def _tls12(scan: Scan) -> None:
    """ServerKeyExchange is not encrypted: any scheme can be asked for, and each kind of key by its suites."""
    facts = scan.facts
    signing = [suite for suite in map(Suite.of, facts.codes("TLSv1.2")) if suite.forward_secret and suite.authentication]

    async def of_key(authentication: str) -> list[int]:
        codes = [suite.code for suite in signing if suite.authentication == authentication]

        async def pick(offered: tuple[int, ...]) -> int | None:
            signed = (await scan.ask("TLSv1.2", codes, "done", schemes=offered)).signed
            if signed is not None and signed not in offered:
                scan.note(f"TLSv1.2: the server signs with the scheme 0x{signed:04x}, which was not offered")
            return signed

        return await in_order(pick, tuple(schemes()))

    kinds = sorted({suite.authentication for suite in signing})
    found = [code for codes in await scan.prober.together(*map(of_key, kinds)) for code in codes]
    facts.signatures["TLSv1.2"] = Preference(tuple(found), None)
