"""``--starttls``: how each protocol is asked, in the clear, to go on in TLS; one dialogue a protocol.

A dialogue raises CommandError where the server will not: without TLS there is nothing to go on with (RFC 8314 section 5.2).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from minitls.cli.common import TLS, CommandError
from minitls.cli.conversation import Conversation
from minitls.trace.values import safe

Dialogue: TypeAlias = Callable[[Conversation, str], Awaitable[None]]
"""Takes the conversation, and the name of the server that is wanted."""


def refused(talk: Conversation, what: str) -> CommandError:
    return CommandError(TLS, f"{talk.whom} will not begin TLS: {safe(what)}")


async def _reply(talk: Conversation, wanted: str) -> list[str]:
    """A reply of SMTP and FTP: the lines of it, each with a code of three digits, the last one followed by no hyphen (RFC 959)."""
    lines = [await talk.line()]
    code = lines[0][:3]
    while code.isdigit() and (lines[-1][:3] != code or lines[-1][3:4] == "-"):
        lines.append(await talk.line())
    if not lines[0].startswith(wanted):
        raise refused(talk, f"it says {lines[-1]!r}")
    return lines


async def smtp(talk: Conversation, server: str) -> None:
    """RFC 3207."""
    await _reply(talk, "220")
    talk.say(b"EHLO minitls.invalid\r\n")
    offered = await _reply(talk, "250")
    if not any(line[4:].strip().upper() == "STARTTLS" for line in offered):
        raise refused(talk, "it does not offer STARTTLS")
    talk.say(b"STARTTLS\r\n")
    await _reply(talk, "220")


async def imap(talk: Conversation, server: str) -> None:
    """RFC 3501 section 6.2.1."""
    greeting = await talk.line()
    if not greeting.upper().startswith("* OK"):
        raise refused(talk, f"it says {greeting!r}")
    talk.say(b"a STARTTLS\r\n")
    while not (answer := await talk.line()).startswith("a "):
        pass
    if not answer.upper().startswith("A OK"):
        raise refused(talk, f"it says {answer!r}")


async def pop3(talk: Conversation, server: str) -> None:
    """RFC 2595 section 4."""
    for command in (b"", b"STLS\r\n"):
        if command:
            talk.say(command)
        answer = await talk.line()
        if not answer.startswith("+OK"):
            raise refused(talk, f"it says {answer!r}")


async def ftp(talk: Conversation, server: str) -> None:
    """RFC 4217 section 4."""
    await _reply(talk, "220")
    talk.say(b"AUTH TLS\r\n")
    await _reply(talk, "234")


LDAP_REQUEST = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
"""LDAPMessage 1: an ExtendedRequest for StartTLS (RFC 4511 section 4.14.1)."""
LDAP_SUCCESS = b"\x0a\x01\x00"
"""resultCode ENUMERATED success."""


async def ldap(talk: Conversation, server: str) -> None:
    """RFC 4511 section 4.14: one LDAPMessage each way, in BER."""
    talk.say(LDAP_REQUEST)
    sequence, length = await talk.exactly(2)
    if sequence != 0x30:
        raise refused(talk, "its answer is not LDAP")
    if length & 0x80:
        length = int.from_bytes(await talk.exactly(length & 0x7F), "big")
    if length > 2**12:
        raise refused(talk, "its answer is too long")
    answer = re.match(rb"\x02\x01\x01\x78(?:[\x00-\x7f]|\x81.|\x82..)", message := await talk.exactly(length), re.DOTALL)
    if answer is None:
        raise refused(talk, "its answer is not one to StartTLS")
    if message[answer.end() : answer.end() + 3] != LDAP_SUCCESS:
        code = message[answer.end() + 2] if len(message) > answer.end() + 2 else "none"
        raise refused(talk, f"its result code is {code}")


async def xmpp(talk: Conversation, server: str) -> None:
    """RFC 6120 section 5.4.  The little XML that matters here is found by its text: its names are the RFC's, and nothing nests."""
    to = server.encode("ascii", "replace").replace(b"'", b"").replace(b"<", b"").replace(b"&", b"")
    talk.say(
        b"<?xml version='1.0'?><stream:stream to='%b' version='1.0' xmlns='jabber:client' "
        b"xmlns:stream='http://etherx.jabber.org/streams'>" % to
    )
    features = await talk.until(b"</stream:features>", b"<stream:features/>", b"</stream:stream>")
    if b"urn:ietf:params:xml:ns:xmpp-tls" not in features:
        raise refused(talk, "it does not offer STARTTLS")
    talk.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    answer = await talk.until(b">")
    if b"<proceed" not in answer:
        raise refused(talk, f"it says {answer.decode('ascii', 'backslashreplace')!r}")
    if not answer.endswith(b"/>"):
        await talk.until(b"</proceed>")


POSTGRES_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
"""SSLRequest, of PostgreSQL's "Message Formats"."""


async def postgres(talk: Conversation, server: str) -> None:
    """PostgreSQL, "SSL Session Encryption"."""
    talk.say(POSTGRES_REQUEST)
    answer = await talk.exactly(1)
    if answer != b"S":
        raise refused(talk, "it has TLS turned off" if answer == b"N" else "it does not speak PostgreSQL's protocol")


MYSQL_SSL = 0x0800
MYSQL_CAPABILITIES = 0x0200 | MYSQL_SSL | 0x8000
"""CLIENT_PROTOCOL_41, CLIENT_SSL, CLIENT_SECURE_CONNECTION."""


async def mysql(talk: Conversation, server: str) -> None:
    """MySQL, "Connection Phase": the server's handshake packet, then our SSLRequest, which has no answer but TLS."""
    head = await talk.exactly(4)
    length = int.from_bytes(head[:3], "little")
    if length > 2**12:
        raise refused(talk, "it does not speak MySQL's protocol")
    packet = await talk.exactly(length)
    version = packet.find(b"\0")
    capabilities = packet[version + 14 : version + 16]  # after the version: thread id, 8 bytes of salt, a filler
    if packet[:1] != b"\x0a" or version < 0 or len(capabilities) < 2:
        text = packet[3:].decode("ascii", "backslashreplace") if packet[:1] == b"\xff" else ""
        raise refused(talk, text.lstrip("#") or "it does not speak MySQL's protocol")
    if not int.from_bytes(capabilities, "little") & MYSQL_SSL:
        raise refused(talk, "it has TLS turned off")
    request = MYSQL_CAPABILITIES.to_bytes(4, "little") + (2**24 - 1).to_bytes(4, "little") + b"\x21" + bytes(23)
    talk.say(len(request).to_bytes(3, "little") + b"\x01" + request)


DIALOGUES: Mapping[str, Dialogue] = {
    "smtp": smtp,
    "imap": imap,
    "pop3": pop3,
    "ftp": ftp,
    "ldap": ldap,
    "xmpp": xmpp,
    "postgres": postgres,
    "mysql": mysql,
}
