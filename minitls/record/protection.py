"""Record protection (RFC 8446 section 5.2): sealing and opening, one object a direction.

Fast for application data, where it counts: many records are opened into one buffer, each overwriting the content-type byte of the
last, so that a batch's plaintext is contiguous; many are sealed in place into one buffer whose headers and views are made once.
Everything else takes the plain methods.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag

from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.suites import Suite
from minitls.data import dataclass, field
from minitls.errors import Alert, PeerMisbehaved
from minitls.wire.numbers import ContentType

MAX_PLAINTEXT = 2**14
MAX_CIPHERTEXT = MAX_PLAINTEXT + 256
MAX_CIPHERTEXT_12 = MAX_PLAINTEXT + 2048
HEADER = 5

APPLICATION_DATA = int(ContentType.application_data)
_APPLICATION_DATA = bytes((APPLICATION_DATA,))
_HEADER_START = bytes((APPLICATION_DATA, 3, 3))

BATCH = 16
"""Full records sealed into one buffer: more fall out of the processor's second-level cache."""
LENT = 4
"""From so many full records on, the buffer itself is handed out.  Transports that gather writes of up to 64 KiB would keep it."""
OPENED_AT_ONCE = 15 * MAX_PLAINTEXT
"""Bytes of plaintext handed up at once: as many full records as a receive buffer holds."""


def _buffer(size: int) -> memoryview:
    """A buffer to be kept, for data of which there will be much.

    glibc maps and unmaps what is larger than 128 KiB, and gives back so much that is free at the heap's end: where 240 KiB come and
    go all the time, they are new pages each time, for the system to clear.  It learns from the largest mapped block that is freed.
    """
    bytearray(2**20)
    return memoryview(bytearray(size))


class _Slots:
    """A buffer for BATCH full records, whose headers are written, with the views into it made once.

    ``inner``: where a TLSInnerPlaintext is put together, its type written already; ``plain``: without the type.
    ``records``: the records without their headers; ``stream``: all of it.
    """

    __slots__ = ("header", "inner", "plain", "records", "size", "stream")

    def __init__(self, overhead: int) -> None:
        length = MAX_PLAINTEXT + overhead
        self.header = _HEADER_START + length.to_bytes(2, "big")
        self.size = size = HEADER + length
        self.inner = memoryview(bytearray(MAX_PLAINTEXT) + _APPLICATION_DATA)
        self.plain = self.inner[:MAX_PLAINTEXT]
        self.stream = _buffer(size * BATCH)
        self.records = []
        for start in range(0, size * BATCH, size):
            self.stream[start : start + HEADER] = self.header
            self.records.append(self.stream[start + HEADER : start + size])


# Buffers that everybody shares.  Whoever uses one takes it out: another thread may want one meanwhile, and what is sent may be the
# data of another connection (TLS within TLS).  Few are kept.
_opened: deque[memoryview] = deque(maxlen=4)
_sealed: defaultdict[int, deque[_Slots]] = defaultdict(lambda: deque(maxlen=4))


class _Kept(threading.local):
    view = False


_kept = _Kept()


def keep_sealed_buffer() -> None:
    """The last view that :meth:`Sealing.seal_data` gave is still in use: let it be, and take a new buffer next time."""
    _kept.view = True


@dataclass(frozen=True, slots=True)
class TrafficKeys:
    """One direction's record protection (RFC 8446 sections 5.2 and 7.3): its cipher suite's name, the secret, the key and IV made
    from it, and the number of the next record.
    """

    cipher_suite: str
    secret: bytes = field(repr=False)
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    sequence: int


