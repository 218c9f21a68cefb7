"""Our client against nginx."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop.openssl.harness import Files, Peer
from interop.peers.harness import find, free_port, get, listening
from minitls import Policy
from minitls.sessions.store import MemoryStore
from tests.conftest import Pki

CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {identity.full}; ssl_certificate_key {identity.key};
    {settings}
    location / {{ return 200 "$ssl_protocol $ssl_cipher $ssl_session_reused [$ssl_client_s_dn] $ssl_server_name"; }}
  }}
}}
"""
SETTINGS = {
    "TLSv1.2": "ssl_protocols TLSv1.2;",
    "TLSv1.3": "ssl_protocols TLSv1.2 TLSv1.3;",
}
RESUMPTION = {
    "by ticket": "ssl_session_tickets on;",
    "by ID": "ssl_session_tickets off; ssl_session_cache shared:sessions:1m;",
}
FFDHE2048 = """-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
"""nginx has no group of its own (RFC 7919 appendix A.1)."""


@pytest.fixture(scope="session")
def nginx() -> str:
    return find("nginx", "nginx-light")


@contextlib.asynccontextmanager
async def serving(nginx: str, files: Files, folder: Path, settings: str, key: str = "p256") -> AsyncIterator[Peer]:
    port = free_port()
    configuration = folder / "nginx.conf"
    text = CONFIGURATION.format(folder=folder, port=port, identity=files.server(key), settings=settings)
    configuration.write_text(text)
    async with listening(port, nginx, "-p", str(folder), "-c", str(configuration), "-e", "stderr") as peer:
        yield peer


@pytest.mark.parametrize("key", ["p256", "rsa2048"])
@pytest.mark.parametrize("version", SETTINGS)
async def test_get(nginx: str, pki: Pki, files: Files, tmp_path: Path, version: str, key: str) -> None:
    async with serving(nginx, files, tmp_path, SETTINGS[version], key) as peer:
        info, body = await get(peer.port, pki.client_config(alpn=("http/1.1",)))
    assert (info.version, info.alpn_protocol) == (version, "http/1.1")
    assert body.startswith(version.encode())
    assert body.endswith(b" . [] localhost")


async def test_1_2_where_it_has_both(nginx: str, pki: Pki, files: Files, tmp_path: Path) -> None:
    policy = Policy.intermediate.replace(versions=("1.2",))
    async with serving(nginx, files, tmp_path, SETTINGS["TLSv1.3"]) as peer:
        info, _ = await get(peer.port, pki.client_config(policy=policy))
    assert info.version == "TLSv1.2"


@pytest.mark.parametrize("how", RESUMPTION)
async def test_resumption(nginx: str, pki: Pki, files: Files, tmp_path: Path, how: str) -> None:
    config = pki.client_config(session_store=MemoryStore())
    async with serving(nginx, files, tmp_path, SETTINGS["TLSv1.2"] + RESUMPTION[how]) as peer:
        for resumed in (False, True, True):
            info, body = await get(peer.port, config)
            assert info.resumed == resumed
            assert (b" r " in body) == resumed


@pytest.mark.parametrize("cipher", ["AES256-SHA", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256"])
async def test_legacy_suites(nginx: str, pki: Pki, files: Files, tmp_path: Path, cipher: str) -> None:
    parameters = tmp_path / "dh.pem"
    parameters.write_text(FFDHE2048)
    settings = f"{SETTINGS['TLSv1.2']} ssl_ciphers {cipher}:@SECLEVEL=0; ssl_dhparam {parameters};"
    async with serving(nginx, files, tmp_path, settings, "rsa2048") as peer:
        _, body = await get(peer.port, pki.client_config(policy=Policy.legacy))
    assert cipher.encode() in body


@pytest.mark.parametrize("version", SETTINGS)
async def test_client_certificate(nginx: str, pki: Pki, files: Files, tmp_path: Path, version: str) -> None:
    settings = f"{SETTINGS[version]} ssl_client_certificate {files.ca}; ssl_verify_client on; ssl_verify_depth 3;"
    async with serving(nginx, files, tmp_path, settings) as peer:
        info, body = await get(peer.port, pki.client_config(credential=files.client().credential()))
    assert info.client_signature_scheme == "ecdsa_secp256r1_sha256"
    assert b"[CN=client]" in body
