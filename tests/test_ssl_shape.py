"""The drop-in has the standard module's shape: its names, its members, its contexts' settings; and it can take its place."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import minitls
import minitls.ssl as ours
from minitls.certificates.authority import Authority
from tests.dropin import HOST, Contexts, Files, Wire, contexts, files

_ = (contexts, files)  # fixtures

KINDS = {"ours": ours, "stdlib": ssl}


@pytest.fixture(params=KINDS)
def module(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def definer(kind: type, name: str) -> type:
    return next(each for each in kind.__mro__ if name in vars(each))


def test_every_name_of_the_module_is_there() -> None:
    assert set(dir(ssl)) <= set(dir(ours))


def test_what_is_not_ours_is_the_standard_librarys() -> None:
    differ = {name for name in dir(ssl) if not name.startswith("__") and getattr(ours, name) is not getattr(ssl, name)}
    assert differ <= {
        "SSLContext",
        "SSLObject",
        "SSLSession",
        "SSLSocket",
        "create_default_context",
        "_create_default_https_context",
        "_create_stdlib_context",
        "_create_unverified_context",
        "get_server_certificate",
        "wrap_socket",
        "create_connection",
    }
    assert differ >= {"SSLContext", "SSLObject", "SSLSession", "SSLSocket", "create_default_context"}


def test_every_member_of_an_object_is_ours() -> None:
    """One that were not would look for a connection of OpenSSL's."""
    assert {name for name in public(ssl.SSLObject) if definer(ours.SSLObject, name) is not ours.SSLObject} == set()


def test_every_member_of_a_socket_that_is_about_tls_is_ours() -> None:
    about_tls = {name for name in public(ssl.SSLSocket) if definer(ssl.SSLSocket, name) is ssl.SSLSocket}
    assert {name for name in about_tls if definer(ours.SSLSocket, name) is not ours.SSLSocket} == set()
    assert definer(ours.SSLSocket, "_real_close") is ours.SSLSocket


def test_every_member_of_a_context_is_ours() -> None:
    assert {name for name in public(ssl.SSLContext) if definer(ours.SSLContext, name) is not ours.SSLContext} == set()


def test_the_classes_are_the_standard_librarys_too() -> None:
    assert issubclass(ours.SSLContext, ssl.SSLContext)
    assert issubclass(ours.SSLObject, ssl.SSLObject)
    assert issubclass(ours.SSLSocket, ssl.SSLSocket)
    for kind in (ours.SSLObject, ours.SSLSocket):
        with pytest.raises(TypeError, match="does not have a public constructor"):
            kind()


def test_it_is_imported_when_somebody_wants_it() -> None:
    code = "import minitls, sys; assert 'minitls.ssl' not in sys.modules; minitls.ssl.create_default_context"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert minitls.ssl is ours


# settings ---------------------------------------------------------------------------------------------------------------

SETTINGS = (
    "check_hostname",
    "keylog_filename",
    "maximum_version",
    "minimum_version",
    "num_tickets",
    "options",
    "post_handshake_auth",
    "protocol",
    "security_level",
    "sni_callback",
    "verify_flags",
    "verify_mode",
)


@pytest.mark.parametrize("protocol", [ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER])
def test_a_new_context_says_what_the_standard_librarys_says(protocol: Any) -> None:
    mine, theirs = ours.SSLContext(protocol), ssl.SSLContext(protocol)
    for name in SETTINGS:
        assert getattr(mine, name) == getattr(theirs, name), name
        assert type(getattr(mine, name)) is type(getattr(theirs, name)), name
    assert [each["name"] for each in mine.get_ciphers()] == [each["name"] for each in theirs.get_ciphers()]
    assert mine.cert_store_stats() == theirs.cert_store_stats()
    assert mine.session_stats() == theirs.session_stats()
    assert mine.get_ca_certs() == theirs.get_ca_certs() == []


def test_default_contexts_say_the_same(files: Files) -> None:
    for purpose in (ssl.Purpose.SERVER_AUTH, ssl.Purpose.CLIENT_AUTH):
        mine, theirs = (each.create_default_context(purpose, cafile=files.ca) for each in (ours, ssl))
        for name in SETTINGS:
            assert getattr(mine, name) == getattr(theirs, name), name
        assert mine.get_ca_certs() == theirs.get_ca_certs()
        assert mine.get_ca_certs(binary_form=True) == theirs.get_ca_certs(True)
        assert mine.cert_store_stats() == theirs.cert_store_stats()


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated:DeprecationWarning")
def test_a_context_without_a_protocol() -> None:
    with pytest.warns(DeprecationWarning, match="without protocol"):
        assert ours.SSLContext().protocol == ssl.PROTOCOL_TLS