class _Protection:
    """One direction's key and sequence number.  The nonce is the iv xor the sequence number (RFC 8446 section 5.3)."""

    __slots__ = ("_cipher", "_iv", "_overhead", "_secret", "_sequence", "_suite")

    def __init__(self, suite: Suite, secret: TrafficSecret) -> None:
        self._suite = suite
        self._secret = secret
        key, iv = secret.key_and_iv(suite.aead.key_length)
        self._cipher = suite.aead.make(key)
        self._iv = int.from_bytes(iv, "big")
        self._overhead = 1 + suite.aead.tag_length  # the content's type, and the tag
        self._sequence = 0

    @property
    def name(self) -> str:
        """The key log name of the secret behind the key."""
        return self._secret.key_log_label

    @property
    def records(self) -> int:
        """How many records were protected under this key."""
        return self._sequence

    @property
    def suite(self) -> Suite:
        return self._suite

    @property
    def secret(self) -> TrafficSecret:
        """What the key was made from; after the handshake Finished is made from it, too (RFC 8446 section 4.4)."""
        return self._secret

    @property
    def of_data(self) -> bool:
        """Whether the key is the application data's, and not the handshake's or early data's."""
        return "_TRAFFIC_SECRET_" in self.name

    def traffic_keys(self) -> TrafficKeys:
        key, iv = self._secret.key_and_iv(self._suite.aead.key_length)
        return TrafficKeys(self._suite.name, self._secret.value, key, iv, self._sequence)

    def updated_secret(self) -> TrafficSecret:
        return self._secret.updated()

    def _nonce(self) -> bytes:
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return nonce


class Sealing(_Protection):
    __slots__ = ("_last",)

    def __init__(self, suite: Suite, secret: TrafficSecret) -> None:
        super().__init__(suite, secret)
        self._last = self.records_left() - 1  # is KeyUpdate's, or close_notify's

    def records_left(self) -> int:
        """How many records may still be sealed before the key must be updated (RFC 8446 section 5.5)."""
        return self._suite.aead.usage_limit - self._sequence

    def seal(self, content_type: int, content: bytes | memoryview, pad_to: int = 0) -> bytes:
        """One record of at most MAX_PLAINTEXT bytes.  ``pad_to``: zeros up to a multiple of this (RFC 8446 section 5.4)."""
        padding = min(-(len(content) + 1) % pad_to, MAX_PLAINTEXT - len(content)) if pad_to else 0
        inner = b"".join((content, bytes((content_type,)), bytes(padding)))
        header = _HEADER_START + (len(inner) + self._suite.aead.tag_length).to_bytes(2, "big")
        return header + self._cipher.encrypt(self._nonce(), inner, header)

    def seal_one(self, data: bytes | bytearray) -> bytes:
        """Application data, at most MAX_PLAINTEXT bytes, as one record; b"" when the key must be updated first."""
        sequence = self._sequence
        if sequence >= self._last:
            return b""
        self._sequence = sequence + 1
        header = _HEADER_START + (len(data) + self._overhead).to_bytes(2, "big")
        return header + self._cipher.encrypt((self._iv ^ sequence).to_bytes(12, "big"), data + _APPLICATION_DATA, header)

    def seal_data(self, data: memoryview) -> Iterator[bytes | memoryview]:
        """Application data of any size as records, some at a time.

        A view that is given is good until the next is asked for; who keeps it longer calls :func:`keep_sealed_buffer`.
        """
        whole, rest = divmod(len(data), MAX_PLAINTEXT)
        encrypt_into, iv, position, pool = self._cipher.encrypt_into, self._iv, 0, _sealed[self._overhead]
        while whole:
            try:
                pooled = pool.pop()
            except IndexError:
                pooled = _Slots(self._overhead)
            plain, inner, header, records, stream = pooled.plain, pooled.inner, pooled.header, pooled.records, pooled.stream
            if whole < BATCH:
                records = records[:whole]
            sequence, end = self._sequence, len(records) * pooled.size
            self._sequence += len(records)  # whatever becomes of them
            for record in records:
                plain[:] = data[position : position + MAX_PLAINTEXT]
                encrypt_into((iv ^ sequence).to_bytes(12, "big"), inner, header, record)
                sequence += 1
                position += MAX_PLAINTEXT
            last = b""
            if rest and whole < BATCH:  # there is room for it
                last, rest = self.seal(APPLICATION_DATA, data[position:]), 0
                stream[end : end + len(last)] = last
            made = stream[: end + len(last)]
            yield made if whole >= LENT else bytes(made)
            whole -= len(records)
            if not _kept.view:
                if last:
                    stream[end : end + HEADER] = header
                pool.append(pooled)
            _kept.view = False
        if rest:
            yield self.seal(APPLICATION_DATA, data[position:])


