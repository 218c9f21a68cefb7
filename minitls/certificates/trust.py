"""Trust stores: whose certificates are believed.  Read when first needed, parsed once, shared by all who use them."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache, cached_property, lru_cache
from typing import Self, TypeAlias

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from minitls.certificates.credentials import load_chain, read_file
from minitls.certificates.facts import Facts, ValidPath
from minitls.certificates.faults import PARSE_ERRORS, read_der, read_pem
from minitls.certificates.names import normalise
from minitls.certificates.path import Anchors
from minitls.certificates.verify import as_der, verify_chain
from minitls.errors import Alert, CertificateError, Misuse

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD, Alpine
    "/usr/local/etc/ssl/cert.pem",  # FreeBSD, Homebrew
)
CACHED_VERDICTS = 256
KEPT_CERTIFICATES = 512
"""Of bundles: two or three of them."""

Verdict: TypeAlias = tuple[Sequence[Facts], datetime, datetime]
"""A path, and from when until when all of it is valid."""


class TrustStore:
    """Certificates that are believed: roots, or single leaves that are pinned.

    Made by :meth:`system`, :meth:`from_files`, :meth:`from_pem` or :meth:`from_certificates`.

    A subclass may judge by rules of its own, such as SPIFFE's or those of trust on first use: it overrides :meth:`verify` for
    servers' chains and :meth:`verify_client` for clients', which raise CertificateError, or give the path by which a chain is
    believed, and may ask ``super()`` first.  An empty path says that the peer is believed and nobody vouches for it: then nobody
    looks at staples, and a configuration with ``crls``, ``logs`` or ``pinned_keys``, which are about paths, refuses it.  Both may
    be called in another thread, and are not async: what has to wait is for a configuration's ``verify``.  They are asked again
    when a session is resumed.  Whether the peer has the certificate's key is not theirs to check: that is done in any case.
    """

    def __init__(self, load: Callable[[], Iterable[x509.Certificate]] = tuple, where: str = "given") -> None:
        """``load``: gives the certificates, when they are first needed; none by default."""
        self._load = load
        self._where = where
        self._verdicts: dict[tuple[tuple[bytes, ...], str | None, bool], Verdict] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        read = "anchors" in self.__dict__
        return f"<TrustStore {self._where}{f': {len(self.anchors.certificates)} certificates' if read else ''}>"

    @classmethod
    @cache
    def _system(cls, file: str | None, folder: str | None) -> Self:
        return cls(lambda: _read_system(file, folder), "of the system")

    @classmethod
    def system(cls) -> Self:
        """What this system believes.  Where SSL_CERT_FILE or SSL_CERT_DIR is set: what they name, and nothing else.

        Read when first used.
        """
        return cls._system(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))

    @classmethod
    def from_files(cls, *paths: str | os.PathLike[str]) -> Self:
        """From PEM files.  Raises Misuse, which names the file, and OSError."""
        return cls.from_certificates(c for path in paths for c in load_chain(read_file(path), str(path)))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """From PEM.  Raises Misuse."""
        return cls.from_certificates(load_chain(pem))

    @classmethod
    def from_certificates(cls, certificates: Iterable[x509.Certificate]) -> Self:
        found = tuple(certificates)
        return cls(lambda: found, "given")

    @property
    def unread(self) -> bool:
        """Whether files are still to be read, which can take some hundredths of a second."""
        return self._where != "given" and "anchors" not in self.__dict__

    @cached_property
    def anchors(self) -> Anchors:
        return Anchors.of(tuple(dict.fromkeys(self._load())))

    @cached_property
    def subjects(self) -> tuple[bytes, ...]:
        """The DER names of whom we believe, for certificate_authorities (RFC 8446 section 4.2.4)."""
        return tuple(self.anchors.by_subject)

    def verify(
        self, chain: Sequence[bytes | x509.Certificate], server_name: str | None, at: datetime | None = None
    ) -> list[x509.Certificate]:
        """The path from a server's leaf to whom we believe, leaf first.  Raises CertificateError, and Misuse for what is no name.

        ``chain``: as sent, leaf first, DER or objects.  ``server_name``: whose it has to be, None for anybody's.  ``at``: when, now
        by default.
        """
        return self._verify(chain, None if server_name is None else normalise(server_name), at, client=False)

    def verify_client(self, chain: Sequence[bytes | x509.Certificate], at: datetime | None = None) -> list[x509.Certificate]:
        """The same for a client's chain, which needs no name."""
        return self._verify(chain, None, at, client=True)

    def _verify(
        self, chain: Sequence[bytes | x509.Certificate], name: str | None, at: datetime | None, *, client: bool
    ) -> list[x509.Certificate]:
        at = at or datetime.now(UTC)
        if at.tzinfo is None:
            raise Misuse("at= is a time without a time zone: whose noon is it?")
        key = (tuple(as_der(chain)), name, client)
        known = self._verdicts.get(key)
        if known is not None and known[1] <= at <= known[2]:
            return ValidPath(known[0])
        path = verify_chain(self.anchors, chain, name, at, client=client)
        begins, ends = zip(*[each.validity for each in path], strict=True)
        with self._lock:
            while len(self._verdicts) >= CACHED_VERDICTS:
                del self._verdicts[next(iter(self._verdicts))]  # the oldest
            self._verdicts[key] = (path, max(begins), min(ends))
        return ValidPath(path)


