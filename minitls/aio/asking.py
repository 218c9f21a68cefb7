"""A server that asks its client for a certificate after the handshake, and somebody who waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from minitls.connection import Connection
from minitls.endpoints import ServerConnection
from minitls.errors import Misuse, TruncationError
from minitls.events import ClientAuthenticated, ClientDeclined, Event, PeerClosed
from minitls.info import ConnectionInfo


class Asked:
    """A request, which is made at once, and its answer: the connection's information, once the client has given it.

    A client that declines is who it was before: where that will not do, look at ``peer_chain``, or ask with ``ClientAuth.require``.
    The answer comes behind the data that the client sends before: somebody must go on reading.  Raises Misuse as
    :meth:`~minitls.ServerConnection.request_client_certificate`, and while waiting whatever ends the connection: HandshakeTimeout
    after the configuration's ``handshake_timeout``, too.
    """

    __slots__ = ("_answer",)

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        if not isinstance(connection, ServerConnection):
            raise Misuse("servers ask for certificates, clients do not")
        connection.request_client_certificate()
        self._answer: asyncio.Future[ConnectionInfo] = loop.create_future()

    def hear(self, event: Event) -> None:
        """Something has happened on the connection."""
        if isinstance(event, (ClientAuthenticated, ClientDeclined)) and not self._answer.done():
            self._answer.set_result(event.info)
        elif isinstance(event, PeerClosed):
            self.fail(TruncationError("the client closed the connection, and has not said who it is"))

    def fail(self, error: BaseException) -> None:
        """There will be no answer any more."""
        if not self._answer.done():
            self._answer.set_exception(error)

    async def answer(self, seconds: float, too_late: Callable[[float], None]) -> ConnectionInfo:
        """Wait.  ``too_late``: called where it takes longer; it ends the connection, and so the waiting."""
        limit = self._answer.get_loop().call_later(seconds, too_late, seconds)
        try:
            return await self._answer
        finally:
            limit.cancel()
