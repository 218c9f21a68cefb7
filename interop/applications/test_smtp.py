"""Mail: STARTTLS and TLS from the start, with smtplib, aiosmtplib and aiosmtpd."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

import pytest

from interop.applications.frame import HOST, PATIENCE, Contexts, in_thread, library, patience
from tests.conftest import NAME

aiosmtplib = library("aiosmtplib")
library("aiosmtpd")
from aiosmtpd.smtp import SMTP  # noqa: E402

BODY = "A line of a long letter.\r\n" * 20_000


class Box:
    """aiosmtpd's handler: keeps what comes, and how it came."""

    def __init__(self) -> None:
        self.letters: list[tuple[bytes, str]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        of_tls = server.transport.get_extra_info("ssl_object")
        self.letters.append((envelope.original_content, of_tls.version() if of_tls else ""))
        return "250 OK"


@asynccontextmanager
async def served(box: Box, context: ssl.SSLContext, starttls: bool) -> AsyncIterator[int]:
    def protocol() -> SMTP:
        how = {"tls_context": context, "require_starttls": True} if starttls else {}
        return SMTP(box, hostname=NAME, loop=asyncio.get_running_loop(), data_size_limit=None, **how)

    server = await asyncio.get_running_loop().create_server(protocol, HOST, 0, ssl=None if starttls else context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def letter() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "a@example.org", "b@example.org", "hello"
    made.set_content(BODY)
    return made


def check(box: Box, contexts: Contexts) -> None:
    ((content, version),) = box.letters
    assert version == contexts.version_name
    assert content.count(b"A line of a long letter.\r\n") == 20_000


@pytest.mark.parametrize("starttls", [True, False], ids=["STARTTLS", "SMTPS"])
def test_smtplib(contexts: Contexts, starttls: bool) -> None:
    box, context, client_context = Box(), contexts.server(), contexts.client()
    with in_thread(lambda: served(box, context, starttls)) as port:
        if starttls:
            client = smtplib.SMTP(NAME, port, timeout=PATIENCE)
            client.starttls(context=client_context)
        else:
            client = smtplib.SMTP_SSL(NAME, port, context=client_context, timeout=PATIENCE)
        with client:
            client.send_message(letter())
    check(box, contexts)


@pytest.mark.parametrize("starttls", [True, False], ids=["STARTTLS", "SMTPS"])
async def test_aiosmtplib(contexts: Contexts, starttls: bool) -> None:
    box = Box()
    async with patience(), served(box, contexts.server(), starttls) as port:
        client = aiosmtplib.SMTP(
            hostname=NAME, port=port, use_tls=not starttls, start_tls=starttls, tls_context=contexts.client(), timeout=PATIENCE
        )
        async with client:
            await client.send_message(letter())
    check(box, contexts)


async def test_a_certificate_of_nobody_whom_we_trust(contexts: Contexts) -> None:
    async with patience(), served(Box(), contexts.server(used=False), True) as port:
        client = aiosmtplib.SMTP(hostname=NAME, port=port, start_tls=True, tls_context=contexts.distrusting(), timeout=PATIENCE)
        with pytest.raises((ssl.SSLCertVerificationError, aiosmtplib.SMTPException), match="certificate verify failed"):
            await client.connect()
