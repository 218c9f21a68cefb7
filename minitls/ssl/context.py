"""SSLContext: the standard library's, whose connections are ours.

What OpenSSL's context keeps and gives back (options, verify_mode, versions ...) stays there, with its checks and its errors; what
it does not give back (certificates, keys, ALPN, ciphers) is kept here.  :mod:`minitls.ssl.configs` makes a native configuration of
both, once after each change.
"""

from __future__ import annotations

import _ssl
import os
import ssl
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from minitls.certificates.credentials import Credential
from minitls.certificates.flagged import Authorities
from minitls.certificates.peercert import peercert
from minitls.certificates.trust import TrustStore
from minitls.config import ClientConfig, ServerConfig
from minitls.crypto.groups import GROUPS
from minitls.errors import Misuse
from minitls.sessions.store import MemoryStore
from minitls.sessions.tickets import TicketKeys
from minitls.ssl import ciphers, errors
from minitls.wire.names import lookup
from minitls.wire.numbers import NamedGroup

if TYPE_CHECKING:
    from minitls.ssl.channel import Channel
    from minitls.ssl.messages import MessageCallback

_Base: Any = _ssl._SSLContext
_Standard: Any = next(kind for kind in ssl.SSLContext.__mro__ if kind.__base__ is _Base)
"""The standard library's own, whoever has taken its name: its methods look for it there, and may find us."""

CURVES = {"prime256v1": "secp256r1", "secp256r1": "secp256r1"}
MAX_PASSWORD = 1024

PathLike: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Password: TypeAlias = Callable[[], str | bytes | bytearray] | str | bytes | bytearray | None


def _setting(name: str, group: str, read: Callable[[Any], Any] = lambda value: value) -> Any:
    """A property that OpenSSL's context keeps: set there, and what was made of it is out of date."""
    inner = getattr(_Base, name)

    def get(self: SSLContext) -> Any:
        return read(inner.__get__(self))

    def change(self: SSLContext, value: Any) -> None:
        inner.__set__(self, value)
        self._changed(group)

    return property(get, change, doc=inner.__doc__)


def _verify_mode(value: int) -> int:
    try:
        return ssl.VerifyMode(value)
    except ValueError:
        return value


