"""goto fail: a proof that is wrong in one bit is none, and nothing goes on without one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from minitls import Alert, ClientConnection, Connection, PeerMisbehaved, ServerConnection
from minitls.handshake import authenticate
from minitls.handshake.authenticate import PeerKey
from minitls.wire.hello import Message
from minitls.wire.messages import CertificateVerify, Finished
from tests.conftest import Pki
from tests.liar import edit_bytes, lying_client, lying_server, meet

LENGTHS = {CertificateVerify: 4 + 64, Finished: 32}  # Ed25519; SHA-256


@pytest.mark.parametrize("kind", LENGTHS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("role", ["client", "server"])
def test_every_bit(pki: Pki, role: str, kind: type[Message]) -> None:
    """goto fail: flip each bit of CertificateVerify and Finished, from both roles."""
    ours, theirs = pki.quick
    for position in range(LENGTHS[kind]):
        for bit in (0, 3, 7):

            def flip(body: bytearray, position: int = position, bit: int = bit) -> None:
                body[position] ^= 1 << bit

            honest: Connection
            if role == "client":
                honest = ServerConnection(theirs)
                meet(lying_client(ours, edit_bytes(kind, flip)), honest)
            else:
                honest = ClientConnection(ours, server_hostname="localhost")
                meet(honest, lying_server(theirs, edit_bytes(kind, flip)))
            error: Any = honest.error
            assert isinstance(error, PeerMisbehaved), (position, bit)
            assert error.alert in (Alert.decrypt_error, Alert.illegal_parameter, Alert.decode_error), (position, bit)
            assert error.alert is Alert.decrypt_error or kind is CertificateVerify
            assert not honest.handshake_completed


def test_verification_gives_what_the_next_step_needs() -> None:
    """goto fail: not a boolean that somebody forgets to look at.  A proof is checked with a PeerKey, and who verified makes that.

    What is verified is a chain, a raw public key or, after its chain, a delegated credential.
    """
    proof = inspect.signature(authenticate.receive_proof, eval_str=False)
    assert proof.parameters["key"].annotation == "PeerKey"
    assert inspect.signature(authenticate.verify_chain).return_annotation == "Flow[PeerKey]"
    made = [name for name, f in inspect.getmembers(authenticate, inspect.isfunction) if "PeerKey(" in inspect.getsource(f)]
    assert made == ["delegated_key", "verify_chain", "verify_der_chain"]
    assert PeerKey.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_another_servers_signature_does_not_fit(pki: Pki) -> None:
    """A CertificateVerify that was recorded in another handshake: the transcript is another."""
    ours, theirs = pki.quick
    recorded: list[bytes] = []

    def record(body: bytearray) -> None:
        recorded.append(bytes(body))

    meet(ClientConnection(ours, server_hostname="localhost"), lying_server(theirs, edit_bytes(CertificateVerify, record)))
    client = ClientConnection(ours, server_hostname="localhost")
    meet(client, lying_server(theirs, edit_bytes(CertificateVerify, lambda body: body.__setitem__(slice(None), recorded[0]))))
    assert isinstance(client.error, PeerMisbehaved)
    assert client.error.reason == "bad_signature"
