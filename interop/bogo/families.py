"""The suite's cases by what they are about."""

FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("DTLS", ("*DTLS*", "SendSplitAlert-*", "StrayChangeCipherSpec")),
    ("QUIC", ("*QUIC*",)),
    ("core handshake and records", ("*",)),
)
"""A title and the patterns of its names; the first that matches has it."""
