"""Errors in the standard library's terms: ours beside the standard library's own, which the same faults provoke."""

from __future__ import annotations

import _ssl
import ctypes
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

import minitls
from minitls import (
    Alert,
    AlertReceived,
    CertificateError,
    ClientConfig,
    ClientConnection,
    Policy,
    ServerConfig,
    ServerConnection,
    TrustStore,
)
from minitls.certificates.authority import Authority
from minitls.errors import HandshakeTimeout, Misuse, PeerIncompatible, PeerMisbehaved, TLSError, TruncationError
from minitls.ssl import errors
from minitls.ssl.errors import translate
from tests.chains import DAY, HOST, NOW, Made, ca, key, leaf, make, pem_of, private_pem


def told(error: ssl.SSLError) -> dict[str, Any]:
    """All that applications look at, but the text."""
    looked_at = "errno", "reason", "library", "verify_code", "verify_message"
    return {name: getattr(error, name, None) for name in looked_at} | {
        kind.__name__: isinstance(error, kind)
        for kind in (
            ssl.SSLCertVerificationError,
            ssl.SSLEOFError,
            ssl.SSLZeroReturnError,
            ssl.SSLWantReadError,
            ssl.SSLSyscallError,
        )
    }


def words(error: ssl.SSLError) -> str:
    """OpenSSL's part of the text: without the place in CPython's source, and without our sentence."""
    text = str(error).partition(" (_ssl.c:")[0]
    own = getattr(error, "__cause__", None)
    return text.partition(f": {own.message}")[0] if isinstance(own, TLSError) else text


def same(ours: ssl.SSLError, theirs: ssl.SSLError) -> None:
    assert told(ours) == told(theirs)
    assert words(ours) == words(theirs)
    assert ours.args[0] == ours.errno == theirs.args[0]
    assert ours.args[1] == ours.strerror
    assert words(ours) in ours.strerror


# The standard library's two sides ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def folder(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("errors")
    issued = authority.issue(HOST)
    (folder / "server.pem").write_bytes(issued.chain_pem() + issued.key_pem())
    (folder / "ca.pem").write_bytes(authority.root_pem())
    return folder


def client_context(folder: Path, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "ca.pem")
    for name, value in options.items():
        setattr(context, name, value)
    return context


