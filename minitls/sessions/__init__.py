"""Sessions: what two sides remember so that the next handshake is shorter.

``session`` is what is remembered, ``store`` where (a client's sessions by server, a server's by session ID), ``tickets`` how
a server gives its memory to the client to keep, sealed.

Whatever is resumed is checked as if it were new: the suite must still be in the policy, the name and the client's identity
the same, the certificate still good.
"""