class SSLContext(_Standard):  # type: ignore[misc]  # mypy sees what is looked up in the mro as Any
    """A context of the standard library's shape: options, certificates and callbacks for connections of ours."""

    sslsocket_class: Any = None  # set below, as the standard library does
    sslobject_class: Any = None

    _configs: dict[bool, ClientConfig | ServerConfig]
    _native: ClientConfig | ServerConfig | None
    _touched: set[str]
    _authorities: Authorities
    _credentials: dict[type, Credential]
    _alpn: tuple[str, ...]
    _suites: tuple[int, ...]
    _groups: tuple[int, ...]
    _psk_client: Callable[[str | None], tuple[str | None, bytes]] | None
    _psk_hint: bytes | None
    _psk_server: Callable[[str | None], bytes] | None
    _tickets: TicketKeys
    _session_cache: MemoryStore
    _statistics: dict[str, int]
    _messages: MessageCallback | None

    def __new__(cls, protocol: int | None = None, *args: Any, **kwargs: Any) -> SSLContext:
        if protocol is None:
            warnings.warn("ssl.SSLContext() without protocol argument is deprecated.", category=DeprecationWarning, stacklevel=2)
            protocol = ssl.PROTOCOL_TLS
        self: SSLContext = _Base.__new__(cls, protocol)
        self._configs = {}
        self._native = None
        self._touched = set()
        self._authorities = Authorities()
        self._credentials = {}
        self._alpn = ()
        self._suites = ciphers.DEFAULT
        self._groups = ()
        self._psk_client = None
        self._psk_server = None
        self._psk_hint = None
        self._messages = None
        self._tickets = TicketKeys()
        self._session_cache = MemoryStore()
        self._statistics = dict.fromkeys(_Base.session_stats(self), 0)
        return self

    def _changed(self, group: str) -> None:
        self._touched.add(group)
        self._configs.clear()

    def _config(self, server_side: bool) -> ClientConfig | ServerConfig:
        """The native configuration for one side; the same object until something changes.  Raises SSLError."""
        if (config := self._configs.get(server_side)) is not None:
            return config
        from minitls.ssl.configs import make_config

        made = self._configs[server_side] = make_config(self, server_side)
        return made

    # what OpenSSL's context keeps ---------------------------------------------------------------------------------------

    options = _setting("options", "policy", ssl.Options)
    verify_mode = _setting("verify_mode", "trust", _verify_mode)
    verify_flags = _setting("verify_flags", "trust", ssl.VerifyFlags)
    check_hostname = _setting("check_hostname", "trust")
    post_handshake_auth = _setting("post_handshake_auth", "trust")
    keylog_filename = _setting("keylog_filename", "key_log")
    num_tickets = _setting("num_tickets", "tickets")
    sni_callback = _setting("sni_callback", "sni")
    maximum_version = _setting("maximum_version", "policy", ssl.TLSVersion)
    _minimum_version = _setting("minimum_version", "policy", ssl.TLSVersion)

    @property
    def _msg_callback(self) -> MessageCallback | None:
        """Told of each message: see :mod:`minitls.ssl.messages`."""
        return self._messages

    @_msg_callback.setter
    def _msg_callback(self, callback: MessageCallback | None) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(f"{callback} is not callable.")
        self._messages = callback

    @property
    def minimum_version(self) -> Any:
        return self._minimum_version

    @minimum_version.setter
    def minimum_version(self, value: int) -> None:
        if value == ssl.TLSVersion.SSLv3:
            self.options &= ~ssl.Options.OP_NO_SSLv3
        self._minimum_version = value

    @property
    def protocol(self) -> Any:
        return ssl._SSLMethod(_Base.protocol.__get__(self))

    @property
    def security_level(self) -> int:
        """OpenSSL's: what it asks of keys and signatures, our verification asks at least."""
        return int(_Base.security_level.__get__(self))

    @property
    def hostname_checks_common_name(self) -> bool:
        """Never: a common name names no host (RFC 9525 section 6.3)."""
        return False

    @hostname_checks_common_name.setter
    def hostname_checks_common_name(self, value: bool) -> None:
        if value:
            raise ValueError("the common name of a certificate is not taken for a host name (RFC 9525 section 6.3)")

    def set_servername_callback(self, server_name_callback: Callable[..., int | None] | None) -> None:
        """The old way to set ``sni_callback``."""
        if server_name_callback is not None and not callable(server_name_callback):
            raise TypeError("not a callable object")
        self.sni_callback = server_name_callback

    # certificates -------------------------------------------------------------------------------------------------------

    def load_cert_chain(self, certfile: PathLike, keyfile: PathLike | None = None, password: Password = None) -> None:
        """A certificate chain and its key: paths, or the contents themselves as bytes (PEM, DER or PKCS#12).

        One for each kind of key; another of that kind takes its place.
        """
        cert = _contents(certfile)
        key = None if keyfile is None else _contents(keyfile)
        secret = _password(password, cert if key is None else key)
        try:
            credential = Credential.from_bytes(cert, key, secret)
        except Misuse as error:
            if not any(map(_is_contents, (certfile, keyfile))):  # OpenSSL says it in the words that programs know
                super().load_cert_chain(certfile, keyfile, secret or b"")
            raise errors.translate(error) from error
        self._credentials[type(credential.leaf.public_key())] = credential
        self._changed("credentials")

    def load_verify_locations(
        self, cafile: PathLike | None = None, capath: PathLike | None = None, cadata: str | bytes | None = None
    ) -> None:
        """Whom to trust, and CRLs: files in PEM, a folder of them, PEM as a str, or DER as bytes."""
        if cafile is None and capath is None and cadata is None:
            raise TypeError("cafile, capath and cadata cannot be all omitted")
        try:
            if cadata is not None:
                self._add_data(cadata)
            if cafile is not None:
                self._authorities.add_pem(Path(os.fsdecode(cafile)).read_bytes())
        except Misuse as error:
            super().load_verify_locations(cafile, None, cadata)
            raise errors.translate(error) from error
        if capath is not None:
            self._authorities.folders.append(Path(os.fsdecode(capath)))
        self._changed("trust")

    def _add_data(self, cadata: Any) -> None:
        if isinstance(cadata, str):
            if not cadata.isascii():
                raise TypeError("cadata should be an ASCII string or a bytes-like object")
            data = cadata.encode("ascii")
        else:
            try:
                data = bytes(memoryview(cadata))
            except TypeError:
                raise TypeError("cadata should be an ASCII string or a bytes-like object") from None
        if not data:
            raise ValueError("Empty certificate data")
        (self._authorities.add_pem if isinstance(cadata, str) else self._authorities.add_der)(data)

    def load_default_certs(self, purpose: Any = ssl.Purpose.SERVER_AUTH) -> None:
        """Trust what the system trusts; SSL_CERT_FILE and SSL_CERT_DIR name something else."""
        if not isinstance(purpose, ssl._ASN1Object):
            raise TypeError(purpose)
        self.set_default_verify_paths()

    def set_default_verify_paths(self) -> None:
        """Trust what the system trusts.  It is read when first needed, once for all contexts."""
        self._authorities.system = TrustStore.system()
        self._changed("trust")

    def get_ca_certs(self, binary_form: bool = False) -> list[Any]:
        """The CAs that were loaded, as dictionaries or in DER; those of a ``capath`` are not read before they are needed."""
        found = list(self._authorities.cas())
        return found if binary_form else [peercert(der) for der in found]

    def cert_store_stats(self) -> dict[str, int]:
        return self._authorities.counts()

    # what is spoken -----------------------------------------------------------------------------------------------------

    def set_ciphers(self, cipherlist: str) -> None:
        """TLS 1.2's suites, in OpenSSL's language.  TLS 1.3's are always there."""
        self._suites = ciphers.parse(cipherlist)
        self._changed("policy")

    def get_ciphers(self) -> list[dict[str, Any]]:
        """What would be offered and accepted, best first."""
        return [ciphers.describe(code) for code in (*ciphers.DEFAULT_13, *self._suites)]

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Application protocols, best first.  As with OpenSSL, a server that has none of the client's goes on without."""
        protocols = tuple(alpn_protocols)
        super().set_alpn_protocols(protocols)
        self._alpn = protocols
        self._changed("alpn")

    def set_npn_protocols(self, npn_protocols: Iterable[str]) -> None:
        warnings.warn("ssl NPN is deprecated, use ALPN instead", DeprecationWarning, stacklevel=2)

    def set_ecdh_curve(self, name: str | bytes) -> None:
        """Use this group alone for key exchange."""
        wanted = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        try:
            group = lookup(NamedGroup, GROUPS, "group", CURVES.get(wanted, wanted))
        except (Misuse, AttributeError):
            super().set_ecdh_curve(name)
            raise ValueError(f"unknown elliptic curve name {name!r}") from None
        self._groups = (int(group),)
        self._changed("policy")

    def load_dh_params(self, path: PathLike) -> None:
        """Reads the file, and goes on using RFC 7919's groups: who made others, a client cannot know."""
        super().load_dh_params(path)

    def set_psk_client_callback(self, callback: Callable[[str | None], tuple[str | None, bytes]] | None) -> None:
        """``callback(hint)`` gives an identity and the key; keys have 16 bytes at least."""
        if callback is not None and self.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise ssl.SSLError("Cannot add PSK client callback to a PROTOCOL_TLS_SERVER context")
        self._psk_client = _callback(callback)
        self._changed("psk")

    def set_psk_server_callback(self, callback: Callable[[str | None], bytes] | None, identity_hint: str | None = None) -> None:
        """``callback(identity)`` gives the key, or b"" for none.  ``identity_hint``: for clients of TLS 1.2."""
        if callback is not None and self.protocol == ssl.PROTOCOL_TLS_CLIENT:
            raise ssl.SSLError("Cannot add PSK server callback to a PROTOCOL_TLS_CLIENT context")
        self._psk_server = _callback(callback)
        self._psk_hint = None if identity_hint is None else identity_hint.encode("utf-8")
        self._changed("psk")

    def session_stats(self) -> dict[str, int]:
        return dict(self._statistics)

    def _count(self, *what: str) -> None:
        for each in what:
            self._statistics[each] += 1

    # connections --------------------------------------------------------------------------------------------------------

    def wrap_socket(
        self,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: Any = None,
    ) -> Any:
        return self.sslsocket_class._create(
            sock=sock,
            server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=server_hostname,
            context=self,
            session=session,
        )

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: Any = None,
    ) -> Any:
        return self.sslobject_class._create(
            incoming,
            outgoing,
            server_side=server_side,
            server_hostname=self._encode_hostname(server_hostname),
            session=session,
            context=self,
        )

    def _encode_hostname(self, hostname: str | bytes | None) -> str | None:
        if hostname is None:
            return None
        if isinstance(hostname, str):
            return hostname.encode("idna").decode("ascii")
        return hostname.decode("ascii")

    def _wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
        *,
        owner: Any = None,
        session: Any = None,
    ) -> Channel:
        from minitls.ssl.object import BioChannel

        return BioChannel(incoming, outgoing, self, server_side, server_hostname, session, owner)

    def _wrap_socket(
        self, sock: Any, server_side: bool = False, server_hostname: str | None = None, *, owner: Any = None, session: Any = None
    ) -> Channel:
        from minitls.ssl.pump import SocketChannel

        return SocketChannel(self, server_side, server_hostname, session, sock if owner is None else owner)


