"""The vocabulary between a handshake and its driver: two things to wait for, and a few that can be done at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, overload

from minitls.config import ServerConfig
from minitls.crypto.schedule import TrafficSecret
from minitls.crypto.suites import Suite
from minitls.data import dataclass, field
from minitls.handshake.transcript import Transcript
from minitls.info import ConnectionInfo
from minitls.wire.hello import Message

if TYPE_CHECKING:
    from minitls.record.protection12 import Opening12, Sealing12

M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Expect:
    """Resume me with the peer's next message, which must be one of these."""

    types: tuple[type[Message], ...]


@dataclass(frozen=True, slots=True)
class Resolve:
    """Resume me with what the application answers; it may take its time.  ``heavy``: it may be asked in another thread."""

    ask: Callable[..., Any]
    args: tuple[Any, ...]
    heavy: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The application was asked, and its answer is awaitable: await ``awaitable`` (or not), and hand the answer in.

    ``name``: the callable's name, such as "select_credential" or "sign"; ``args``: what it was asked with.
    """

    name: str
    args: tuple[Any, ...] = field(repr=False)
    awaitable: Awaitable[Any] = field(repr=False)


Flow: TypeAlias = Generator[Expect | Resolve, Any, R]


@overload
def expect(first: type[M], /) -> Flow[M]: ...
@overload
def expect(first: type[M], second: type[N], /) -> Flow[M | N]: ...
@overload
def expect(*types: type[Message]) -> Flow[Message]: ...
def expect(*types: type[Message]) -> Flow[Any]:
    """Wait for the peer's next message.  Anything else is unexpected_message, thrown in here."""
    return (yield Expect(types))


def resolve(ask: Callable[..., Any], *args: Any) -> Flow[Any]:
    """Wait for the application's answer; ``ask`` may be sync or async."""
    return (yield Resolve(ask, args))


def compute(ask: Callable[..., Any], *args: Any) -> Flow[Any]:
    """Wait for a long computation of our own, which must not stall an event loop."""
    return (yield Resolve(ask, args, heavy=True))


class Handshake(Protocol):
    """What a flow can do by itself.  ``transcript`` and ``info`` are its notes of what was said and what was agreed.

    ``early_data``: what a client's application wants to say first, maybe nothing yet; None: it wants no 0-RTT data to be offered.
    """

    transcript: Transcript
    info: ConnectionInfo
    early_data: bytearray | None

    def send(self, message: Message, raw: bytes | None = None) -> None:
        """Queue a handshake message, and add it to the transcript.  ``raw``: its bytes, where they were needed before."""

    def send_change_cipher_spec(self) -> None:
        """Queue the record that middleboxes want to see (RFC 8446 appendix D.4)."""

    def use_config(self, config: ServerConfig) -> ServerConfig:
        """The connection goes on with this configuration."""

    def install_read_key(self, suite: Suite, secret: TrafficSecret) -> None:
        """Open what comes from now on under this secret.  Raises unexpected_message where a message is cut by the change."""

    def install_write_key(self, suite: Suite, secret: TrafficSecret) -> None:
        """Seal what is sent from now on under this secret."""

    def speak_tls12(self, hash_name: str) -> None:
        """What comes now are TLS 1.2's messages and records; the transcript is kept, and hashed by this."""

    def expect_raw_key(self) -> None:
        """TLS 1.2: the peer's Certificate will hold a raw public key (RFC 7250)."""

    def change_write_cipher(self, sealing: Sealing12) -> None:
        """TLS 1.2: send ChangeCipherSpec, and seal with this from now on."""

    def change_read_cipher(self, opening: Opening12) -> None:
        """TLS 1.2: open with this from now on; the peer's ChangeCipherSpec has come."""

    def keep_transcript(self) -> None:
        """The handshake goes so far: post-handshake authentication may go on from here (RFC 8446 section 4.4.1)."""

    def client_secret(self) -> TrafficSecret:
        """After the handshake: the secret that the client writes under now."""

    def limit_fragments(self, send: int, receive: int) -> None:
        """Protected records hold at most so many bytes from now on."""

    def drop_write_key(self) -> None:
        """Send plaintext again: the server asked for a second hello, and knows nothing of the early data's key."""

    def begin_early_data(self, limit: int) -> None:
        """Queue ``early_data``, under the key that is installed.

        The application may add to it, up to this limit, until the next key to write with is installed.
        """

    def take_early_data(self, limit: int) -> None:
        """Hand up application data as early data, at most so many bytes, until the next key to read with is installed."""

    def allow_half_rtt_data(self) -> None:
        """The application may send data from now on, though the client has not finished (RFC 8446 section 4.4.4)."""

    def skip_early_data(self) -> None:
        """Drop 0-RTT data that was sent to us unasked (RFC 8446 section 4.2.10), up to a limit."""

    def chosen(self, what: str, value: str, why: str) -> None:
        """Tell the observer what was decided."""

    def chain_verified(self, path: tuple[bytes, ...], server_name: str | None) -> None:
        """Tell the observer that the peer's certificates are good."""
