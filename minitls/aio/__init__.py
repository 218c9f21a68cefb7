"""asyncio: the engine between a transport below and a protocol above, on asyncio's own loops and on uvloop.

``transport`` has :class:`TLSTransport`, which is both at once: the protocol of the TCP transport below it and the transport
of the application's protocol above it.  ``streams`` and ``server`` make them, with the argument names of asyncio's own
functions.

Rules.

1. Received bytes go into one buffer that all connections of a thread share: ``get_buffer``, ``recv_into`` and
``buffer_updated`` are one synchronous step.  Only a partial record outlives it, as the connection's own bytes.
2. The connection's state is consistent before anything above is called: it may write, close or upgrade in there.
3. Small writes are gathered: they leave when 64 KiB are there, when the batch that they answer is done, or at the end of the
tick.
4. ``close`` never hangs on the peer.  What was written leaves, then close_notify, then FIN; the peer's last bytes are read
and dropped for a moment, so that no reset overtakes what we sent.  A fatal alert gets a moment more.
5. End of file without close_notify is an error, for protocols (``connection_lost``) and streams (the read raises) alike.
"""
