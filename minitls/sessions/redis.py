"""Sessions that several processes and machines share, through Redis (the extra ``redis``): ``pip install 'minitls[redis]'``.

:class:`RedisSessions` has the three things that a server remembers: the keys of its tickets, TLS 1.2's sessions by ID, and which
tickets were used for 0-RTT data.

**Who reads that Redis reads the tickets**, and so TLS 1.2's traffic and 0-RTT data, and may pose as a client: its keys lie there
as they are.  It is to be reached by the servers alone: ``rediss://``, a password, a network of their own.

1. Redis is never the reason that a connection fails.  Each call has ``timeout`` seconds in all, also where Redis accepts and stays
   silent; what goes wrong costs resumption or 0-RTT, and one warning a minute.  After a failure nobody asks for ``REST`` seconds;
   then one does, and the others wait for what that one learns.
2. Keys of tickets are fetched once for each epoch: after that, tickets are sealed and opened without Redis, and without awaiting.
3. A key is used for 0-RTT data once in the service: SET NX tells who was first.  The record vouches for tickets that were issued
   since it began (RFC 8446 section 8), and it begins anew when Redis may have forgotten something: its data is gone, or its run_id
   is another, after a restart (from a snapshot, which lacks the end) and after a failover (to a replica, which may lack it, too).
   It cannot notice eviction: Redis must have ``maxmemory-policy noeviction``.
4. The clocks of the service, Redis' included, differ by less than ``SKEW``.
5. A connection belongs to an event loop, so each loop has its own; they are closed with it.  An object may be shared by threads.
6. Nothing that Redis says of a command is logged: it repeats the command, and that holds secrets.

Commands used: SET, GET, MGET, INFO, MULTI, EXEC.  A single Redis or a primary with replicas, not a cluster.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from minitls.errors import DecodeError, Misuse
from minitls.sessions.replay import ReplayRecord
from minitls.sessions.session import MAX_LIFETIME, Session
from minitls.sessions.store import SessionCache
from minitls.sessions.tickets import KEY_NAME, MATERIAL, NONCE, READ_EPOCHS, ROTATE, TicketKey, Tickets, epochs_read

try:
    import redis
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.connection import Connection, parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as missing:
    raise ImportError("sessions in Redis need the package redis: pip install 'minitls[redis]'") from missing

TIMEOUT = 0.25
REST = 1.0
"""Seconds after a failure in which Redis is left alone, and between two looks for a ticket key that nobody knows."""
WARN = 60.0
SKEW = 1.0
"""Seconds by which clocks differ at most.  For as long after its beginning, the record refuses the tickets that are issued."""
CONNECTIONS = 32
"""To Redis, from each event loop at most; ``?max_connections=`` in the URL says otherwise."""
SHORTEST = KEY_NAME + NONCE + 16

T = TypeVar("T")
log = logging.getLogger("minitls")


class RedisSessions:
    """What servers share through the Redis at ``url``.

    ``url``: ``redis://``, ``rediss://`` or ``unix://``, as redis-py takes it.  ``prefix``: of all keys; the servers that have it in
    common resume each other's sessions.  ``timeout``: seconds that a handshake waits for Redis at most, each time that it asks.

    ``tickets``, ``cache`` and ``replay`` are for the fields of a ServerConfig, on asyncio.  Raises Misuse for a URL that is none.
    """

    tickets: Tickets
    cache: SessionCache
    replay: ReplayRecord

    def __init__(
        self, url: str, *, prefix: str = "minitls:", timeout: float = TIMEOUT, clock: Callable[[], float] = time.time
    ) -> None:
        self._link = _Link(url, timeout, clock)
        record = _Replay(self._link, prefix, clock)
        self.tickets = _Tickets(self._link, prefix, clock, record)
        self.cache = _Cache(self._link, prefix, clock)
        self.replay = record

    def __repr__(self) -> str:
        return f"<RedisSessions at {self._link.where}>"

    async def close(self) -> None:
        """Close this event loop's connections; those of other loops end with them.  Whoever asks again, connects again."""
        await self._link.close()


class _Unusable(redis.RedisError):
    """What Redis has is not what we put there."""


class _Client(NamedTuple):
    """An event loop's.  ``keeper``: closes ``redis`` at the end of the loop; ``slots``: as many as connections."""

    redis: Redis
    slots: asyncio.Semaphore
    keeper: AsyncGenerator[Redis, None]


