"""Servers in many settings, for all scanners alike."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop.openssl.harness import Files, Identity, OpenSSL
from interop.peers.harness import find, free_port, listening
from interop.peers.test_nginx import CONFIGURATION, FFDHE2048
from tests.running import MINITLS

OLD = ("-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
OPENSSL: dict[str, tuple[str, ...]] = {
    "openssl": ("-alpn", "h2,http/1.1"),
    "openssl, everything": OLD,
    "openssl, TLS 1.0": ("-tls1", *OLD),
    "openssl, TLS 1.1 with an order": ("-tls1_1", "-serverpref", *OLD),
    "openssl, TLS 1.2 with an order": ("-tls1_2", "-serverpref", "-cipher", "AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"),
    "openssl, TLS 1.2 as of long ago": ("-tls1_2", "-no_etm", "-no_ticket", "-client_renegotiation", *OLD),
    "openssl, TLS 1.3 alone": ("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256"),
    "openssl, one curve": ("-groups", "P-384"),
    "openssl, ECDSA": ("-key", "p256"),
}
"""s_server's options; "-key" names a kind of key, RSA otherwise."""
NGINX: dict[str, str] = {
    "nginx": "ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on; add_header Strict-Transport-Security max-age=31536000;",
    "nginx, old": (
        "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0; ssl_prefer_server_ciphers on;"
        "ssl_dhparam {folder}/dh.pem; ssl_session_cache shared:sessions:1m; ssl_session_tickets off;"
    ),
}
GNUTLS: dict[str, str] = {
    "gnutls": "NORMAL",
    "gnutls, old": "LEGACY:+VERS-TLS1.0:+VERS-TLS1.1:+3DES-CBC:+ARCFOUR-128:+RSA:+DHE-RSA:+ANON-ECDH",
}
OURS: dict[str, tuple[str, ...]] = {
    "minitls": ("--alpn", "http/1.1"),
    "minitls, legacy": ("--policy", "legacy", "--tls", "1.2"),
}
ALL_OLD = frozenset({"TLSv1", "TLSv1.1", "TLSv1.2"})
KNOWN: dict[str, dict[str, Any]] = {
    "openssl": {"versions": frozenset({"TLSv1.2", "TLSv1.3"}), "ALPN": frozenset({"h2", "http/1.1"}), "out of order": False},
    "openssl, everything": {"versions": ALL_OLD | {"TLSv1.3"}, "smallest Diffie-Hellman": 2048, "own order TLSv1.2": False},
    "openssl, TLS 1.0": {"versions": frozenset({"TLSv1"})},
    "openssl, TLS 1.1 with an order": {"versions": frozenset({"TLSv1.1"}), "own order TLSv1.1": True},
    "openssl, TLS 1.2 with an order": {"order TLSv1.2": (0x009C, 0xC030), "clients renegotiate": False, "encrypt-then-MAC": None},
    "openssl, TLS 1.2 as of long ago": {
        "clients renegotiate": True,
        "encrypt-then-MAC": False,
        "resumed by ticket": False,
        "resumed by ID": True,
    },
    "openssl, TLS 1.3 alone": {"suites TLSv1.3": frozenset({0x1304, 0x1305}), "versions": frozenset({"TLSv1.3"})},
    "openssl, one curve": {"groups TLSv1.2": frozenset({24}), "groups TLSv1.3": frozenset({24})},
    "openssl, ECDSA": {"signatures TLSv1.3": frozenset({0x0403}), "groups TLSv1.2": frozenset({23, 24, 25, 29, 30})},
    "nginx": {"HTTP status": 200, "HSTS": True, "versions": frozenset({"TLSv1.2", "TLSv1.3"}), "resumed by ticket": True},
    "nginx, old": {
        "versions": ALL_OLD,
        "own order TLSv1.2": True,
        "smallest Diffie-Hellman": 2048,
        "resumed by ticket": False,
        "resumed by ID": True,
        "HSTS": False,
    },
    "gnutls": {"resumed by ticket": True, "encrypt-then-MAC": True, "extended master secret": True},
    "gnutls, old": {"versions": ALL_OLD | {"TLSv1.3"}, "encrypt-then-MAC": True},
    "minitls": {"ALPN": frozenset({"http/1.1"}), "HTTP server": "minitls", "own order TLSv1.2": True},
    "minitls, legacy": {"own order TLSv1.2": True, "encrypt-then-MAC": True, "resumed by ID": True},
}
"""What they were told to be, and so what a scan has to find; None: not to be found out."""
SERVERS = (*OPENSSL, *NGINX, *GNUTLS, *OURS)


@dataclass(frozen=True)
class Place:
    """Where the tests' servers come from, and where they may put their files."""

    openssl: OpenSSL
    files: Files
    folder: Path

    @contextlib.asynccontextmanager
    async def server(self, name: str) -> AsyncIterator[int]:
        """One of SERVERS; gives its port."""
        identity = self.files.server("rsa2048")
        if name in OPENSSL:
            options = list(OPENSSL[name])
            if "-key" in options:
                at = options.index("-key")
                identity = self.files.server(options[at + 1])
                del options[at : at + 2]
            (self.folder / "dh.pem").write_text(FFDHE2048)
            async with self.openssl.server("-www", "-dhparam", str(self.folder / "dh.pem"), *options, identity=identity) as peer:
                yield peer.port
        elif name in NGINX:
            async with self._nginx(NGINX[name], identity) as port:
                yield port
        elif name in GNUTLS:
            port = free_port()
            shown = ("--x509certfile", str(identity.full), "--x509keyfile", str(identity.key), "--http", "--disable-client-cert")
            async with listening(port, find("gnutls-serv", "gnutls-bin"), "--port", str(port), *shown, "--priority", GNUTLS[name]):
                yield port
        else:
            port = free_port()
            if "legacy" in name:  # sslscan waits for ServerKeyExchange where none comes: without RSA, it always does
                identity = self.files.server()
            ours = ("--cert", str(identity.full), "--key", str(identity.key), "--listen", f"127.0.0.1:{port}", "--www")
            async with listening(port, *MINITLS, "serve", *ours, *OURS[name]):
                yield port

    @contextlib.asynccontextmanager
    async def _nginx(self, settings: str, identity: Identity) -> AsyncIterator[int]:
        port, configuration = free_port(), self.folder / "nginx.conf"
        (self.folder / "dh.pem").write_text(FFDHE2048)
        settings = settings.replace("{folder}", str(self.folder))
        configuration.write_text(CONFIGURATION.format(folder=self.folder, port=port, identity=identity, settings=settings))
        async with listening(port, find("nginx", "nginx-light"), "-p", str(self.folder), "-c", str(configuration), "-e", "stderr"):
            yield port
