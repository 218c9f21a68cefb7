"""Layer 3: from the protocol's names to pyca/cryptography's primitives.

TLS speaks in code points: 0x1301 is a cipher suite, 0x11EC a group, 0x0804 a signature scheme.  This package holds one
table for each kind, from the number to an object that can do the work, so that the handshake asks ``GROUPS[code]`` and
never branches on an algorithm, and adding an algorithm is adding a row.

=================  ============================================================================================
:mod:`aead`        ciphers for records: key and tag lengths, how to make one, how many records a key may protect
:mod:`suites`      ``SUITES``: cipher suite -> AEAD and hash
:mod:`groups`      ``GROUPS``: named group -> key shares; a Diffie-Hellman group and a KEM hybrid have the same face
:mod:`signatures`  ``SCHEMES``: signature scheme -> sign and verify, and which keys it fits
:mod:`schedule`    the key schedule: secrets that have only the legal next steps
=================  ============================================================================================

Three rules hold for all of it:

1. No cipher, no curve and no secret-dependent arithmetic in Python: Python sees secrets only as bytes to pass on.
   What it computes with, such as a finite-field prime or the range of a peer's public value, is public.
2. What comes from the peer is checked here, where its meaning is known, and ends as
   :class:`~minitls.errors.PeerMisbehaved` with the RFC's alert; no ``ValueError`` of a primitive passes through.
3. A table says what *can* be done.  What *may* be done is the configuration's business (:mod:`minitls.config`).
"""
