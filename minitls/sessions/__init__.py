"""Sessions: what two sides remember so that the next handshake is shorter, and that many servers act as one.

``session`` is what is remembered; ``store`` where (a client's sessions by server, a TLS 1.2 server's by session ID); ``tickets``
how a server gives its memory to the client to keep, sealed; ``replay`` which tickets were used for 0-RTT data; ``redis`` keeps
what servers on several machines have in common.

Rules.

1. Whatever is resumed is checked as if it were new: the suite must still be in the policy, the name, the application protocol and
the client's identity the same, the peer's certificates still good by the configuration of now.
2. A client uses a TLS 1.3 session once: two hellos with one ticket could be linked by who watches.
3. Nothing lasts longer than 7 days from the handshake in which certificates were shown, however often it is renewed.
4. A memory that is slow, full or gone costs resumption and 0-RTT, never a connection.
5. Each protocol here is two methods, sync or async: what is at hand is answered at once, and nobody waits for an event loop.
"""