class Opening(_Protection):
    __slots__ = ()

    def open(self, header: bytes, body: memoryview) -> tuple[int, bytes]:
        """The content type and content of one protected record.  Raises bad_record_mac, record_overflow, unexpected_message."""
        try:
            inner = self._cipher.decrypt(self._nonce(), body, header)
        except InvalidTag:
            raise _bad_record() from None
        return _content(inner)

    def opens(self, header: bytes, body: memoryview) -> bool:
        """Whether the record would open, without opening it: for telling early data from what follows it."""
        try:
            self._cipher.decrypt((self._iv ^ self._sequence).to_bytes(12, "big"), body, header)
        except InvalidTag:
            return False
        return True

    def open_one(self, view: memoryview) -> bytes:
        """The application data of the one record that the view is; b"" where it is anything else, and then nothing has happened."""
        length = len(view) - HEADER
        if length < self._overhead or view[0] != APPLICATION_DATA or (view[3] << 8) | view[4] != length:
            return b""
        try:
            inner = self._cipher.decrypt((self._iv ^ self._sequence).to_bytes(12, "big"), view[HEADER:], view[:HEADER])
        except InvalidTag:
            return b""
        if inner[-1] != APPLICATION_DATA or not 1 < len(inner) <= MAX_PLAINTEXT + 1:
            return b""
        self._sequence += 1
        return inner[:-1]

    def open_data(self, view: memoryview, start: int) -> tuple[int, bytes, bool]:
        """Open application data from ``view[start:]`` for as long as there is nothing else.

        Returns where it stopped, the plaintext, and whether all that can be done is to wait for the rest of a record.  Stops when
        OPENED_AT_ONCE bytes are there, and before whatever is no record with application data in it: the plain methods say what
        is wrong with it.
        """
        end, shortest, tag_length = len(view), self._overhead, self._overhead - 1
        decrypt_into, iv, sequence = self._cipher.decrypt_into, self._iv, self._sequence
        size, waits = 0, False
        try:
            out = _opened.pop()
        except IndexError:
            out = _buffer(OPENED_AT_ONCE + MAX_CIPHERTEXT)
        try:
            while not (waits := end - start < HEADER) and view[start] == APPLICATION_DATA:
                body = start + HEADER
                length = (view[start + 3] << 8) | view[start + 4]
                after = body + length
                if not shortest <= length <= MAX_CIPHERTEXT or (waits := after > end) or size >= OPENED_AT_ONCE:
                    break
                inner = decrypt_into(
                    (iv ^ sequence).to_bytes(12, "big"), view[body:after], view[start:body], out[size : size + length - tag_length]
                )
                last = size + inner - 1
                if out[last] != APPLICATION_DATA or inner > MAX_PLAINTEXT + 1:  # padded, or something else
                    kind, content = _content(bytes(out[size : size + inner]))
                    if kind != APPLICATION_DATA:
                        break
                    last = size + len(content)
                if last == size:
                    break
                sequence += 1
                start, size = after, last
        except (InvalidTag, PeerMisbehaved):
            pass  # to be met again
        self._sequence = sequence
        data = bytes(out[:size])
        _opened.append(out)
        return start, data, waits


def _bad_record() -> PeerMisbehaved:
    return PeerMisbehaved(Alert.bad_record_mac, "a record does not authenticate", rule="RFC 8446 5.2")


def _content(inner: bytes) -> tuple[int, bytes]:
    """TLSInnerPlaintext: content, type, zeros (RFC 8446 section 5.4)."""
    if len(inner) > MAX_PLAINTEXT + 1:
        raise PeerMisbehaved(Alert.record_overflow, f"a record holds {len(inner)} bytes", rule="RFC 8446 5.4")
    stripped = inner.rstrip(b"\0")
    if not stripped:
        raise PeerMisbehaved(
            Alert.unexpected_message, "a record holds nothing but padding", rule="RFC 8446 5.4", reason="empty_inner_plaintext"
        )
    return stripped[-1], stripped[:-1]