def test_bad_purposes(module: Any) -> None:
    with pytest.raises(TypeError):
        module.create_default_context("client")
    with pytest.raises(TypeError):
        module._create_unverified_context(purpose="client")


def test_unverified_contexts(module: Any) -> None:
    context = module._create_unverified_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    with pytest.raises(ValueError, match="certfile must be specified"):
        module._create_unverified_context(keyfile="x")


def test_settings_depend_on_each_other(module: Any) -> None:
    context = module.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ValueError, match="Cannot set verify_mode to CERT_NONE when check_hostname is enabled"):
        context.verify_mode = ssl.CERT_NONE
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.check_hostname = True
    assert context.verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(ValueError, match="sni_callback cannot be set on TLS_CLIENT context"):
        context.sni_callback = lambda *args: None
    with pytest.raises(TypeError):
        context.options = "x"
    with pytest.raises(ValueError, match="not a server context"):
        context.num_tickets = 1


def test_server_name_callbacks(module: Any, contexts: Contexts) -> None:
    server = contexts.server("ours" if module is ours else "stdlib")
    seen: list[Any] = []
    server.set_servername_callback(lambda obj, name, context: seen.append(name))
    Wire(contexts.client("ours"), server).handshake()
    assert seen == [HOST]
    server.set_servername_callback(None)
    assert server.sni_callback is None
    with pytest.raises(TypeError):
        server.set_servername_callback(3)


def test_the_common_name_is_never_a_host_name() -> None:
    context = ours.create_default_context()
    assert context.hostname_checks_common_name is False
    context.hostname_checks_common_name = False
    with pytest.raises(ValueError, match="common name"):
        context.hostname_checks_common_name = True


# certificates -----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_loaded(module: Any, files: Files, tmp_path: Path) -> None:
    context = module.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert, _ = files.issue("server")
    _, other = files.issue("other")
    nonsense = files.write("nonsense", b"nothing of the kind")
    with pytest.raises(FileNotFoundError):
        context.load_cert_chain(tmp_path / "missing")
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(nonsense)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(cert)  # without a key
    with pytest.raises(ssl.SSLError) as caught:
        context.load_cert_chain(cert, other)
    assert caught.value.reason == "KEY_VALUES_MISMATCH"
    with pytest.raises(FileNotFoundError):
        context.load_verify_locations(tmp_path / "missing")
    with pytest.raises(ssl.SSLError) as caught:
        context.load_verify_locations(nonsense)
    assert caught.value.reason == "NO_CERTIFICATE_OR_CRL_FOUND"
    for bad in ("nonsense", b"nonsense"):
        with pytest.raises(ssl.SSLError):
            context.load_verify_locations(cadata=bad)
    with pytest.raises(TypeError, match="cannot be all omitted"):
        context.load_verify_locations()
    for wrong in (3, "ü"):
        with pytest.raises(TypeError):
            context.load_verify_locations(cadata=wrong)
    with pytest.raises(ValueError, match="Empty certificate data"):
        context.load_verify_locations(cadata=b"")


def test_authorities_in_every_form(module: Any, files: Files, contexts: Contexts, tmp_path: Path) -> None:
    pem = files.authority.root_pem()
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    (tmp_path / "folder").mkdir()
    forms: tuple[dict[str, Any], ...] = (
        {"cafile": files.ca},
        {"cafile": Path(files.ca)},
        {"cafile": os.fsencode(files.ca)},
        {"cadata": pem.decode()},
        {"cadata": der},
        {"cadata": bytearray(der)},
        {"cadata": memoryview(der)},
    )
    for form in forms:
        context = module.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(**form)
        assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}
        Wire(context, contexts.server("ours")).handshake()


def test_authorities_of_a_folder(files: Files, contexts: Contexts, tmp_path: Path) -> None:
    (tmp_path / "0123abcd.0").write_bytes(files.authority.root_pem())
    (tmp_path / "README").write_text("not a certificate")
    context = ours.create_default_context(capath=tmp_path)
    assert context.get_ca_certs() == []  # as with OpenSSL, before they are needed
    Wire(context, contexts.server("ours")).handshake()
    assert len(context.get_ca_certs()) == 1


def test_the_systems_authorities(files: Files, contexts: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", files.ca)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    context = ours.create_default_context()
    assert len(context.get_ca_certs()) == 1
    Wire(context, contexts.server("ours")).handshake()


def encrypted(pem: bytes, password: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    key: Any = s.load_pem_private_key(pem, None)
    return bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(password)))


