"""A private key in a process of its own: a signing agent behind a Unix socket, and the signer that asks it.

    python -m interop.signers.agent SOCKET KEY.pem

and in the server, which never sees the key::

    Credential(load_chain(pem), signer=AgentSigner("SOCKET"))

Whoever breaks into the server can ask for signatures as long as they are there, and takes no key away.  The agent signs what a
TLS 1.3 server's CertificateVerify signs (RFC 8446 section 4.4.3), and nothing else: no certificate, no mail, no other protocol.
TLS 1.2 signs what looks like anything; ``--anything`` allows it.

A connection is one signature: the scheme (2 bytes) and the data, to the end of the stream; back come a zero byte and the
signature, or a one and a sentence.  The socket's mode is 0600: the agent's user, and nobody else, may ask.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from minitls.certificates.credentials import load_key
from minitls.crypto.signatures import SCHEMES, SCHEMES_12, SERVER_CONTEXT, signed_content
from minitls.errors import Alert, Misuse, TLSError
from minitls.wire.numbers import SignatureScheme

TIMEOUT = 5.0
SIGNED, REFUSED = b"\x00", b"\x01"


class AgentSigner:
    """``Credential(chain, signer=AgentSigner(path))``.  ``timeout``: seconds in which the agent has to answer."""

    def __init__(self, path: str | os.PathLike[str], timeout: float = TIMEOUT) -> None:
        self._path = path
        self._timeout = timeout

    async def __call__(self, scheme: SignatureScheme, data: bytes) -> bytes:
        """Raises TLSError: the handshake ends with the alert internal_error, and other handshakes go on."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._ask(scheme.to_bytes(2) + data)
        except TimeoutError:
            raise self._error(f"did not answer within {self._timeout:g} s") from None
        except OSError as error:
            raise self._error(f"is gone: {error.strerror or error}") from None
        if answer[:1] == REFUSED:
            raise self._error(f"refuses: {answer[1:].decode('utf-8', 'backslashreplace')}")
        if answer[:1] != SIGNED:
            raise self._error("ended in the middle of an answer")
        return answer[1:]

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            writer.write(request)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()

    def _error(self, what: str) -> TLSError:
        return TLSError(Alert.internal_error, f"the signing agent at {self._path} {what}", reason="signer_failed")


class Agent:
    """What runs in the other process.  ``anything``: sign what is no TLS 1.3 server's CertificateVerify, too."""

    def __init__(self, key: PrivateKeyTypes, *, anything: bool = False) -> None:
        self._key = key
        self._anything = anything
        self._schemes = SCHEMES_12 if anything else SCHEMES

    def sign(self, request: bytes) -> bytes:
        """The answer to a request; never raises."""
        scheme, data = self._schemes.get(int.from_bytes(request[:2])), request[2:]
        if scheme is None:
            return REFUSED + b"unknown signature scheme"
        if not (self._anything or data.startswith(signed_content(SERVER_CONTEXT, b""))):
            return REFUSED + b"this is not what a TLS 1.3 server signs"
        try:
            return SIGNED + scheme.sign(self._key, data)
        except Misuse as error:
            return REFUSED + str(error).encode()

    async def serve(self, path: str) -> None:
        """Until cancelled."""
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._answer, path)
        finally:
            os.umask(before)
        async with server:
            print(f"signing at {path}", flush=True)
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                writer.write(await asyncio.to_thread(self.sign, await reader.read()))
                await writer.drain()
        writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Sign with a private key, for who may open a Unix socket.")
    parser.add_argument("socket", help="where to listen; what a dead agent left there is replaced")
    parser.add_argument("key", help="a private key in PEM")
    parser.add_argument("--anything", action="store_true", help="sign what is no TLS 1.3 server's CertificateVerify, too")
    args = parser.parse_args()
    key = load_key(Path(args.key).read_bytes(), where=args.key)
    Path(args.socket).unlink(missing_ok=True)
    with suppress(KeyboardInterrupt):
        asyncio.run(Agent(key, anything=args.anything).serve(args.socket))


if __name__ == "__main__":
    main()
