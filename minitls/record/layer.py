"""Records out of bytes and bytes out of records (RFC 8446 section 5.1), and the rules about which record may come now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitls.errors import Alert, PeerIncompatible, PeerMisbehaved
from minitls.record.protection import HEADER, MAX_CIPHERTEXT, MAX_CIPHERTEXT_12, MAX_PLAINTEXT, Opening, Sealing
from minitls.wire.numbers import ContentType, name_of

if TYPE_CHECKING:
    from minitls.record.protection12 import Opening12, Sealing12

MAX_EMPTY_RECORDS = 32
MAX_CHANGE_CIPHER_SPECS = 2

_MAY_BE_EMPTY = ContentType.application_data
_KINDS = frozenset(ContentType) - {ContentType.invalid}


def missing(partial: bytes) -> int:
    """How many bytes there are yet to come of a record of which these are there, or of its header."""
    if len(partial) < HEADER:
        return HEADER - len(partial)
    return HEADER + ((partial[3] << 8) | partial[4]) - len(partial)


class RecordLayer:
    """Both directions of one connection.

    ``opening``/``sealing``: the protection of each direction; None while it is plaintext.
    ``change_cipher_spec_allowed``: whether the peer may send one now, to be dropped: from the first ClientHello to the peer's
    Finished (RFC 8446 section 5).
    ``tls12``: every record is protected once there is a key, its type is in the open, and ChangeCipherSpec means something.
    ``max_send``: bytes of content that a record of ours may hold; ``max_receive``: the same of a protected one of the peer's.
    ``empty_records``: how many came in a row.
    ``early_data_to_skip``: bytes of 0-RTT records that may yet be dropped (RFC 8446 section 4.2.10).
    """

    __slots__ = (
        "_change_cipher_specs",
        "change_cipher_spec_allowed",
        "early_data_to_skip",
        "empty_records",
        "max_receive",
        "max_send",
        "opening",
        "sealing",
        "started",
        "tls12",
    )

    def __init__(self, max_send: int = MAX_PLAINTEXT) -> None:
        self.opening: Opening | Opening12 | None = None
        self.sealing: Sealing | Sealing12 | None = None
        self.tls12 = False
        self.max_send = max_send
        self.max_receive = MAX_PLAINTEXT
        self.change_cipher_spec_allowed = False
        self.early_data_to_skip = 0
        self.started = False
        self.empty_records = 0
        self._change_cipher_specs = 0

    @property
    def change_cipher_spec_seen(self) -> bool:
        """Whether one was dropped as TLS 1.3's."""
        return bool(self._change_cipher_specs)

    def next_record(self, view: memoryview, start: int) -> tuple[int, int, bytes] | None:
        """The record at ``start``: where it ends, its content type and its content; None when it is not there whole.

        What is to be dropped comes back as change_cipher_spec, or as invalid for skipped early data.
        """
        if len(view) - start < HEADER:
            if start < len(view) and not self.started:
                self._check_first(view, start)
            return None
        header = bytes(view[start : start + HEADER])
        if not self.started:
            self._check_first(view, start)
        kind, length = header[0], (header[3] << 8) | header[4]
        if kind not in _KINDS:
            raise PeerMisbehaved(
                Alert.unexpected_message, f"a record of the unknown type {kind}", rule="RFC 8446 5", reason="unexpected_record"
            )
        protected = self.opening is not None and (kind == ContentType.application_data or self.tls12)
        longest = MAX_CIPHERTEXT if kind == ContentType.application_data else MAX_PLAINTEXT
        if length > (MAX_CIPHERTEXT_12 if self.tls12 and protected else longest):
            raise PeerMisbehaved(Alert.record_overflow, f"a record of {length} bytes is too long", rule="RFC 8446 5.1")
        body = start + HEADER
        end = body + length
        if end > len(view):
            return None
        self.started = True
        if self.early_data_to_skip and kind == ContentType.application_data and not self._opens(header, view[body:end]):
            self.early_data_to_skip = max(0, self.early_data_to_skip - HEADER - length)
            return end, ContentType.invalid, b""
        if protected:
            assert self.opening is not None
            kind, content = self.opening.open(header, view[body:end])
            self.early_data_to_skip = 0
            if len(content) > self.max_receive:
                text = f"a record holds {len(content)} bytes, and {self.max_receive} were agreed on"
                raise PeerMisbehaved(Alert.record_overflow, text, rule="RFC 8449 4")
            self.check_content(kind, content)
        else:
            content = bytes(view[body:end])
            self._check_plaintext(kind, content)
        return end, kind, content

    def _opens(self, header: bytes, body: memoryview) -> bool:
        """Whether a record is under our key, and so not under the early data's that we do not have."""
        return isinstance(self.opening, Opening) and self.opening.opens(header, body)

    def check_content(self, kind: int, content: bytes) -> None:
        """What was opened must be of a kind that is protected, and empty only as application data (RFC 8446 section 5.4)."""
        if kind not in (ContentType.handshake, ContentType.application_data, ContentType.alert):
            raise PeerMisbehaved(
                Alert.unexpected_message, f"a protected record of type {name_of(ContentType, kind)}", rule="RFC 8446 5"
            )
        self._check_empty(kind, content)

    def _check_empty(self, kind: int, content: bytes) -> None:
        if content:
            if kind != ContentType.alert:  # one that ends nothing is as good as empty
                self.empty_records = 0
            return
        self.empty_records += 1
        if kind != _MAY_BE_EMPTY or self.empty_records > MAX_EMPTY_RECORDS:
            raise PeerMisbehaved(
                Alert.unexpected_message,
                f"{'too many empty records' if kind == _MAY_BE_EMPTY else 'an empty record'}",
                rule="RFC 8446 5.4",
                reason="empty_record",
            )

    def _check_plaintext(self, kind: int, content: bytes) -> None:
        if kind == ContentType.change_cipher_spec and not self.tls12:
            self._change_cipher_specs += 1
            if content != b"\x01" or not self.change_cipher_spec_allowed or self._change_cipher_specs > MAX_CHANGE_CIPHER_SPECS:
                raise PeerMisbehaved(
                    Alert.unexpected_message,
                    "change_cipher_spec where none may be",
                    rule="RFC 8446 5",
                    reason="unexpected_change_cipher_spec",
                )
            return
        # A peer that fails before it has our keys, or could not use them, can only say so in plaintext; when the handshake is
        # over it has them, and a close_notify that anybody could have written must not end the data.
        without_keys = self.opening is None or (self.change_cipher_spec_allowed and not self.opening.records)
        plaintext_alert = kind == ContentType.alert and without_keys
        wanted = (ContentType.handshake, ContentType.change_cipher_spec) if self.tls12 else (ContentType.handshake,)
        plaintext_handshake = kind in wanted and self.opening is None
        if not plaintext_alert and not plaintext_handshake:
            raise PeerMisbehaved(
                Alert.unexpected_message,
                f"a plaintext record of type {name_of(ContentType, kind)}",
                rule="RFC 8446 5",
                reason="unexpected_record",
            )
        self._check_empty(kind, content)

    def _check_first(self, view: memoryview, start: int) -> None:
        """Tell a peer that does not speak TLS at all from one that breaks its rules: versions are ignored later on."""
        head = bytes(view[start : start + HEADER])
        known = head[0] in ContentType.__members__.values() and head[0] != ContentType.invalid
        if known and (len(head) < 2 or head[1] == 3):
            return
        shown = bytes(view[start : start + 16]).decode("latin-1").splitlines()[:1]
        raise PeerIncompatible(
            Alert.protocol_version if known or head[0] & 0x80 else Alert.unexpected_message,
            f"the peer does not speak TLS: it began with {shown[0] if shown else ''!a}",
            reason="wrong_version_number",
        )

    def write(self, kind: int, content: bytes, pad_to: int = 0, version: int = 0x0303) -> bytes:
        """Records for this content, as many as it takes."""
        step = self.max_send  # max_fragment_length is for plaintext, too (RFC 6066 section 4)
        pieces = [content[at : at + step] for at in range(0, len(content), step)]
        if self.sealing is not None:
            return b"".join(self.sealing.seal(kind, piece, pad_to) for piece in pieces)
        start = bytes((kind,)) + version.to_bytes(2, "big")
        return b"".join(start + len(piece).to_bytes(2, "big") + piece for piece in pieces)