class _Link:
    """Asks Redis, and does without.  ``where``: host and port, for people."""

    def __init__(self, url: str, timeout: float, clock: Callable[[], float]) -> None:
        if not timeout > 0:
            raise Misuse(f"Redis has some seconds to answer, not {timeout!r}")
        ours = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "decode_responses": False,
            "protocol": 2,  # spares a round trip for each connection
            "retry": Retry(NoBackoff(), 1),  # that Redis closed an idle connection is no failure
            "retry_on_error": [redis.ConnectionError],
        }
        try:
            options: dict[str, Any] = {**parse_url(url), **ours}
            self._connections = options.pop("max_connections", CONNECTIONS)
            if self._connections < 1:
                raise ValueError
            kind = options.setdefault("connection_class", Connection)
            kind(**{name: value for name, value in options.items() if name != "connection_class"})  # connects to nothing yet
        except (ValueError, TypeError, redis.RedisError):  # which may repeat the password
            raise Misuse("Redis has a URL such as redis://:password@host:6379/0, rediss://... or unix:///path") from None
        self._options = options
        self.where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
        self._timeout = timeout
        self._clock = clock
        self._failed: float | None = None
        self._warned: float | None = None
        self._lock = threading.Lock()

    def ask(self, work: Callable[[Redis], Awaitable[T]], otherwise: T) -> Awaitable[T] | T:
        """What ``work`` finds out, or ``otherwise`` where Redis fails; at once where it failed just now."""
        now = self._clock()
        with self._lock:
            if self._failed is not None:
                if 0 <= now - self._failed < REST:
                    return otherwise
                self._failed = now  # we ask, and for REST nobody else
        return self._ask(work, otherwise)

    async def _ask(self, work: Callable[[Redis], Awaitable[T]], otherwise: T) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                client = await self._client()
                async with client.slots:
                    answer = await work(client.redis)
        except (redis.RedisError, OSError, TimeoutError) as error:
            self._note(error)
            return otherwise
        self._failed = None
        return answer

    def _note(self, error: Exception) -> None:
        """Let Redis rest; warn, but not each time."""
        now = self._clock()
        with self._lock:
            self._failed = now
            if self._warned is not None and 0 <= now - self._warned < WARN:
                return
            self._warned = now
        what = type(error).__name__
        if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError | _Unusable):  # others repeat the command
            what = str(error).rstrip(".") or f"no answer within {self._timeout:g} s"
        log.warning("Redis at %s: %s; while that lasts, handshakes may not resume, and 0-RTT data is refused", self.where, what)

    async def _client(self) -> _Client:
        here = (asyncio.get_running_loop(), self)
        if here not in _CLIENTS:
            for ended in [other for other in list(_CLIENTS) if other[0].is_closed()]:
                _CLIENTS.pop(ended, None)
            keeper = _keep(self._options)
            _CLIENTS[here] = _Client(await anext(keeper), asyncio.Semaphore(self._connections), keeper)
        return _CLIENTS[here]

    async def close(self) -> None:
        client = _CLIENTS.pop((asyncio.get_running_loop(), self), None)
        if client is not None:
            await client.keeper.aclose()


_CLIENTS: dict[tuple[asyncio.AbstractEventLoop, _Link], _Client] = {}
"""Held until their loop has ended: only in the loop, and while it runs, can they be closed."""


async def _keep(options: dict[str, Any]) -> AsyncGenerator[Redis, None]:
    """A client, closed with the loop: asyncio.run shuts down the asynchronous generators that are left."""
    client = Redis.from_pool(ConnectionPool(**options))
    try:
        yield client
    finally:
        with suppress(redis.RedisError, OSError):
            await client.aclose()


