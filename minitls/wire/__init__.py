"""The wire: TLS's presentation language (RFC 8446 section 3), declared as the RFC prints it.

``codec`` compiles declarations into closures, ``numbers`` has the registries' names, ``extensions`` what may stand in
which message, ``hello`` and ``messages`` the handshake messages themselves, ``framing`` cuts records' contents into them.

Three rules.  Every bound that the RFC prints is checked here, on reading, so that a flow never sees a value out of its range.
Bytes that do not parse raise :class:`~minitls.errors.DecodeError`, which names structure, field and offset.  A parsed message keeps
its bytes as received (``raw``): the transcript hashes what came, never what we would have written instead.
"""
