"""The handshake, as pages that read like the RFC's figures.

A handshake is a *flow*: a generator that calls what it can do itself (send a message, install a key) and yields only what it
must wait for: the peer's next message (``expect``), or an answer of the application (``resolve``).  There is no third thing.
A flow never sees bytes, sockets, records or alerts: it raises a :class:`~minitls.errors.TLSError`, and whoever drives it
sends the alert.

``client`` offers and finds out the version; ``client13`` or ``client12`` goes on from there; ``server``, ``server13`` and
``server12`` likewise.  ``authenticate`` is RFC 8446 section 4.4, the same for both sides, with ``raw_keys`` (RFC 7250) and
``delegation`` (RFC 9345); ``tls12``, ``exchange12`` and ``resume12`` are what both sides of TLS 1.2 share: keys and Finished,
where the premaster secret comes from, and sessions.
``negotiate`` decides what two sides agree on, in pure functions; ``after`` is what may come once the handshake is over, and
``post`` how a client is authenticated then.

Default deny: a message that no ``expect`` waits for is unexpected_message, in one place, and the traceback ends at the
waiting line.
"""