class _Tickets:
    """A random key for each epoch, made by the server that comes first; see sessions.tickets for what is read when.

    A Redis that lost its data gets new keys; who has the old ones reads both, and seals with the new ones as soon as it meets a
    ticket of theirs.
    """

    def __init__(self, link: _Link, prefix: str, clock: Callable[[], float], record: _Replay) -> None:
        self._link = link
        self._prefix = prefix + "ticket-key:"
        self._clock = clock
        self._record = record
        self._sealing: tuple[int, TicketKey] | None = None
        self._reading: dict[bytes, tuple[int, TicketKey]] = {}
        self._looked = -math.inf

    def seal(self, state: bytes) -> Awaitable[bytes | None] | bytes | None:
        """A ticket that holds ``state``; None while Redis does not tell the key."""
        if self._sealing is not None and self._sealing[0] == self._epoch():
            return self._sealing[1].seal(state)
        return self._link.ask(partial(self._look_and_seal, state), None)

    def open(self, ticket: bytes) -> Awaitable[bytes | None] | bytes | None:
        """What the ticket holds, or None for one that is not ours, too old or damaged."""
        if len(ticket) < SHORTEST:
            return None
        epoch, name = self._epoch(), ticket[:KEY_NAME]
        if name in self._reading:
            made, key = self._reading[name]
            return key.open(ticket) if made in epochs_read(epoch) else None
        up_to_date = self._sealing is not None and self._sealing[0] == epoch
        if up_to_date and 0 <= self._clock() - self._looked < REST:  # anybody can make up a name
            return None
        return self._link.ask(partial(self._look_and_open, ticket), None)

    async def _look_and_seal(self, state: bytes, client: Redis) -> bytes | None:
        return (await self._look(client)).seal(state)

    async def _look_and_open(self, ticket: bytes, client: Redis) -> bytes | None:
        await self._look(client)
        found = self._reading.get(ticket[:KEY_NAME])
        return None if found is None else found[1].open(ticket)

    async def _look(self, client: Redis) -> TicketKey:
        """Fetch the keys of all epochs that are read, and make this one's where nobody did.  This epoch's."""
        now = self._epoch()
        epochs = epochs_read(now)
        async with client.pipeline(transaction=True) as pipe:
            kept = int((READ_EPOCHS + 2) * ROTATE * 1000)  # until nobody reads it, even where a clock is an epoch behind
            pipe.set(f"{self._prefix}{now}", os.urandom(MATERIAL), nx=True, px=kept)
            pipe.mget([f"{self._prefix}{epoch}" for epoch in epochs])
            _, materials = await pipe.execute()
        found = {epoch: TicketKey(m) for epoch, m in zip(epochs, materials, strict=True) if m is not None and len(m) == MATERIAL}
        if now not in found:
            raise _Unusable(f"{self._prefix}{now} holds no ticket key")
        reading = {name: made for name, made in self._reading.items() if made[0] in epochs}
        self._reading = reading | {key.name: (epoch, key) for epoch, key in found.items()}
        self._sealing = (now, found[now])
        self._looked = self._clock()
        await self._record.begin(client)  # what is sealed from now on may come back with 0-RTT data
        return found[now]

    def _epoch(self) -> int:
        return int(self._clock() // ROTATE)


class _Cache:
    """Sessions as bytes, by session ID."""

    def __init__(self, link: _Link, prefix: str, clock: Callable[[], float]) -> None:
        self._link = link
        self._prefix = prefix + "session:"
        self._clock = clock

    def put(self, key: str, session: Session) -> Awaitable[None] | None:
        """Keep this one, for as long as it may be resumed."""
        ends = min(session.created / 1000 + session.lifetime, session.authenticated / 1000 + MAX_LIFETIME)
        left = int((ends - self._clock()) * 1000)
        return self._link.ask(partial(self._put, key, session.to_bytes(), left), None) if left > 0 else None

    def get(self, key: str) -> Awaitable[Session | None] | Session | None:
        """The session of this key, or None, which a damaged one is, too."""
        return self._link.ask(partial(self._get, key), None)

    async def _put(self, key: str, data: bytes, milliseconds: int, client: Redis) -> None:
        await client.set(self._prefix + key, data, px=milliseconds)

    async def _get(self, key: str, client: Redis) -> Session | None:
        data: Any = await client.get(self._prefix + key)
        try:
            return None if data is None else Session.from_bytes(data)
        except DecodeError:
            return None


class _Replay:
    """Single use in the whole service (RFC 8446 section 8.1).

    The record's beginning lies in Redis, with the run_id of the Redis that it is true for.  It begins when the first ticket is
    sealed, or where tickets are not sealed here, with the first use, which then is refused.
    """

    def __init__(self, link: _Link, prefix: str, clock: Callable[[], float]) -> None:
        self._link = link
        self._prefix = prefix + "used:"
        self._beginning = prefix + "began"
        self._clock = clock

    def first_use(self, key: bytes, issued: float, until: float) -> Awaitable[bool] | bool:
        """Whether ``key`` is used for the first time, as ReplayRecord has it; False without Redis."""
        left = until - self._clock()
        return self._link.ask(partial(self._first_use, key, issued, left), False) if left > 0 else False

    async def begin(self, client: Redis) -> None:
        """Begin the record where there is none."""
        async with client.pipeline(transaction=True) as pipe:
            pipe.info("server")
            pipe.get(self._beginning)
            await self._began(client, *await pipe.execute())

    async def _first_use(self, key: bytes, issued: float, left: float, client: Redis) -> bool:
        async with client.pipeline(transaction=True) as pipe:  # all or nothing: no FLUSHALL comes between
            pipe.set(self._prefix + key.hex(), b"", nx=True, px=int((left + SKEW) * 1000))
            pipe.info("server")
            pipe.get(self._beginning)
            first, info, beginning = await pipe.execute()
        began = await self._began(client, info, beginning)
        return first is True and began is not None and issued >= began + SKEW

    async def _began(self, client: Redis, info: dict[str, Any], beginning: bytes | None) -> float | None:
        """When the record began, in seconds since the epoch; None where it begins now."""
        if "run_id" not in info:
            raise _Unusable("INFO tells no run_id")
        run = str(info["run_id"])
        known, _, milliseconds = (beginning or b"").partition(b" ")
        if known == run.encode() and milliseconds.isdigit():
            return int(milliseconds) / 1000
        await client.set(self._beginning, f"{run} {math.ceil(self._clock() * 1000)}")
        return None
