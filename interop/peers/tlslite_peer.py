"""tlslite-ng as a process: ``tlslite_peer.py client PORT ALGORITHM [CERTIFICATE KEY]`` or ``tlslite_peer.py server CERTIFICATE KEY
[ask]``.

Python alone, TLS 1.3.  The client reads certificates that are compressed with this algorithm, sends a line and prints what comes
back; it verifies signatures, but no chain.  The server answers each connection's line with the line itself, and prints its port
first; told to ask, it asks for a certificate.  Both print how the certificates were compressed.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

from tlslite.api import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    HandshakeSettings,
    TLSConnection,
    X509CertChain,
    parsePEMKey,
)


def identity(certificate: str, key: str) -> dict[str, Any]:
    chain = X509CertChain()
    chain.parsePemList(Path(certificate).read_text())
    return {"certChain": chain, "privateKey": parsePEMKey(Path(key).read_text(), private=True)}


def settings() -> Any:
    made = HandshakeSettings()
    made.minVersion = made.maxVersion = (3, 4)
    return made


def tell(connection: Any) -> None:
    shown = connection.session.clientCertChain
    print(
        f"agreed {connection.getVersionName()}; server's {connection.server_cert_compression_algo};",
        f"client's {connection.client_cert_compression_algo}, {len(shown.x509List) if shown else 0} certificates",
        flush=True,
    )


def client(port: str, algorithm: str, *files: str) -> None:
    connection = TLSConnection(socket.create_connection(("127.0.0.1", int(port)), 10))
    ours = settings()
    ours.certificate_compression_receive = [algorithm]
    connection.handshakeClientCert(**(identity(*files) if files else {}), settings=ours, serverName="localhost")
    tell(connection)
    connection.sendall(b"hello\n")
    print("heard", connection.recv(100).decode(), flush=True)
    connection.close()


def server(certificate: str, key: str, ask: str = "") -> None:
    shown = identity(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    print("listens at", listener.getsockname()[1], flush=True)
    while True:
        connection = TLSConnection(listener.accept()[0])
        connection.handshakeServer(**shown, reqCert=bool(ask), settings=settings())
        tell(connection)
        connection.sendall(connection.recv(100))
        connection.close()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        client(*sys.argv[2:])
    else:
        server(*sys.argv[2:])