def _read_system(file: str | None, folders: str | None) -> list[x509.Certificate]:
    """The certificates that the two variables name, or else the system's.  Raises CertificateError where there are none."""
    defaults = ssl.get_default_verify_paths()
    if file or folders:
        bundles, places = [file or ""], (folders or "").split(os.pathsep)
    else:
        bundles, places = [defaults.cafile or "", *BUNDLES], [defaults.capath or ""]
    bundles, places = list(filter(None, bundles)), list(filter(None, places))
    bundle = next(filter(os.path.isfile, bundles), None)
    found = list(load_each(read_file(bundle))) if bundle is not None else []
    if folders or not found:  # a system's folder has what its bundle has, once more
        for place in filter(os.path.isdir, places):
            for entry in sorted(os.listdir(place)):
                path = os.path.join(place, entry)
                found += load_each(read_file(path)) if os.path.isfile(path) else ()
    if not found and not (file or folders):
        found += _windows_roots()
    if not found:
        raise CertificateError(
            Alert.internal_error,
            f"there are no certificates to trust: none in {', '.join(dict.fromkeys(bundles + places))}",
            reason="no_trust_store",
            remedy="install the package ca-certificates, or name a file with SSL_CERT_FILE or --ca",
        )
    return found


def _windows_roots() -> Iterator[x509.Certificate]:
    """What Windows trusts to vouch for servers, where this is Windows: its roots are no files."""
    for der, encoding, purposes in getattr(ssl, "enum_certificates", lambda store: ())("ROOT"):
        if encoding == "x509_asn" and (purposes is True or ExtendedKeyUsageOID.SERVER_AUTH.dotted_string in purposes):
            with contextlib.suppress(*PARSE_ERRORS):
                yield read_der(der)


def load_each(pem: bytes) -> Iterator[x509.Certificate]:
    """Each certificate of a bundle that can be read: one odd root of a hundred is no reason to believe none."""
    end = b"-----END CERTIFICATE-----"
    for block in pem.split(end)[:-1]:
        with contextlib.suppress(*PARSE_ERRORS):
            yield _read_block(block[block.rfind(b"-----BEGIN CERTIFICATE-----") :] + end)


@lru_cache(KEPT_CERTIFICATES)
def _read_block(pem: bytes) -> x509.Certificate:
    """One of a bundle, which many contexts may load.  Raises PARSE_ERRORS."""
    certificate = read_pem(pem)[0]
    certificate.subject.public_bytes()  # by which it will be found
    return certificate
