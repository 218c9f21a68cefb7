"""A chain that takes long to verify holds up its own handshake, and no other connection of the loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import minitls
from minitls import CertificateError, TrustStore
from minitls.certificates.credentials import Credential
from minitls.handshake.authenticate import USUAL_CHAIN
from tests.conftest import Pki
from tests.test_aio import HOST, serving


def long_chain(pki: Pki) -> Credential:
    """A good one, with others' certificates behind it."""
    issued = pki.server()
    others = pki.strangers.trust().anchors.certificates
    extra = [other.public_bytes(Encoding.DER) for other in others]
    return Credential((*issued.chain, *extra * USUAL_CHAIN), signer=issued.sign)


@pytest.mark.parametrize("good", [True, False])
async def test_a_long_chain_is_verified_elsewhere(pki: Pki, monkeypatch: pytest.MonkeyPatch, good: bool) -> None:
    """Another thread verifies it, until when the loop goes on; its verdict is the same."""
    verifying, may_go_on = threading.Event(), threading.Event()
    threads: list[int] = []
    verify = TrustStore.verify

    def slow(self: TrustStore, *args: Any) -> Any:
        threads.append(threading.get_ident())
        verifying.set()
        assert may_go_on.wait(5)
        return verify(self, *args)

    monkeypatch.setattr(TrustStore, "verify", slow)
    trust = pki.trust if good else pki.strangers.trust()
    client = pki.client_config(trust=trust)
    refused = asyncio.Event()
    config = pki.server_config(credentials=(long_chain(pki),))
    async with serving(config, handshake_failed=lambda error, transport: refused.set()) as port:
        connecting = asyncio.ensure_future(minitls.open_connection(HOST, port, config=client))
        async with asyncio.timeout(5):
            while not verifying.is_set():
                await asyncio.sleep(0.001)  # it is this loop that goes on
        may_go_on.set()
        if good:
            _, writer = await connecting
            writer.close()
            await writer.wait_closed()
        else:
            with pytest.raises(CertificateError):
                await connecting
            await refused.wait()  # the alert arrived
            await asyncio.sleep(0.01)  # and so does the end of TCP
    assert threads[0] != threading.get_ident()


async def test_a_usual_chain_is_verified_at_once(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread would cost more than it saves."""
    threads: list[int] = []
    verify = TrustStore.verify

    def watched(self: TrustStore, *args: Any) -> Any:
        threads.append(threading.get_ident())
        return verify(self, *args)

    monkeypatch.setattr(TrustStore, "verify", watched)
    async with serving(pki.server_config()) as port:
        _, writer = await minitls.open_connection(HOST, port, config=pki.client_config())
        writer.close()
        await writer.wait_closed()
    assert threads == [threading.get_ident()]
