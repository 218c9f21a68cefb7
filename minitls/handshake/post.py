"""Post-handshake authentication (RFC 8446 section 4.6.2): the server asks who the client is when it wants to know.

Each is a fresh flow, in a transcript that goes on from the handshake's and ends with it (section 4.4.1).  The client's messages
follow each other with nothing in between, and Finished is made from the secret that the client writes under by then.

A flow's ``hs.info`` is a copy: nobody is shown as the peer before Finished has proved it.  :func:`settle` then makes it known.
"""

from __future__ import annotations

from minitls.config import ClientConfig, ServerConfig
from minitls.handshake import client13, server13
from minitls.handshake.authenticate import receive_finished, send_finished
from minitls.handshake.flow import Flow, Handshake
from minitls.info import ConnectionInfo
from minitls.wire.messages import CertificateRequest


def request_certificate(hs: Handshake, config: ServerConfig, context: bytes, *, required: bool) -> Flow[bool]:
    """The server's side.  ``context``: what tells this request from all others of the connection.  False: the client declines."""
    request = server13.certificate_request(config, hs.info.client_certificate_type, context)
    hs.send(request)
    given = yield from server13.authenticate_client(hs, config, request, required=required)
    yield from receive_finished(hs, hs.client_secret())
    return given


def answer_request(hs: Handshake, config: ClientConfig, request: CertificateRequest) -> Flow[bool]:
    """The client's side: what it would have said in the handshake, and Finished once more.  False: it declines."""
    client13.check_request_extensions(request)
    hs.transcript.add(request.raw)
    given = yield from client13.authenticate_client(hs, config, request)
    send_finished(hs, hs.client_secret())
    return given


def settle(info: ConnectionInfo, learned: ConnectionInfo) -> None:
    """The client has proved who it is: from now on that is who it is."""
    info.client_signature_scheme = learned.client_signature_scheme
    info.peer_chain, info.verified_chain = learned.peer_chain, learned.verified_chain
    info.peer_public_key, info.client_delegated = learned.peer_public_key, learned.client_delegated
    info.delegated_until = learned.delegated_until
    info.local_chain, info.credential = learned.local_chain, learned.credential
    if info.role == "client":
        info.keep_request(learned.peer_signature_schemes, learned.certificate_authorities)
