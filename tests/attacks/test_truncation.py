"""Truncation: an end that the peer did not announce is an error, wherever the stream is cut."""

from __future__ import annotations

import pytest

from minitls import ApplicationData, ClientConnection, Connection, PeerClosed, ServerConnection, TruncationError
from minitls.testing import memory_pair
from tests.conftest import Pki


@pytest.mark.parametrize("role", ["client", "server"])
def test_cut_at_every_offset(pki: Pki, role: str) -> None:
    """Truncation of data: each cut point but the last raises; what came whole is given first."""
    client, server = memory_pair(*pki.quick)
    saying: Connection = server if role == "client" else client
    records = []
    for n in range(4):
        saying.send_data(bytes((n,)) * 10)
        records.append(saying.data_to_send())
    saying.close()
    records.append(saying.data_to_send())
    stream, ends = b"".join(records), [sum(map(len, records[: n + 1])) for n in range(len(records))]
    sealed = (client if role == "client" else server)._records
    opening = sealed.opening
    for cut in range(len(stream) + 1):
        hearing: Connection = memory_pair(*pki.quick)[0 if role == "client" else 1]
        assert opening is not None
        hearing._records.opening = type(opening)(opening.suite, opening._secret)
        events = hearing.receive_data(stream[:cut])
        whole = sum(cut >= end for end in ends)
        data = b"".join(event.data for event in events if isinstance(event, ApplicationData))
        assert data == b"".join(bytes((n,)) * 10 for n in range(min(whole, 4)))
        if cut == len(stream):
            assert events[-1] == PeerClosed()
            assert hearing.receive_eof() == []
            continue
        assert not hearing.peer_closed
        with pytest.raises(TruncationError):
            hearing.receive_eof()


@pytest.mark.parametrize("role", ["client", "server"])
def test_cut_in_the_handshake(pki: Pki, role: str) -> None:
    """Truncation of the handshake: at every offset of the peer's flight; nobody takes half of one for a whole."""
    ours, theirs = pki.quick
    for cut in range(0, 1000, 7):
        client, server = ClientConnection(ours, server_hostname="localhost"), ServerConnection(theirs)
        hello = client.data_to_send()
        if role == "server":
            if cut >= len(hello):
                break
            server.receive_data(hello[:cut])
            hearing: Connection = server
        else:
            server.receive_data(hello)
            flight = server.data_to_send()
            if cut >= len(flight):
                break
            client.receive_data(flight[:cut])
            hearing = client
        assert not hearing.handshake_completed
        with pytest.raises(TruncationError, match="during the handshake"):
            hearing.receive_eof()


def test_close_notify_of_the_wrong_level_is_one(pki: Pki) -> None:
    """RFC 8446 section 6: the level says nothing, so it cannot be used to make an end look like a fault, or a fault like an end."""
    client, server = memory_pair(*pki.quick)
    server._output.append(server._records.write(21, b"\2\0"))
    assert client.receive_data(server.data_to_send()) == [PeerClosed()]


def test_an_end_in_the_handshake_is_none(pki: Pki) -> None:
    """close_notify before Finished is an error on both sides, not a connection without data."""
    client = ClientConnection(pki.quick[0], server_hostname="localhost")
    with pytest.raises(Exception, match="close_notify"):
        client.receive_data(b"\x15\3\3\0\2\1\0")
    assert not client.peer_closed
