"""Secrets in logs, reprs, tracebacks: never; and what is compared with them takes the same time whatever it is."""

from __future__ import annotations

import ast
import base64
import dataclasses
import gc
import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

import minitls
from minitls import ClientAuth, ClientConnection, Connection, ServerConnection, TLSError
from minitls.crypto.schedule import EarlySecret
from minitls.handshake.client import make_offer
from minitls.testing import exchange, memory_pair
from minitls.wire.messages import CertificateVerify, Finished
from tests.conftest import Pki
from tests.liar import edit, hear, lying_client, lying_server, meet

SOURCE = Path(minitls.__file__).parent


def spellings(secret: bytes) -> list[str]:
    return [
        secret.hex(),
        repr(secret)[2:-1],
        repr(bytearray(secret))[12:-2],
        base64.b64encode(secret).decode(),
        str(list(secret))[1:-1],
    ]


class Secrets:
    """What a key log was told, and more that a handshake makes; ``shown_in`` says which of them a text tells."""

    def __init__(self) -> None:
        self.known: set[bytes] = set()

    def log(self, line: str) -> None:
        self.known.add(bytes.fromhex(line.split()[2]))

    def learn(self, connection: Connection) -> None:
        """The traffic keys that are in use, and what later ones would come from."""
        for protection in connection._records.opening, connection._records.sealing:
            if protection is not None:
                secret = protection._secret
                self.known |= {secret.value, *secret.key_and_iv(16)}
                if "HANDSHAKE" not in secret.key_log_label:
                    self.known.add(protection.updated_secret().value)
        if connection.info._exporter is not None:
            self.known |= {connection.info._exporter[0]._secret, connection.info.exporter_secret().value}

    def shown_in(self, text: str) -> list[bytes]:
        return [secret for secret in self.known if any(spelling in text for spelling in spellings(secret))]


def ours(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] == "minitls"


def reachable(*roots: Any) -> list[Any]:
    """Every object of our own classes that can be reached from these through ours and containers."""
    seen: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or not (ours(thing) or isinstance(thing, (list, tuple, dict, set))):
            continue
        seen[id(thing)] = thing
        waiting += [each for each in gc.get_referents(thing) if not isinstance(each, type)]
    return [thing for thing in seen.values() if ours(thing)]


def test_nothing_that_we_make_shows_a_secret(pki: Pki) -> None:
    """Secrets in reprs: everything that hangs on two connections, in the middle of the handshake and after it."""
    secrets = Secrets()
    config = pki.client_config(key_log=secrets.log, credential=pki.client())
    client = ClientConnection(config, server_hostname="localhost")
    server = ServerConnection(pki.server_config(client_auth=ClientAuth.require, trust=pki.trust))
    hear(server, client.data_to_send(), [])
    hear(client, server.data_to_send(), [])
    secrets.learn(server)
    secrets.learn(client)
    middle = reachable(client, server, make_offer(config, "localhost"))
    text = "\n".join(repr(thing) for thing in middle)
    exchange(client, server)
    client.update_keys(request_peer=True)
    exchange(client, server)
    server.send_data(b"the server's next key, too")
    exchange(client, server)
    secrets.learn(client)
    secrets.learn(server)
    after = reachable(client, server)
    assert len(secrets.known) >= 20
    assert {"ClientConnection", "ConnectionInfo", "TrafficSecret", "Opening", "Driver", "KeyShare"} <= {
        type(thing).__name__ for thing in middle
    }
    assert not secrets.shown_in(text + "\n".join(f"{thing!r} {thing}" for thing in after))


def test_stages_show_nothing() -> None:
    """The key schedule's own classes."""
    secrets = Secrets()
    early = EarlySecret("sha256", b"\x11" * 32)
    handshake = early.handshake_secret(b"\x22" * 32)
    main = handshake.main_secret()
    digest = bytes(32)
    stages = [early, handshake, main, main.exporter(digest), main.resumption(digest)]
    traffic = [*handshake.traffic(digest), *main.traffic(digest), main.traffic(digest)[1].updated()]
    secrets.known = {stage._secret for stage in stages} | {secret.value for secret in traffic} | {b"\x11" * 32, b"\x22" * 32}
    assert not secrets.shown_in(repr(stages) + repr(traffic) + str(stages))


def test_errors_show_no_secret(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Secrets in tracebacks: every error of a failed handshake, printed as Python prints it."""
    caplog.set_level(logging.DEBUG)
    for kind, what in (Finished, "verify_data"), (CertificateVerify, "signature"):
        for role in "client", "server":
            lie = edit(kind, lambda message, what=what: setattr(message, what, bytes(32)))
            secrets = Secrets()
            ours, theirs = (dataclasses.replace(config, key_log=secrets.log) for config in pki.quick)
            client = lying_client(ours, lie) if role == "client" else ClientConnection(ours, server_hostname="localhost")
            server = lying_server(theirs, lie) if role == "server" else ServerConnection(theirs)
            meet(client, server)
            secrets.learn(client)
            secrets.learn(server)
            for side in client, server:
                assert isinstance(side.error, TLSError)
                text = "".join(traceback.format_exception(side.error)) + repr(side.error) + repr(side.error.__dict__)
                assert not secrets.shown_in(text)
    assert not caplog.records


def test_private_keys_show_nothing(pki: Pki) -> None:
    """A credential, and configurations with it."""
    issued = pki.issue("localhost")
    number = issued.key.private_numbers().private_value
    secrets = Secrets()
    secrets.known = {number.to_bytes(32, "big")}
    text = repr([issued, issued.credential(), pki.server_config(), pki.client_config(credential=pki.client()), pki.authority])
    assert not secrets.shown_in(text)
    assert str(number) not in text
    assert "BEGIN" not in text


def test_connections_do_not_pickle(pki: Pki) -> None:
    """Secrets do not leave by copying, either."""
    client, _ = memory_pair(*pki.quick)
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(client)


def test_no_key_log_unless_asked(pki: Pki, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSLKEYLOGFILE is honoured by the command, never by the engine on its own."""
    file = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(file))
    memory_pair(pki.client_config(), pki.server_config())
    assert not file.exists()


# timing -------------------------------------------------------------------------------------------------------------------

SECRET_VALUES = ("verify_data", "binder", "cookie", "tag", "mac")


def compared(tree: ast.AST) -> list[tuple[int, str]]:
    """Each ``==`` and ``!=`` one of whose sides is named like a value that must not be told by timing."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
            for side in (node.left, *node.comparators):
                name = ast.unparse(side)
                if name.rpartition(".")[2] in SECRET_VALUES and not name.startswith("X."):  # X.cookie is a number
                    found.append((node.lineno, name))
    return found


def test_compare_digest() -> None:
    """Timing: Finished, cookies and (when they come) binders are compared by hmac.compare_digest, and by nothing else."""
    assert compared(ast.parse("a.verify_data == b")) == [(1, "a.verify_data")]
    for file in SOURCE.rglob("*.py"):
        assert not compared(ast.parse(file.read_text())), file
    for name in "authenticate", "server13":
        assert "hmac.compare_digest(" in (SOURCE / "handshake" / f"{name}.py").read_text()
