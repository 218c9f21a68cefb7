"""OpenSSL 4.0 in this process, without sockets: what cryptography's wheel has inside, by way of pyOpenSSL.

It has what no ``openssl`` command of a distribution has yet: the hybrid groups, and ML-DSA.
"""

from __future__ import annotations

from collections.abc import Sequence

from OpenSSL import SSL

from interop.openssl.harness import Files, Identity, missing
from minitls import Connection, Event
from tests.conftest import NAME

# pyOpenSSL has no public names for choosing groups and verifying host names.
_lib, _ffi = SSL._lib, SSL._ffi  # type: ignore[attr-defined]

GROUPS = {
    "X25519MLKEM768": "X25519MLKEM768",
    "SecP256r1MLKEM768": "SecP256r1MLKEM768",
    "SecP384r1MLKEM1024": "SecP384r1MLKEM1024",
    "x25519": "X25519",
    "secp256r1": "P-256",
    "secp384r1": "P-384",
    "secp521r1": "P-521",
    "x448": "X448",
    "ffdhe2048": "ffdhe2048",
    "ffdhe3072": "ffdhe3072",
    "ffdhe4096": "ffdhe4096",
}
KEYS = {
    "rsa2048": "rsa_pss_rsae_sha256",
    "rsapss": "rsa_pss_pss_sha256",
    "p256": "ecdsa_secp256r1_sha256",
    "p384": "ecdsa_secp384r1_sha384",
    "p521": "ecdsa_secp521r1_sha512",
    "ed25519": "ed25519",
    "ed448": "ed448",
    "mldsa44": "mldsa44",
    "mldsa65": "mldsa65",
    "mldsa87": "mldsa87",
}
NO_ANTI_REPLAY = 1 << 24
"""SSL_OP_NO_ANTI_REPLAY, which pyOpenSSL does not name."""


def require() -> None:
    """Skip, or fail if CI=true, where pyOpenSSL sits on an older OpenSSL."""
    if SSL.OPENSSL_VERSION_NUMBER < 0x30500000:
        missing(f"pyOpenSSL has {SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()}, which has no ML-KEM: 3.5 or later is needed")


def context(
    role: str,
    files: Files,
    *,
    identity: Identity | None = None,
    verify: bool = False,
    groups: Sequence[str] = (),
    suites: Sequence[str] = (),
    alpn: Sequence[bytes] = (),
    key_log: list[str] | None = None,
    max_early_data: int = 0,
) -> SSL.Context:
    """What one of its sides brings: ``role`` "client" or "server"; ``groups`` by its own names, the client's first with a share.

    ``max_early_data``: bytes of 0-RTT data that a server's tickets allow; it keeps no record of tickets used.
    """
    made = SSL.Context(SSL.TLS_SERVER_METHOD if role == "server" else SSL.TLS_CLIENT_METHOD)
    made.set_min_proto_version(SSL.TLS1_3_VERSION)
    made.set_cipher_list(b"DEFAULT:@SECLEVEL=0")  # CCM_8's short tag is below its default level
    if identity is not None:
        made.use_certificate_chain_file(str(identity.full))
        made.use_privatekey_file(str(identity.key))
    if verify:
        made.load_verify_locations(str(files.ca))
        made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    if groups:
        assert _lib.SSL_CTX_set1_curves_list(made._context, ":".join(groups).encode()) == 1
    if suites:
        made.set_tls13_ciphersuites(":".join(suites).encode())
    if alpn and role == "server":
        made.set_alpn_select_callback(lambda _, offered: next((name for name in alpn if name in offered), b""))
    elif alpn:
        made.set_alpn_protos(list(alpn))
    if key_log is not None:
        made.set_keylog_callback(lambda _, line: key_log.append(line.decode()))
    if max_early_data:
        made.set_options(NO_ANTI_REPLAY)  # with it, the server has forgotten the ticket when it asks for a second hello
        assert _lib.SSL_CTX_set_max_early_data(made._context, max_early_data) == 1
    made.set_session_id(b"minitls")
    return made


class OpenSSL4:
    """One of its connections, with the verbs of ours.

    ``received``: application data so far.  ``closed``: whether our close_notify came.  ``error``: what ended it, or None.
    ``session``: for a client to resume, ``early_data``: for it to send with its hello.  ``takes_early_data``: a server does, and
    has it in ``early``.
    """

    def __init__(
        self,
        role: str,
        made: SSL.Context,
        name: str | None = NAME,
        *,
        session: SSL.Session | None = None,
        early_data: bytes = b"",
        takes_early_data: bool = False,
    ) -> None:
        self.ssl = SSL.Connection(made)
        self.received, self.early = bytearray(), bytearray()
        self.closed = self.done = False
        self.error: SSL.Error | None = None
        self._early_data, self._takes_early_data = early_data, takes_early_data
        if session is not None:
            self.ssl.set_session(session)
        if role == "server":
            self.ssl.set_accept_state()
            return
        self.ssl.set_connect_state()
        if name is not None:
            self.ssl.set_tlsext_host_name(name.encode())
            parameters = _lib.SSL_get0_param(self.ssl._ssl)
            assert _lib.X509_VERIFY_PARAM_set1_host(parameters, _ffi.new("char[]", name.encode()), len(name)) == 1
        self._step()

    def _step(self) -> None:
        try:
            if not self.done:
                self._do_early_data()
                self.ssl.do_handshake()
                self.done = True
            while True:
                self.received += self.ssl.recv(2**16)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error as error:
            self.error = error

    def _do_early_data(self) -> None:
        """What comes before the handshake; pyOpenSSL has no public names for it."""
        size = _ffi.new("size_t *")
        if self._early_data:
            assert _lib.SSL_write_early_data(self.ssl._ssl, self._early_data, len(self._early_data), size) == 1
            self._early_data = b""
        buffer = _ffi.new("char[]", 2**14)
        while self._takes_early_data:
            result = _lib.SSL_read_early_data(self.ssl._ssl, buffer, len(buffer), size)
            if result == 0:
                self.ssl._raise_ssl_error(self.ssl._ssl, result)
            self.early += _ffi.buffer(buffer, size[0])[:]
            self._takes_early_data = result == 1  # 2: there is no more

    @property
    def resumed(self) -> bool:
        return bool(_lib.SSL_session_reused(self.ssl._ssl))

    def receive_data(self, data: bytes) -> None:
        while data:
            data = data[self.ssl.bio_write(data) :]
            if self.error is None:
                self._step()

    def data_to_send(self) -> bytes:
        out = bytearray()
        try:
            while True:
                out += self.ssl.bio_read(2**16)
        except SSL.WantReadError:
            return bytes(out)

    def send_data(self, data: bytes) -> None:
        self.ssl.sendall(data)

    def close(self) -> None:
        """Its close_notify."""
        self.ssl.shutdown()

    @property
    def reason(self) -> str:
        """Its own words for ``error``."""
        return "; ".join(entry[-1] for entry in self.error.args[0]) if self.error is not None else ""


def exchange(ours: Connection, theirs: OpenSSL4, *, chop: int = 0) -> list[Event]:
    """Carry bytes both ways, ``chop`` at a time (0: as they come), until there are none.  Gives our events; raises our errors."""
    events: list[Event] = []
    while True:
        there, back = ours.data_to_send(), theirs.data_to_send()
        if not there and not back:
            return events
        for piece in pieces(there, chop):
            theirs.receive_data(piece)
        for piece in pieces(back, chop):
            events += ours.receive_data(piece)


def pieces(data: bytes, chop: int) -> list[bytes]:
    return [data[at : at + chop] for at in range(0, len(data), chop)] if chop else [data] * bool(data)
