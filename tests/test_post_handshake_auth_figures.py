"""What post-handshake client authentication looks like: golden figures, and the story, the text and the JSON of a run.

The files are in tests/figures, in a folder of their own; MINITLS_UPDATE_FIGURES=1 writes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minitls import ClientConnection, ServerConnection
from minitls.testing import exchange, memory_pair
from minitls.trace.figure import figure
from minitls.trace.json import document, dump
from minitls.trace.recording import Recording
from minitls.trace.story import tell
from minitls.trace.text import as_text, draw
from tests.conftest import Pki

FIGURES = Path(__file__).parent / "figures" / "post-handshake"
UPDATE = bool(os.environ.get("MINITLS_UPDATE_FIGURES"))


class Talk:
    """A client and a server, both recorded, after their handshake."""

    def __init__(self, pki: Pki, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> None:
        self.seen: tuple[Any, Any] = (Recording("client"), Recording("server"))
        ours = {"post_handshake_auth": True, "credential": pki.client(), "observer": self.seen[0], **(client or {})}
        theirs = {"post_handshake_auth": True, "trust": pki.trust, "observer": self.seen[1], **(server or {})}
        self.client: ClientConnection
        self.server: ServerConnection
        self.client, self.server = memory_pair(pki.client_config(**ours), pki.server_config(**theirs))

    def say(self, *, client: bool) -> None:
        (self.client if client else self.server).send_data(b"some words")
        self.carry()

    def ask(self) -> None:
        self.server.request_client_certificate()
        self.carry()

    def carry(self) -> None:
        exchange(self.client, self.server)

    def drawing(self) -> str:
        drawn = figure(self.seen[0].timeline, "client")
        assert drawn == figure(self.seen[1].timeline, "server")
        return drawn


def asked(pki: Pki) -> Talk:
    """RFC 8446 section 4.6.2: the client has asked for something that is not for everybody."""
    talk = Talk(pki)
    talk.say(client=True)
    talk.ask()
    talk.say(client=False)
    return talk


def declined(pki: Pki) -> Talk:
    talk = Talk(pki, {"credential": None})
    talk.ask()
    return talk


def twice(pki: Pki) -> Talk:
    """With new keys in between."""
    talk = Talk(pki)
    talk.ask()
    talk.client.update_keys(request_peer=True)
    talk.carry()
    talk.say(client=False)
    talk.ask()
    return talk


def compressed(pki: Pki) -> Talk:
    talk = Talk(pki, server={"certificate_compression": ("zlib",)})
    talk.ask()
    return talk


SCENARIOS: dict[str, Callable[[Pki], Talk]] = {each.__name__: each for each in (asked, declined, twice, compressed)}


@pytest.mark.parametrize("name", SCENARIOS)
def test_figure(name: str, pki: Pki) -> None:
    drawn, file = SCENARIOS[name](pki).drawing() + "\n", FIGURES / f"{name}.txt"
    assert all(len(line) <= 79 and line == line.rstrip() for line in drawn.splitlines())
    if UPDATE:
        file.write_text(drawn, encoding="ascii")
    assert drawn == file.read_text(encoding="ascii")


def test_no_figure_is_left_over() -> None:
    assert {file.stem for file in FIGURES.glob("*.txt")} == set(SCENARIOS)


@pytest.mark.parametrize(("name", "times"), {"asked": 1, "declined": 1, "twice": 2, "compressed": 1}.items())
def test_story(name: str, times: int, pki: Pki) -> None:
    """A chapter of its own, behind the handshake's: and nothing of it in those."""
    talk = SCENARIOS[name](pki)
    for ours, other in (talk.seen, talk.seen[::-1], (talk.seen[0], None)):
        steps = tell(ours, other=other)
        titles = [step.title for step in steps]
        found = [step for step in steps if step.title == "The server asks who the client is, after all"]
        assert len(found) == times
        assert titles.index(found[0].title) > titles.index("New keys, for the data")
        assert "The client shows who it is" not in titles
        assert "The server asks who the client is" not in titles
        labels = [arrow.label.partition(",")[0] for arrow in found[-1].arrows]
        shown = {"declined": ["Certificate"], "compressed": ["CompressedCertificate", "CertificateVerify"]}
        assert labels == ["CertificateRequest", *shown.get(name, ["Certificate", "CertificateVerify"]), "Finished"]
        assert (("certificate", "none: the client declines") in found[0].facts) == (name == "declined")
        (finished,) = (step for step in steps if step.title == "Both compare what they have heard")
        assert len(finished.arrows) == 2


@pytest.mark.parametrize("name", SCENARIOS)
def test_text_and_json(name: str, pki: Pki) -> None:
    talk = SCENARIOS[name](pki)
    for seen, connection in zip(talk.seen, (talk.client, talk.server), strict=True):
        text = "\n".join(as_text(line) for line in draw(seen.role, seen.timeline))
        assert text.count("CertificateRequest") == (2 if name == "twice" else 1)
        assert "CertificateRequest" in dump(document(seen, connection.info))
