"""What other people's TLS brought to light, each shown again without them."""

from __future__ import annotations

import pytest

from minitls import AlertReceived, Policy
from minitls.connection import MAX_WARNINGS
from minitls.endpoints import ClientConnection, ServerConnection
from minitls.errors import Alert, TLSError
from minitls.testing import exchange, memory_pair
from tests.conftest import Pki

WARNING = bytes((21, 3, 3, 0, 2, 1, Alert.unrecognized_name))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_warning_before_server_hello(pki: Pki, version: str) -> None:
    """``openssl s_server -servername`` warns so (RFC 6066 section 3) and goes on; who offers TLS 1.2 must live with it."""
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    server = ServerConnection(pki.server_config(policy=Policy.intermediate.replace(versions=(version,))))
    server.receive_data(client.data_to_send())
    assert client.receive_data(WARNING) == []
    exchange(client, server)
    assert client.info.version == f"TLSv{version}"
    assert server.handshake_completed


def test_warnings_before_server_hello_are_counted(pki: Pki) -> None:
    client = ClientConnection(pki.client_config(), server_hostname="localhost")
    for _ in range(MAX_WARNINGS):
        assert client.receive_data(WARNING) == []
    with pytest.raises(TLSError) as caught:
        client.receive_data(WARNING)
    assert caught.value.reason == "too_many_warning_alerts"


def test_warnings_mean_nothing_where_tls_12_cannot_be(pki: Pki) -> None:
    client = ClientConnection(pki.client_config(policy=Policy.modern), server_hostname="localhost")
    with pytest.raises(AlertReceived):
        client.receive_data(WARNING)


@pytest.mark.parametrize(("version", "same"), [("1.2", False), ("1.3", True)])
def test_exporter_without_a_context(pki: Pki, version: str, same: bool) -> None:
    """``openssl -keymatexport`` gives none: in TLS 1.2 that is not an empty one (RFC 5705 section 4), in 1.3 it is."""
    policy = Policy.intermediate.replace(versions=(version,))
    client, server = memory_pair(pki.client_config(policy=policy), pki.server_config(policy=policy))
    none, empty = (client.info.export_keying_material("EXPORTER-test", context, 32) for context in (None, b""))
    assert (none == empty) == same
    assert none == server.info.export_keying_material("EXPORTER-test", None, 32)
