"""The record layer (RFC 8446 section 5): fragments, protection, limits.

``protection`` seals and opens TLS 1.3's records under one direction's key, ``protection12`` TLS 1.2's; ``layer`` cuts bytes into
records and says which may come now.

Invariants.  A record is opened once, in order; its sequence number never repeats under a key.  What does not authenticate is
bad_record_mac, and nothing of it is delivered.  Buffers are shared by all connections of a thread, so nothing that is handed up
points into them.
"""