@pytest.mark.parametrize("password", ["secret", b"secret", bytearray(b"secret"), lambda: "secret", lambda: b"secret"])
def test_passwords(module: Any, files: Files, password: Any) -> None:
    issued = files.authority.issue(HOST)
    cert = files.write("locked.pem", issued.chain_pem())
    key = files.write("locked.key", encrypted(issued.key_pem(), b"secret"))
    plain = files.write("plain.key", issued.key_pem())
    context = module.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key, password)
    context.load_cert_chain(cert, plain, password)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(cert, key, "wrong")


def test_bad_passwords(module: Any, files: Files) -> None:
    issued = files.authority.issue(HOST)
    cert = files.write("locked.pem", issued.chain_pem(), encrypted(issued.key_pem(), b"secret"))
    context = module.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(TypeError, match="should be a string"):
        context.load_cert_chain(cert, password=3)
    with pytest.raises(TypeError, match="must return a string"):
        context.load_cert_chain(cert, password=lambda: 3)
    with pytest.raises(ValueError, match="cannot be longer than 1024 bytes"):
        context.load_cert_chain(cert, password="x" * 1025)
    with pytest.raises(ZeroDivisionError):
        context.load_cert_chain(cert, password=lambda: 1 // 0)


def test_certificates_as_bytes(files: Files, contexts: Contexts) -> None:
    issued = files.authority.issue(HOST)
    context = ours.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.chain_pem(), issued.key_pem())
    Wire(contexts.client("stdlib"), context).handshake()
    context = ours.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.chain_pem() + encrypted(issued.key_pem(), b"secret"), password="secret")
    Wire(contexts.client("stdlib"), context).handshake()
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(issued.chain_pem(), Authority.create("other").key_pem())


def test_one_certificate_for_each_kind_of_key(files: Files, contexts: Contexts) -> None:
    server = contexts.server("ours", cert=files.issue("rsa", key="rsa2048"))
    server.load_cert_chain(*files.issue("ec", "ec.example"))
    server.load_cert_chain(*files.issue("ec2"))  # in the place of the last
    client = contexts.client("stdlib", version="1.2")
    for suites, kind in (("aRSA+ECDHE", "RSA"), ("aECDSA", "ECDSA")):
        client.set_ciphers(suites)
        wire = Wire(client, server).handshake()
        assert kind in wire.client.cipher()[0]


# in the place of the standard library -----------------------------------------------------------------------------------

INJECTED = """
import socket, ssl, sys, threading
import minitls.ssl
before = ssl.SSLContext
minitls.ssl.inject_into_ssl()
import urllib.request, http.server
assert ssl.SSLContext is minitls.ssl.SSLContext
context = ssl.create_default_context(cafile=sys.argv[1])
assert type(context) is minitls.ssl.SSLContext
context.options |= ssl.OP_NO_TICKET
context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
context.verify_flags |= ssl.VERIFY_X509_TRUSTED_FIRST
context.verify_mode = ssl.CERT_REQUIRED
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[2], sys.argv[3])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(repr(type(self.connection)).encode())
    def log_message(self, *args):
        pass
with http.server.HTTPServer(("127.0.0.1", 0), Handler) as site:
    site.socket = server.wrap_socket(site.socket, server_side=True)
    threading.Thread(target=site.handle_request).start()
    with urllib.request.urlopen(f"https://localhost:{site.server_port}/", context=context) as answer:
        print(answer.read().decode())
minitls.ssl.extract_from_ssl()
assert ssl.SSLContext is before
assert type(ssl.create_default_context()) is before
"""


def test_injection(files: Files) -> None:
    """Into a process of its own; http.client and http.server go through it there."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INJECTED, files.ca, *files.issue("server")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert "minitls.ssl.sockets.SSLSocket" in done.stdout


@pytest.mark.skipif(not hasattr(ssl, "wrap_socket"), reason="Python 3.12 has it no more")
@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated:DeprecationWarning")
def test_the_old_wrap_socket(module: Any, files: Files, contexts: Contexts) -> None:
    import threading

    a, b = socket.socketpair()
    a.settimeout(20)
    b.settimeout(20)
    cert, key = files.issue("server")
    results: list[Any] = []

    def serve() -> None:
        with contexts.server("ours", cert=(cert, key)).wrap_socket(b, server_side=True) as server:
            results.append(server.recv(10))

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.warns(DeprecationWarning, match="wrap_socket"):
        client = module.wrap_socket(a, cert_reqs=ssl.CERT_REQUIRED, ca_certs=files.ca)
    with client:
        client.sendall(b"hello")
        thread.join()
    assert results == [b"hello"]
    with pytest.warns(DeprecationWarning, match="wrap_socket"), pytest.raises(ValueError, match="certfile must be specified"):
        module.wrap_socket(a, server_side=True)
