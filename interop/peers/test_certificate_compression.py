"""Certificate compression (RFC 8879) with those who have it: primp, impit, curl_cffi (the server), tlslite-ng (both).

Neither OpenSSL's commands nor its wheels have it as they are built, nor Go's crypto/tls, nor Debian's GnuTLS.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interop.openssl.harness import Files, Watch, connected, info_of, missing, reverse, running, serving
from interop.peers.harness import BODY, page
from minitls import Alert, ClientAuth, PeerMisbehaved
from minitls.observe import MessageSeen
from minitls.wire.messages import Certificate, CompressedCertificate
from minitls.wire.numbers import CertificateCompressionAlgorithm as Algorithm
from tests.conftest import Pki

EACH = ("brotli", "zlib", "zstd")

READ = {
    "primp": ("brotli", "zlib", "zstd"),
    "impit": ("brotli", "zlib"),
    "curl_cffi chrome136": ("brotli",),
    "curl_cffi firefox135": ("brotli", "zlib", "zstd"),
    "curl_cffi safari184": ("zlib",),
}
"""What each client reads."""


@pytest.fixture(scope="session")
def browser() -> Callable[[str], tuple[str, str, str]]:
    """``browser("curl_cffi chrome136")``: the start of its command."""

    def find(name: str) -> tuple[str, str, str]:
        package = name.split()[0]
        if importlib.util.find_spec(package) is None:
            if sys.platform != "linux" or platform.machine() != "x86_64":
                pytest.skip(f"{package} is tried on Linux x86_64 only")
            missing(f"{package} is missing")
        return sys.executable, str(Path(__file__).with_name("browser_peer.py")), name

    return find


@pytest.fixture(scope="session")
def tlslite() -> tuple[str, str]:
    """The start of its command."""
    if importlib.util.find_spec("tlslite") is None:
        missing("tlslite-ng is missing")
    return sys.executable, str(Path(__file__).with_name("tlslite_peer.py"))


def certificates(watch: Watch, *, sent: bool) -> list[str]:
    """What the Certificate messages were compressed with; "plain"."""
    found = []
    for each in watch.all:
        if isinstance(each, MessageSeen) and each.sent == sent and isinstance(each.message, (Certificate, CompressedCertificate)):
            compressed = each.message if isinstance(each.message, CompressedCertificate) else None
            assert compressed is None or len(compressed.compressed_certificate_message) < compressed.uncompressed_length
            found.append("plain" if compressed is None else Algorithm(compressed.algorithm).name)
    return found


# our server with browsers' TLS ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ours", "expected"),
    [
        *((name, (algorithm,), algorithm) for name, read in READ.items() for algorithm in read),
        ("primp", None, "brotli"),
        ("curl_cffi safari184", None, "zlib"),
        ("curl_cffi chrome136", ("zlib", "brotli"), "brotli"),
        ("impit", ("zstd",), "plain"),
        *((name, (), "plain") for name in ("primp", "impit", "curl_cffi chrome136")),
    ],
    ids=lambda each: each if isinstance(each, str) else "of " + ("-".join(each) or "none") if each is not None else "of all",
)
async def test_server(
    browser: Callable[[str], tuple[str, str, str]],
    pki: Pki,
    files: Files,
    name: str,
    ours: tuple[str, ...] | None,
    expected: str,
) -> None:
    watch = Watch()
    config = pki.server_config(alpn=("http/1.1",), certificate_compression=ours, observer=watch)
    command = browser(name)
    async with serving(config, page) as served, running(*command, f"https://localhost:{served.port}/", str(files.ca)) as peer:
        await peer.said(b"heard 200 %d\n" % len(BODY))
        assert await peer.exit() == 0, peer.text
    assert certificates(watch, sent=True) == [expected]
    assert [info.version for info in served.infos] == ["TLSv1.3"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("primp", rb"UnknownIssuer"),
        ("impit", rb"UnknownIssuer"),
        ("curl_cffi chrome136", rb"unable to get local issuer certificate"),
    ],
    ids=["primp", "impit", "curl_cffi"],
)
async def test_server_that_is_not_trusted(
    browser: Callable[[str], tuple[str, str, str]], pki: Pki, files: Files, name: str, reason: bytes
) -> None:
    """They verify what they decompress.  By its address: where ``localhost`` has two, primp tells of the other."""
    watch = Watch()
    strange = pki.strangers.issue("127.0.0.1").credential()
    config = pki.server_config(credentials=(strange,), certificate_compression=("brotli",), observer=watch)
    command = browser(name)
    async with serving(config, page) as served, running(*command, f"https://127.0.0.1:{served.port}/", str(files.ca)) as peer:
        await peer.said(reason)
        assert await peer.exit() == 1, peer.text
        await served.error()
    assert set(certificates(watch, sent=True)) == {"brotli"}


# tlslite-ng -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ours", [*EACH, ""])
async def test_client_with_tlslite(tlslite: tuple[str, str], pki: Pki, files: Files, ours: str) -> None:
    """Its server's certificate, which we verify."""
    identity = files.server()
    watch = Watch()
    config = pki.client_config(certificate_compression=(ours,) if ours else (), observer=watch)
    async with running(*tlslite, "server", str(identity.full), str(identity.key)) as peer:
        port = int((await peer.said(rb"listens at (\d+)\n"))[1])
        async with connected(port, config) as (reader, writer):
            writer.write(b"hello\n")
            assert await reader.readexactly(6) == b"hello\n"
            info = info_of(writer)
        await peer.said(b"agreed TLS 1.3; server's %s;" % (ours or "None").encode())
    assert certificates(watch, sent=False) == [ours or "plain"]
    assert info.verified_chain[0] == identity.credential().chain[0]