def _callback(callback: Any) -> Any:
    if callback is not None and not callable(callback):
        raise TypeError("callback must be callable")
    return callback


def _is_contents(given: Any) -> bool:
    return isinstance(given, bytes) and (b"-----BEGIN " in given or given[:1] == b"\x30")


def _contents(given: PathLike) -> bytes:
    if _is_contents(given):
        assert isinstance(given, bytes)
        return given
    try:
        path = os.fsdecode(given)
    except TypeError:
        raise TypeError("certfile and keyfile should be valid filesystem paths") from None
    return Path(path).read_bytes()


def _password(password: Password, key: bytes) -> bytes | None:
    """The password of a key that has one, asked for only then; None for others."""
    if callable(password):
        given: Any = password() if b"ENCRYPTED" in key else b""
        problem = "password callback must return a string"
    else:
        given, problem = password, "password should be a string or callable"
    if given is None and not callable(password):
        return None
    if not isinstance(given, (str, bytes, bytearray)):
        raise TypeError(problem)
    secret = given.encode() if isinstance(given, str) else bytes(given)
    if len(secret) > MAX_PASSWORD:
        raise ValueError(f"password cannot be longer than {MAX_PASSWORD} bytes")
    return secret if b"ENCRYPTED" in key or key[:1] == b"\x30" else None


