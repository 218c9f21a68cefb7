"""``minitls get``: redirects, files that are continued, and the bar."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import minitls
from minitls.cli import main
from minitls.cli.common import DONE, RANGE, REDIRECTS, TLS, USAGE, CommandError
from minitls.cli.get import redirected
from minitls.config import ClientAuth
from minitls.errors import TLSError
from tests.conftest import Pki
from tests.test_cli_reach import listening

BODY = bytes(range(256)) * 40


class Site:
    """An HTTPS server that answers by its table: a path's answer, or what makes it of the request's head."""

    def __init__(self, port: int, ca: Path) -> None:
        self.url = f"https://localhost:{port}"
        self.asked: list[str] = []
        self.shown: list[bool] = []
        self.answers: dict[str, bytes | Callable[[str], bytes]] = {}
        self._ca = str(ca)

    def get(self, path: str, *options: str) -> int:
        return main(["get", f"{self.url}{path}", "--ca", self._ca, *options])

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        self.answers[path] = f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 3\r\n\r\nno!".encode()


def ok(body: bytes, head: str = "200 OK", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {head}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


@pytest.fixture
def site(pki: Pki, tmp_path: Path) -> Iterator[Site]:
    with listening_site(pki, tmp_path) as made:
        yield made


class listening_site:  # reads as what it is: with listening_site(...)
    def __init__(self, pki: Pki, tmp_path: Path) -> None:
        self._pki = pki
        self._ca = tmp_path / "ca.pem"
        self._ca.write_bytes(pki.authority.root_pem())
        self._site: Site | None = None
        self._listening = listening(self._handle)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        site = self._site
        assert site is not None
        inner = minitls.aio.streams.StreamReader()  # type: ignore[attr-defined]
        protocol = asyncio.StreamReaderProtocol(inner)
        config = self._pki.server_config(trust=self._pki.trust, client_auth=ClientAuth.request, alpn=("http/1.1",))
        try:
            transport = await minitls.start_tls(writer.transport, protocol, config)  # type: ignore[arg-type]
            protocol.connection_made(transport)
            head = (await inner.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            site.asked.append(path)
            site.shown.append(bool(transport.get_extra_info("tls").peer_chain))
            answer = site.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            transport.write(answer(head) if callable(answer) else answer)
            await inner.read(1)
            transport.close()
        except (OSError, TLSError, asyncio.IncompleteReadError):
            pass  # a client that goes away is its own business
        finally:
            writer.close()

    def __enter__(self) -> Site:
        self._site = Site(self._listening.__enter__(), self._ca)
        return self._site

    def __exit__(self, *error: object) -> None:
        self._listening.__exit__(None, None, None)


# redirects --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect(status: int, site: Site, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    site.redirect("/a", "b/c?d#e", status)
    site.answers["/b/c?d"] = ok(b"here")
    assert site.get("/a") == DONE
    out = capfdbinary.readouterr()
    assert (out.out, out.err) == (b"here", b"")
    assert site.asked == ["/a", "/b/c?d"]


def test_to_another_host_nothing_of_ours_goes_along(
    site: Site, pki: Pki, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    issued = pki.authority.issue("alice@dev.example", client=True)
    mine = tmp_path / "mine.pem"
    mine.write_bytes(issued.chain_pem() + issued.key_pem())
    with listening_site(pki, tmp_path) as other:
        site.redirect("/a", "/b")
        site.redirect("/b", f"{other.url}/c")
        other.answers["/c"] = ok(b"there")
        assert site.get("/a", "--cert", str(mine), "--save-session", str(tmp_path / "kept")) == DONE
    assert capfdbinary.readouterr().out == b"there"
    assert (site.shown, other.shown) == ([True, True], [False])
    assert b"localhost" in (tmp_path / "kept").read_bytes()


def test_too_many(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.redirect("/a", "/a")
    assert site.get("/a") == REDIRECTS
    assert len(site.asked) == 11
    assert "more than 10 redirects" in capfd.readouterr().err
    assert site.get("/a", "--max-redirects", "2") == REDIRECTS
    assert site.get("/a", "--max-redirects", "-1") == USAGE


def test_none_are_followed(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.redirect("/a", "/b")
    assert site.get("/a", "--max-redirects", "0") == DONE
    out = capfd.readouterr()
    assert out.out == "no!"
    assert "HTTP 302 Found" in out.err


@pytest.mark.parametrize("to", ["http://localhost/", "ftp://localhost/", "javascript:alert(1)", "file:///etc/passwd"])
def test_a_redirect_that_leaves_tls(to: str, site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.redirect("/a", to)
    assert site.get("/a") == TLS
    assert "is not https: not followed" in capfd.readouterr().err


def test_where_it_leads() -> None:
    assert redirected("example.com/a/b", "../c") == "https://example.com/c"
    assert redirected("https://example.com/a", "//other.example/x") == "https://other.example/x"
    with pytest.raises(CommandError, match="no URL"):
        redirected("https://example.com/a", "https://[::1/")


def test_the_json_tells_the_way(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    site.redirect("/a", "/b")
    site.redirect("/b", "/c")
    site.answers["/c"] = ok(b"here")
    assert site.get("/a", "--json", "-o", str(tmp_path / "body")) == DONE
    assert json.loads(capfd.readouterr().out)["redirects"] == [f"{site.url}/b", f"{site.url}/c"]


# files that are continued -----------------------------------------------------------------------------------------------


def in_parts(head: str) -> bytes:
    """A server that knows ranges."""
    asked = [line for line in head.split("\r\n") if line.lower().startswith("range: bytes=")]
    if not asked:
        return ok(BODY)
    first = int(asked[0].partition("=")[2].rstrip("-"))
    if first >= len(BODY):
        return ok(b"", "416 Range Not Satisfiable", f"Content-Range: bytes */{len(BODY)}")
    return ok(BODY[first:], "206 Partial Content", f"Content-Range: bytes {first}-{len(BODY) - 1}/{len(BODY)}")


@pytest.mark.parametrize("there", [0, 1, 5000, len(BODY) - 1, len(BODY)])
def test_a_file_is_continued(there: int, site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    site.answers["/file"] = in_parts
    file = tmp_path / "file"
    if there:
        file.write_bytes(BODY[:there])
    assert site.get("/file", "-o", str(file), "--continue") == DONE
    assert file.read_bytes() == BODY
    assert capfd.readouterr().err == ""


def test_a_server_without_ranges_sends_it_all(site: Site, tmp_path: Path) -> None:
    site.answers["/file"] = ok(BODY)
    file = tmp_path / "file"
    file.write_bytes(b"something else")
    assert site.get("/file", "-o", str(file), "-C") == DONE
    assert file.read_bytes() == BODY


def test_what_cannot_be_continued(site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    site.answers["/file"] = in_parts
    file = tmp_path / "file"
    file.write_bytes(BODY + b"more")
    assert site.get("/file", "-o", str(file), "-C") == RANGE
    site.answers["/file"] = ok(b"x", "206 Partial Content", "Content-Range: bytes 7-7/8")
    assert site.get("/file", "-o", str(file), "-C") == RANGE
    assert file.read_bytes() == BODY + b"more"
    assert site.get("/file", "-C") == USAGE
    error = capfd.readouterr().err
    assert "is not the beginning of it" in error
    assert "another part" in error
    assert "-o FILE" in error


# the bar ----------------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    site.answers["/file"] = in_parts
    file = tmp_path / "[bold]file"
    file.write_bytes(BODY[:5])
    assert site.get("/file", "-o", str(file), "-C") == DONE
    assert file.read_bytes() == BODY
    assert "[bold]file" in screen.getvalue()
    assert "10.2" in screen.getvalue()  # kB, all of it: also what was there before
