"""mbedTLS as a process: ``mbed_peer.py client PORT CA`` or ``mbed_peer.py server CERTIFICATE KEY``.

python-mbedtls has mbedTLS 2.28, which speaks TLS 1.2.  The client verifies, sends a line and prints what comes back; the server
answers each connection's line with the line itself, and prints its port first.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from mbedtls import pk, tls, x509  # type: ignore[import-not-found, unused-ignore]


def shake(connection: Any) -> None:
    while True:
        try:
            connection.do_handshake()
        except (tls.WantReadError, tls.WantWriteError):
            continue
        return


def client(port: int, ca: str) -> None:
    trust = tls.TrustStore.from_pem_file(ca)
    context = tls.ClientContext(tls.TLSConfiguration(trust_store=trust, validate_certificates=True, inner_protocols=[b"http/1.1"]))
    connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost")
    shake(connection)
    print("agreed", connection.negotiated_tls_version().name, connection.cipher()[0], connection.negotiated_protocol(), flush=True)
    connection.sendall(b"hello\n")
    print("heard", connection.recv(100).decode(), flush=True)
    connection.close()


def server(certificate: str, key: str) -> None:
    chain = [x509.CRT.from_PEM(part + END) for part in _read(certificate).split(END)[:-1]]
    pem = _read(key)
    private = pk.RSA.from_PEM(pem) if "rsa" in key else pk.ECC.from_PEM(pem)
    context = tls.ServerContext(
        tls.TLSConfiguration(certificate_chain=(chain, private), validate_certificates=False, inner_protocols=[b"http/1.1"])
    )
    below = socket.create_server(("127.0.0.1", 0))
    listener = context.wrap_socket(below)
    print("listens at", below.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        shake(connection)
        print("agreed", connection.negotiated_tls_version().name, connection.cipher()[0], flush=True)
        connection.sendall(connection.recv(100))
        connection.close()


END = "-----END CERTIFICATE-----\n"


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        client(int(sys.argv[2]), sys.argv[3])
    else:
        server(*sys.argv[2:])