@pytest.mark.parametrize("ours", [*EACH, ""])
async def test_client_certificate_with_tlslite(tlslite: tuple[str, str], pki: Pki, files: Files, ours: str) -> None:
    """Ours: it asks for every algorithm that it has."""
    identity = files.server()
    credential = files.client().credential()
    watch = Watch()
    config = pki.client_config(credential=credential, certificate_compression=(ours,) if ours else (), observer=watch)
    async with running(*tlslite, "server", str(identity.full), str(identity.key), "ask") as peer:
        port = int((await peer.said(rb"listens at (\d+)\n"))[1])
        async with connected(port, config) as (reader, writer):
            writer.write(b"hello\n")
            assert await reader.readexactly(6) == b"hello\n"
        told = b"client's %s, %d certificates" % ((ours or "None").encode(), len(credential.chain))
        await peer.said(told)
    assert certificates(watch, sent=True) == [ours or "plain"]


@pytest.mark.parametrize("ours", [*EACH, ""])
async def test_server_with_tlslite(tlslite: tuple[str, str], pki: Pki, ours: str) -> None:
    watch = Watch()
    config = pki.server_config(certificate_compression=(ours,) if ours else (), observer=watch)
    async with (
        serving(config, reverse) as served,
        running(*tlslite, "client", str(served.port), ours or "zlib") as peer,
    ):
        await peer.said(b"agreed TLS 1.3; server's %s;" % (ours or "None").encode())
        await peer.said(b"heard olleh")
        assert await peer.exit() == 0, peer.text
    assert certificates(watch, sent=True) == [ours or "plain"]


@pytest.mark.parametrize("ours", EACH)
async def test_server_asks_tlslite(tlslite: tuple[str, str], pki: Pki, files: Files, ours: str) -> None:
    """Its client's certificate, which we verify."""
    identity = files.client()
    watch = Watch()
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust, certificate_compression=(ours,), observer=watch)
    shown = (str(identity.full), str(identity.key))
    async with serving(config, reverse) as served, running(*tlslite, "client", str(served.port), ours, *shown) as peer:
        await peer.said(b"heard olleh")
        assert await peer.exit() == 0, peer.text
    assert certificates(watch, sent=False) == certificates(watch, sent=True) == [ours]
    assert served.infos[0].verified_chain[0] == identity.credential().chain[0]


@pytest.mark.parametrize("ours", ["brotli", ""])
async def test_server_that_does_not_ask_tlslite(tlslite: tuple[str, str], pki: Pki, files: Files, ours: str) -> None:
    """Its client takes its own hello for our request, and compresses with zlib whatever we ask for."""
    identity = files.client()
    config = pki.server_config(client_auth=ClientAuth.require, trust=pki.trust, certificate_compression=(ours,) if ours else ())
    shown = (str(identity.full), str(identity.key))
    async with serving(config, reverse) as served, running(*tlslite, "client", str(served.port), "zlib", *shown):
        error = await served.error()
    assert isinstance(error, PeerMisbehaved)
    if ours:
        assert (error.alert, error.reason) == (Alert.illegal_parameter, "unknown_cert_compression_alg")
    else:
        assert error.alert is Alert.unexpected_message
