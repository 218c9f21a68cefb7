"""OCSP stapling with OpenSSL, both ways and in both versions: good, revoked, missing where it must not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.openssl.harness import Files, Identity, OpenSSL, connected, info_of, reverse, serving
from minitls import Alert, CertificateError, ConnectionInfo, Policy
from minitls.certificates.authority import Issued
from tests.conftest import Pki

VERSIONS = {"TLSv1.3": "-tls1_3", "TLSv1.2": "-tls1_2"}
both_versions = pytest.mark.parametrize("version", VERSIONS)


def in_files(files: Files, issued: Issued, stem: str) -> Identity:
    return files._issued(stem, issued)


async def talk(pki: Pki, port: int, version: str) -> ConnectionInfo:
    config = pki.client_config(policy=Policy.intermediate.replace(versions=(version,)), request_staples=True)
    async with connected(port, config) as (reader, writer):
        writer.write(b"hello\n")
        assert await reader.readline() == b"olleh\n"
        return info_of(writer)


@both_versions
async def test_s_server_staples(openssl: OpenSSL, pki: Pki, tmp_path: Path, version: str) -> None:
    response = tmp_path / "response.der"
    response.write_bytes(pki.authority.ocsp_response(pki.issue("localhost")))
    async with openssl.server("-rev", VERSIONS[version], "-status_file", str(response)) as peer:
        info = await talk(pki, peer.port, version)
    assert info.ocsp_response == response.read_bytes()
    assert info.beside is not None
    assert info.beside.staple is not None


@both_versions
async def test_s_server_staples_that_it_is_revoked(openssl: OpenSSL, pki: Pki, tmp_path: Path, version: str) -> None:
    response = tmp_path / "response.der"
    response.write_bytes(pki.authority.ocsp_response(pki.issue("localhost"), "revoked"))
    async with openssl.server("-rev", VERSIONS[version], "-status_file", str(response)) as peer:
        with pytest.raises(CertificateError) as caught:
            await talk(pki, peer.port, version)
        assert caught.value.reason == "revoked"
        await peer.said(b"sslv3 alert certificate revoked")


@both_versions
async def test_s_server_does_not_staple_what_it_must(openssl: OpenSSL, pki: Pki, files: Files, version: str) -> None:
    """RFC 7633."""
    issued = pki.authority.issue("localhost", must_staple=True)
    async with openssl.server("-rev", VERSIONS[version], identity=in_files(files, issued, f"must-{version}")) as peer:
        with pytest.raises(CertificateError) as caught:
            await talk(pki, peer.port, version)
        assert (caught.value.reason, caught.value.alert) == ("staple_missing", Alert.bad_certificate_status_response)


@both_versions
async def test_s_client_asks(openssl: OpenSSL, pki: Pki, version: str) -> None:
    """It prints what it got, and finds it good itself."""
    config = pki.server_config(credentials=(pki.stapled,))
    async with serving(config, reverse) as served, openssl.client(served.port, VERSIONS[version], "-status") as peer:
        await peer.said(b"OCSP Response Status: successful")
        await peer.said(b"Cert Status: good")
    assert served.infos[0].version == version