def server_context(folder: Path, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    for name, value in options.items():
        setattr(context, name, value)
    return context


class Side:
    """An SSLObject between two buffers, with its first error kept."""

    def __init__(self, context: ssl.SSLContext, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **how: Any) -> None:
        self.incoming, self.outgoing = incoming, outgoing
        self.object = context.wrap_bio(incoming, outgoing, **how)
        self.error: ssl.SSLError | None = None

    def tries(self, call: Callable[[], Any]) -> None:
        if self.error is None:
            try:
                call()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.error = error


def sides(client: ssl.SSLContext, server: ssl.SSLContext, name: str = HOST) -> tuple[Side, Side]:
    """Both sides after their handshake, however it went."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    pair = Side(client, down, up, server_hostname=name), Side(server, up, down, server_side=True)
    for _ in range(4):
        for side in pair:
            side.tries(side.object.do_handshake)
    return pair


def one_side(context: ssl.SSLContext, data: bytes, **how: Any) -> ssl.SSLError:
    """What the standard library says when ``data`` is what comes first."""
    side = Side(context, ssl.MemoryBIO(), ssl.MemoryBIO(), **how)
    side.tries(side.object.do_handshake)
    side.incoming.write(data)
    side.tries(side.object.do_handshake)
    assert side.error is not None
    return side.error


# Our two sides ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours(authority: Authority) -> tuple[ClientConfig, ServerConfig]:
    return ClientConfig(trust=authority.trust()), ServerConfig(credentials=(authority.issue(HOST).credential(),))


def handshake(client: ClientConnection, server: ServerConnection) -> None:
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with suppress(TLSError):
                other.receive_data(one.data_to_send())


def first(connection: ClientConnection | ServerConnection, data: bytes) -> TLSError:
    connection.data_to_send()
    with suppress(TLSError):
        connection.receive_data(data)
    assert connection.error is not None
    return connection.error


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ({"minimum_version": ssl.TLSVersion.TLSv1_3}, {"maximum_version": ssl.TLSVersion.TLSv1_2}),
        ({"maximum_version": ssl.TLSVersion.TLSv1_2}, {"minimum_version": ssl.TLSVersion.TLSv1_3}),
    ],
    ids=["the server's is too old", "the client's is too old"],
)
def test_no_common_version(
    theirs: dict[str, Any], mine: dict[str, Any], folder: Path, ours: tuple[ClientConfig, ServerConfig]
) -> None:
    def policy(limits: dict[str, Any]) -> Policy:
        return Policy.intermediate.replace(versions=("TLSv1.3",) if "minimum_version" in limits else ("TLSv1.2",))

    pair = sides(client_context(folder, **theirs), server_context(folder, **mine))
    client = ClientConnection(replace(ours[0], policy=policy(theirs)), server_hostname=HOST)
    server = ServerConnection(replace(ours[1], policy=policy(mine)))
    handshake(client, server)
    for side, connection in zip(pair, (client, server), strict=True):
        assert isinstance(side.error, ssl.SSLError)
        assert connection.error is not None
        same(translate(connection.error), side.error)


def test_no_common_cipher_suite(folder: Path, ours: tuple[ClientConfig, ServerConfig]) -> None:
    contexts = client_context(folder, maximum_version=ssl.TLSVersion.TLSv1_2), server_context(folder)
    contexts[0].set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    pair = sides(*contexts)
    policy = Policy.intermediate.replace(versions=("TLSv1.2",), cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",))
    client, server = ClientConnection(replace(ours[0], policy=policy), server_hostname=HOST), ServerConnection(ours[1])
    handshake(client, server)
    for side, connection in zip(pair, (client, server), strict=True):
        assert isinstance(side.error, ssl.SSLError)
        assert connection.error is not None
        same(translate(connection.error), side.error)


def test_no_common_group(folder: Path, ours: tuple[ClientConfig, ServerConfig]) -> None:
    contexts = client_context(folder), server_context(folder)
    contexts[0].set_ecdh_curve("prime256v1")
    contexts[1].set_ecdh_curve("secp521r1")
    pair = sides(*contexts)
    groups = [config.policy.replace(groups=(group,)) for config, group in zip(ours, ("secp256r1", "secp521r1"), strict=True)]
    client = ClientConnection(replace(ours[0], policy=groups[0].replace(versions=("TLSv1.3",))), server_hostname=HOST)
    server = ServerConnection(replace(ours[1], policy=groups[1]))
    handshake(client, server)
    for side, connection in zip(pair, (client, server), strict=True):
        assert isinstance(side.error, ssl.SSLError)
        assert connection.error is not None
        same(translate(connection.error), side.error)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_no_client_certificate(version: str, authority: Authority, folder: Path, ours: tuple[ClientConfig, ServerConfig]) -> None:
    limit = ssl.TLSVersion.TLSv1_2 if version == "TLSv1.2" else ssl.TLSVersion.TLSv1_3
    strict = server_context(folder, verify_mode=ssl.CERT_REQUIRED)
    strict.load_verify_locations(folder / "ca.pem")
    pair = sides(client_context(folder, maximum_version=limit), strict)
    pair[0].tries(pair[0].object.read)
    client = ClientConnection(replace(ours[0], policy=Policy.intermediate.replace(versions=(version,))), server_hostname=HOST)
    server = ServerConnection(replace(ours[1], client_auth=minitls.ClientAuth.require, trust=authority.trust()))
    handshake(client, server)
    for side, connection in zip(pair, (client, server), strict=True):
        assert isinstance(side.error, ssl.SSLError)
        assert connection.error is not None
        same(translate(connection.error), side.error)


FIRST_BYTES = {
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "an HTTP response": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": bytes(16),
    "a record that is too long": b"\x16\3\1\xff\xff\1\0",
    "application data": b"\x17\3\3\0\5abcde",
    "a wrong change_cipher_spec": b"\x14\3\1\0\1\2",
}


@pytest.mark.parametrize("what", FIRST_BYTES)
@pytest.mark.parametrize("role", ["client", "server"])
def test_no_tls(what: str, role: str, folder: Path, ours: tuple[ClientConfig, ServerConfig]) -> None:
    data = FIRST_BYTES[what]
    if role == "client":
        theirs = one_side(client_context(folder), data, server_hostname=HOST)
        error = first(ClientConnection(ours[0], server_hostname=HOST), data)
    else:
        theirs = one_side(server_context(folder), data, server_side=True)
        error = first(ServerConnection(ours[1]), data)
    same(translate(error), theirs)


def test_a_damaged_record(folder: Path, ours: tuple[ClientConfig, ServerConfig]) -> None:
    client, server = sides(client_context(folder), server_context(folder))
    server.object.write(b"hello")
    sent = server.outgoing.read()
    client.incoming.write(sent[:-1] + bytes([sent[-1] ^ 1]))
    client.tries(lambda: client.object.read())
    assert client.error is not None
    mine, peer = ClientConnection(ours[0], server_hostname=HOST), ServerConnection(ours[1])
    handshake(mine, peer)
    peer.send_data(b"hello")
    sent = peer.data_to_send()
    same(translate(first(mine, sent[:-1] + bytes([sent[-1] ^ 1]))), client.error)


@pytest.mark.parametrize("code", [code for code in range(1, 256) if code != 90])
def test_alerts(code: int, folder: Path, ours: tuple[ClientConfig, ServerConfig]) -> None:
    data = bytes([21, 3, 3, 0, 2, 2, code])
    theirs = one_side(client_context(folder), data, server_hostname=HOST)
    mine = translate(first(ClientConnection(ours[0], server_hostname=HOST), data))
    assert isinstance(mine, AlertReceived)
    assert (mine.code, mine.library, mine.errno) == (code, theirs.library, theirs.errno)
    if theirs.reason is None:  # CPython has no name for it, so that only we say one
        assert mine.reason in ("", str(words(theirs)).removeprefix("[SSL] ").upper().replace(" ", "_"))
        assert words(mine).partition("] ")[2] == words(theirs).partition("] ")[2]
    else:
        same(mine, theirs)


def test_user_canceled(folder: Path) -> None:
    """As a fatal alert, which OpenSSL takes it for."""
    same(
        translate(AlertReceived(Alert.user_canceled)),
        one_side(client_context(folder), bytes([21, 3, 3, 0, 2, 2, 90]), server_hostname=HOST),
    )


# Certificates -----------------------------------------------------------------------------------------------------------

ROOT = ca("root")
MIDDLE = ca("middle", ROOT)
CHAINS: dict[str, Callable[[], list[Made]]] = {
    "expired": lambda: [leaf(ROOT, begin=NOW - 9 * DAY, end=NOW - DAY)],
    "not yet valid": lambda: [leaf(ROOT, begin=NOW + DAY)],
    "self-signed": lambda: [make(HOST, names=(HOST,))],
    "another CA's": lambda: [leaf(ca("other"))],
    "another CA's, sent along": lambda: [leaf(other := ca("other")), other],
    "no intermediate": lambda: [leaf(MIDDLE)],
    "another name": lambda: [leaf(ROOT, names=("other.example",))],
    "for clients": lambda: [leaf(ROOT, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])],
    "by a leaf": lambda: [leaf(middle := make("middle", ROOT)), middle],
    "path length": lambda: [leaf(low := ca("low", middle := ca("middle", ROOT, room=0))), low, middle],
    "excluded": lambda: [leaf(middle := ca("middle", ROOT, excluded=[HOST])), middle],
    "not permitted": lambda: [leaf(middle := ca("middle", ROOT, permitted=["other.example"])), middle],
    "a weak key": lambda: [leaf(ROOT, key=key("rsa1024"))],
}


def refused(chain: list[Made], folder: Path, name: str) -> ssl.SSLError:
    """What the standard library's client says of it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=pem_of(ROOT.certificate))
    (folder / "leaf.pem").write_text(private_pem(chain[0].key).decode() + "".join(pem_of(made.certificate) for made in chain))
    server.set_ciphers("DEFAULT@SECLEVEL=0")
    server.load_cert_chain(folder / "leaf.pem")
    error = sides(client, server, name)[0].error
    assert error is not None
    return error


def refused_by_us(chain: list[Made], name: str) -> CertificateError:
    with pytest.raises(CertificateError) as caught:
        TrustStore.from_certificates([ROOT.certificate]).verify([made.der for made in chain], name)
    return caught.value


@pytest.mark.parametrize("name", CHAINS)
def test_certificates(name: str, tmp_path: Path) -> None:
    chain = CHAINS[name]()
    error = refused_by_us(chain, HOST)
    mine = translate(error, HOST)
    same(mine, refused(chain, tmp_path, HOST))
    assert isinstance(mine, CertificateError)
    assert (mine.chain, mine.remedy, mine.alert, mine.rule) == (error.chain, error.remedy, error.alert, error.rule)
    assert str(mine).startswith("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: ")
    assert error.message in str(mine)


def test_another_address(tmp_path: Path) -> None:
    chain = [leaf(ROOT)]
    same(translate(refused_by_us(chain, "127.0.0.1"), "127.0.0.1"), refused(chain, tmp_path, "127.0.0.1"))


def test_a_name_that_nobody_told() -> None:
    error = translate(refused_by_us([leaf(ROOT)], "other.example"))
    assert (error.verify_code, error.verify_message) == (62, "hostname mismatch")


def _codes_in_the_source() -> Iterator[int]:
    """Every verify_code that our certificate checks have."""
    source = Path(minitls.__file__).parent / "certificates"
    for file in source.glob("*.py"):
        text = file.read_text()
        yield from (int(code) for code in re.findall(r"Fault\(\s*\"\w+\",\s*Alert\.\w+,\s*(\d+)", text))
        for names, codes in re.findall(
            r"^((?:_?[A-Z_]+, )*_?[A-Z_]+) = ([\d, ]+?)  # (?:OpenSSL|of OpenSSL)'s", text, re.MULTILINE
        ):
            assert names
            yield from map(int, codes.split(", "))


def test_every_code_has_openssls_words() -> None:
    codes = set(_codes_in_the_source()) | {1, 62, 64}
    assert {10, 18, 20, 23, 3, 47, 66, 74, 95} <= codes
    said = ctypes.CDLL(_ssl.__file__).X509_verify_cert_error_string
    said.restype, said.argtypes = ctypes.c_char_p, [ctypes.c_long]
    newer = {95}  # raw public keys, since OpenSSL 3.2
    assert codes <= errors._VERIFY_MESSAGES.keys()
    for code in errors._VERIFY_MESSAGES.keys() - newer:
        assert errors._VERIFY_MESSAGES[code] == said(code).decode(), code


# The end of a connection ------------------------------------------------------------------------------------------------


def caught(call: Callable[[], Any]) -> ssl.SSLError:
    with pytest.raises(ssl.SSLError) as raised:
        call()
    return raised.value


def connected(folder: Path) -> tuple[Side, Side]:
    pair = sides(client_context(folder), server_context(folder))
    assert [side.error for side in pair] == [None, None]
    return pair


def test_want_read(folder: Path) -> None:
    same(errors.want_read(), caught(connected(folder)[0].object.read))


def test_want_write() -> None:
    error = errors.want_write()
    assert told(error) == told(errors.want_read()) | {"errno": ssl.SSL_ERROR_WANT_WRITE, "SSLWantReadError": False}
    assert isinstance(error, ssl.SSLWantWriteError)
    assert str(error) == "The operation did not complete (write)"


def test_zero_return(folder: Path) -> None:
    client, server = connected(folder)
    caught(client.object.unwrap)
    server.object.unwrap()
    client.object.unwrap()
    same(errors.zero_return(), caught(client.object.read))


def test_eof(folder: Path) -> None:
    client, _ = connected(folder)
    client.incoming.write_eof()
    same(errors.eof(), caught(client.object.read))
    assert isinstance(errors.eof(), TruncationError)


def test_protocol_is_shutdown(folder: Path) -> None:
    client, _ = connected(folder)
    caught(client.object.unwrap)
    same(errors.protocol_is_shutdown(), caught(lambda: client.object.write(b"x")))


def test_application_data_after_close_notify(folder: Path) -> None:
    client, server = connected(folder)
    caught(client.object.unwrap)
    server.object.write(b"x")
    same(errors.application_data_after_close_notify(), caught(client.object.unwrap))


def test_shutdown_while_in_init(folder: Path) -> None:
    client = Side(client_context(folder), ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=HOST)
    client.tries(client.object.do_handshake)
    same(errors.shutdown_while_in_init(), caught(client.object.unwrap))


# What translating keeps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        PeerMisbehaved(Alert.illegal_parameter, "it chose what we did not offer", rule="RFC 8446 4.1.3"),
        PeerIncompatible(Alert.handshake_failure, "nothing in common"),
        AlertReceived(Alert.internal_error),
        CertificateError(Alert.bad_certificate, "not good", reason="malformed", chain=[b"der"], remedy="another one"),
        TruncationError(),
        HandshakeTimeout(3),
        Misuse("called wrongly", reason="bad_key"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_stays(error: TLSError) -> None:
    before = vars(error).copy(), error.args, str(error)
    made = translate(error)
    assert type(made) is type(error)
    assert (made.alert, made.rule) == (error.alert, error.rule)
    assert made.__cause__ is error
    assert (vars(error), error.args, str(error)) == before  # the engine's own is as it was
    assert error.message in made.message
    assert str(made) == (f"{made.message} ({error.rule})" if error.rule else made.message)
    assert translate(made) is made
    assert made.library == "SSL"


def test_what_is_not_ours_stays_as_it_is() -> None:
    for error in ssl.SSLWantReadError(2, "x"), ssl.SSLError("x"):
        assert translate(error) is error


def test_an_uncaught_one_reads_well() -> None:
    code = (
        "from minitls.errors import *; from minitls.ssl.errors import translate\n"
        "raise translate(PeerIncompatible(Alert.protocol_version, 'nothing', rule='RFC 1', reason='unsupported_protocol'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    lines = done.stderr.splitlines()
    assert lines[0] == "minitls.errors.PeerIncompatible: nothing (RFC 1)"
    assert lines[-1] == "minitls.errors.PeerIncompatible: [SSL: UNSUPPORTED_PROTOCOL] unsupported protocol: nothing (RFC 1)"
