"""Randomness and nonces: from the system each time, after a fork too; no nonce twice under a key."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

import pytest

from minitls import ClientConnection, Policy, ServerConnection
from minitls.crypto.aead import AEAD
from minitls.crypto.suites import SUITES
from minitls.record import protection
from minitls.testing import exchange, memory_pair
from tests.conftest import Pki
from tests.liar import meet


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_two_children_differ(pki: Pki) -> None:
    """Fork: no state of ours is shared that would make two children say the same."""
    config = pki.quick[0]
    ClientConnection(config, server_hostname="localhost")
    said = []
    for _ in range(2):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, ClientConnection(config, server_hostname="localhost").data_to_send())
            os._exit(0)
        os.close(writing)
        said.append(os.read(reading, 65536))
        os.close(reading)
        assert os.waitpid(child, 0)[1] == 0
    assert len(said[0]) == len(said[1]) > 100
    same = sum(a == b for a, b in zip(*said, strict=True))
    assert same < len(said[0]) - 80  # random, session id and share: 96 bytes


def test_hellos_differ(pki: Pki) -> None:
    hellos = [ClientConnection(pki.client_config(), server_hostname="localhost").info.client_hello for _ in range(20)]
    assert len({hello.random for hello in hellos}) == len({hello.legacy_session_id for hello in hellos}) == 20


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_no_nonce_twice(pki: Pki, suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """GCM nonce reuse: every sealing of two connections that talk, update, pad, fail and close, by key and nonce."""
    used: Counter[tuple[bytes, bytes]] = Counter()

    def make(key: bytes) -> Any:
        real = suite.aead.make(key)

        class Watched:
            decrypt, decrypt_into = real.decrypt, real.decrypt_into

            def encrypt(self, nonce: bytes, data: Any, header: Any) -> bytes:
                used[key, bytes(nonce)] += 1
                return bytes(real.encrypt(nonce, data, header))

            def encrypt_into(self, nonce: bytes, data: Any, header: Any, buf: Any) -> int:
                used[key, bytes(nonce)] += 1
                return int(real.encrypt_into(nonce, data, header, buf))

        return Watched()

    watched = AEAD(suite.aead.name, suite.aead.key_length, suite.aead.tag_length, make, 40)  # and updates by itself
    monkeypatch.setitem(SUITES, suite.code, type(suite)(suite.code, watched, suite.hash_name))  # type: ignore[arg-type]
    policy = Policy(cipher_suites=(suite.name,), groups=("x25519",))
    client, server = memory_pair(pki.client_config(policy=policy), pki.server_config(policy=policy, record_padding=100))
    for size in (1, 5, 100_000, 1_000_000, 3):
        client.send_data(bytes(size))
        server.send_data(bytes(size // 10))
        exchange(client, server)
    client.update_keys(request_peer=True)
    exchange(client, server)
    server.close()
    client.close()
    exchange(client, server)
    assert len(used) > 60
    assert set(used.values()) == {1}
    keys = {key for key, _ in used}
    assert len(keys) >= 6
    assert protection.BATCH == 16


def test_failed_connections_say_one_alert_and_no_more(pki: Pki) -> None:
    """And so seal no record twice under a sequence number."""
    client, server = ClientConnection(pki.client_config(), server_hostname="localhost"), ServerConnection(pki.server_config())
    meet(client, server)
    for _ in range(3):
        try:
            client.receive_data(b"\x17\3\3\0\x20" + bytes(32))
        except Exception as error:
            last = error
    assert last is client.error
    assert len(client.data_to_send()) == 5 + 2 + 1 + 16
    assert client.data_to_send() == b""
