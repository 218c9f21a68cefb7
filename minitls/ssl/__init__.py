"""The drop-in: the standard library's ``ssl``, with connections that are ours.

``minitls.ssl.create_default_context()`` gives an :class:`ssl.SSLContext` whose ``wrap_bio`` and ``wrap_socket`` make SSLObjects and
SSLSockets (subclasses of the standard library's) of minitls' engine.  aiohttp, httpx, urllib, uvicorn, asyncpg and all others that
take a context take this one.  Theory of operation::

    context     what was set, and OpenSSL's own context behind it, for what that checks and gives back
    configs     a native configuration of a context, once after each change
    channel     the engine, pumped by reads and writes, answering as OpenSSL's connection does
    object      between two memory BIOs        pump, sockets    over a socket, by several threads at once
    session     a client's sessions            ciphers, errors  what OpenSSL calls them

It translates, and holds no protocol logic.  Every other name of the standard module is here, too, and is the standard one.

What differs: TLS 1.2 is the oldest version.  The common name of a certificate is never taken for a host name.  ``read`` may give
the data of several records at once.  Keys for PSKs have at least 16 bytes.  asyncio's own loop sends no alert when a handshake
fails, as with the standard library: it drops what stands in the BIO and resets the connection (uvloop, trio and anyio send it).
"""

from __future__ import annotations

import ssl as _standard
import sys
import warnings
from socket import create_connection
from ssl import *  # noqa: F403  # the module's shape: what is not ours below is the standard library's
from typing import Any

from minitls.ssl.context import SSLContext as SSLContext
from minitls.ssl.context import _create_unverified_context, context_from
from minitls.ssl.context import create_default_context as create_default_context  # type: ignore[assignment]  # ours
from minitls.ssl.object import SSLObject as SSLObject
from minitls.ssl.session import SSLSession as SSLSession  # type: ignore[assignment]  # ours: theirs cannot be made
from minitls.ssl.sockets import SSLSocket as SSLSocket

globals().update({name: value for name, value in vars(_standard).items() if name not in globals()})  # those with an underscore

SSLContext.sslobject_class = SSLObject
SSLContext.sslsocket_class = SSLSocket
_create_default_https_context = create_default_context
_create_stdlib_context = _create_unverified_context

_ELSEWHERE = ("urllib3.util.ssl_", "pip._vendor.urllib3.util.ssl_")
"""Modules that keep the standard library's class under a name of their own."""


def wrap_socket(  # type: ignore[no-redef]
    sock: Any,
    keyfile: str | None = None,
    certfile: str | None = None,
    server_side: bool = False,
    cert_reqs: int = _standard.CERT_NONE,
    ssl_version: int = _standard.PROTOCOL_TLS,
    ca_certs: str | None = None,
    do_handshake_on_connect: bool = True,
    suppress_ragged_eofs: bool = True,
    ciphers: str | None = None,
) -> SSLSocket:
    """As the standard library had it until Python 3.12."""
    warnings.warn("ssl.wrap_socket() is deprecated, use SSLContext.wrap_socket()", category=DeprecationWarning, stacklevel=2)
    if server_side and not certfile:
        raise ValueError("certfile must be specified for server-side operations")
    if keyfile and not certfile:
        raise ValueError("certfile must be specified")
    context = SSLContext(ssl_version)
    context.verify_mode = _standard.VerifyMode(cert_reqs)
    if ca_certs:
        context.load_verify_locations(ca_certs)
    if certfile:
        context.load_cert_chain(certfile, keyfile)
    if ciphers:
        context.set_ciphers(ciphers)
    wrapped: SSLSocket = context.wrap_socket(
        sock, server_side=server_side, do_handshake_on_connect=do_handshake_on_connect, suppress_ragged_eofs=suppress_ragged_eofs
    )
    return wrapped


def get_server_certificate(  # type: ignore[no-redef]
    addr: tuple[str, int],
    ssl_version: int = _standard.PROTOCOL_TLS_CLIENT,
    ca_certs: str | None = None,
    timeout: Any = _standard._GLOBAL_DEFAULT_TIMEOUT,  # type: ignore[attr-defined]  # as the standard library's
) -> str:
    """A server's certificate as PEM; verified if ``ca_certs`` is given."""
    context = _create_unverified_context(
        ssl_version, cert_reqs=_standard.CERT_REQUIRED if ca_certs is not None else _standard.CERT_NONE, cafile=ca_certs
    )
    with create_connection(addr, timeout=timeout) as sock, context.wrap_socket(sock, server_hostname=addr[0]) as wrapped:
        return _standard.DER_cert_to_PEM_cert(wrapped.getpeercert(True))


def inject_into_ssl() -> None:
    """Let the whole process use minitls: ``ssl.SSLContext`` is ours from now on, and so what ``ssl.create_default_context`` gives.

    For programs, not for libraries; as early as can be, for who has made a context before keeps it.
    """
    _replace(SSLContext)


def extract_from_ssl() -> None:
    """Undo :func:`inject_into_ssl`; contexts that were made in between stay ours."""
    _replace(_original)


_original = next(kind for kind in SSLContext.__mro__ if kind.__module__ == "ssl")


def _replace(kind: Any) -> None:
    vars(_standard)["SSLContext"] = kind
    for name in _ELSEWHERE:
        if (module := sys.modules.get(name)) is not None and hasattr(module, "SSLContext"):
            vars(module)["SSLContext"] = kind


__all__ = [
    "SSLContext",
    "SSLObject",
    "SSLSession",
    "SSLSocket",
    "context_from",
    "create_default_context",
    "extract_from_ssl",
    "get_server_certificate",
    "inject_into_ssl",
    "wrap_socket",
]