def context_from(config: ClientConfig | ServerConfig) -> SSLContext:
    """A context for a native configuration.  What is set on it afterwards, such as ALPN by a library, changes that part of it."""
    from minitls.ssl.configs import mirror

    client = isinstance(config, ClientConfig)
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT if client else ssl.PROTOCOL_TLS_SERVER)
    mirror(context, config)
    context._native = config
    context._touched.clear()
    context._configs.clear()
    return context


def create_default_context(
    purpose: Any = ssl.Purpose.SERVER_AUTH,
    *,
    cafile: PathLike | None = None,
    capath: PathLike | None = None,
    cadata: str | bytes | None = None,
) -> SSLContext:
    """As the standard library's; SSLKEYLOGFILE is honoured, too."""
    if not isinstance(purpose, ssl._ASN1Object):
        raise TypeError(purpose)
    if purpose == ssl.Purpose.SERVER_AUTH:
        context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    elif purpose == ssl.Purpose.CLIENT_AUTH:
        context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
    else:
        raise ValueError(purpose)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    _load(context, purpose, cafile, capath, cadata)
    return context


def _create_unverified_context(
    protocol: int | None = None,
    *,
    cert_reqs: int | None = ssl.CERT_NONE,
    check_hostname: bool = False,
    purpose: Any = ssl.Purpose.SERVER_AUTH,
    certfile: PathLike | None = None,
    keyfile: PathLike | None = None,
    cafile: PathLike | None = None,
    capath: PathLike | None = None,
    cadata: str | bytes | None = None,
) -> SSLContext:
    """As the standard library's, which its own modules use: nobody is verified unless ``cert_reqs`` says so."""
    if not isinstance(purpose, ssl._ASN1Object):
        raise TypeError(purpose)
    if purpose not in (ssl.Purpose.SERVER_AUTH, ssl.Purpose.CLIENT_AUTH):
        raise ValueError(purpose)
    if protocol is None:
        protocol = ssl.PROTOCOL_TLS_CLIENT if purpose == ssl.Purpose.SERVER_AUTH else ssl.PROTOCOL_TLS_SERVER
    context = SSLContext(protocol)
    context.check_hostname = check_hostname
    if cert_reqs is not None:
        context.verify_mode = cert_reqs
    if check_hostname:
        context.check_hostname = True
    if keyfile and not certfile:
        raise ValueError("certfile must be specified")
    if certfile:
        context.load_cert_chain(certfile, keyfile)
    _load(context, purpose, cafile, capath, cadata)
    return context


def _load(context: SSLContext, purpose: Any, cafile: PathLike | None, capath: PathLike | None, cadata: str | bytes | None) -> None:
    if cafile or capath or cadata:
        context.load_verify_locations(cafile, capath, cadata)
    elif context.verify_mode != ssl.CERT_NONE:
        context.load_default_certs(purpose)
    keylogfile = os.environ.get("SSLKEYLOGFILE")
    if keylogfile and not sys.flags.ignore_environment:
        context.keylog_filename = keylogfile
