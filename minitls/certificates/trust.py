"""Trust stores: whose certificates are believed.  Read when first needed, parsed once, shared by all who use them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification

from minitls.certificates.credentials import load_chain
from minitls.certificates.faults import PARSE_ERRORS
from minitls.certificates.names import normalise
from minitls.certificates.verify import verify_chain
from minitls.errors import Alert, CertificateError

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD, Alpine
    "/usr/local/etc/ssl/cert.pem",  # FreeBSD, Homebrew
)
CACHED_VERDICTS = 256

Verdict: TypeAlias = tuple[list[x509.Certificate], datetime, datetime]
"""A path, and from when until when all of it is valid."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """A store's certificates: for the web's verifier (None where there are none), and by the DER of their subject for ours."""

    certificates: tuple[x509.Certificate, ...]
    store: verification.Store | None
    by_subject: dict[bytes, list[x509.Certificate]]


class TrustStore:
    """Certificates that are believed: roots, or single leaves that are pinned.

    Made by :meth:`system`, :meth:`from_files`, :meth:`from_pem` or :meth:`from_certificates`.
    """

    def __init__(self, load: Callable[[], Iterable[x509.Certificate]], where: str) -> None:
        self._load = load
        self._where = where
        self._verdicts: OrderedDict[tuple[bytes, str | None, bool], Verdict] = OrderedDict()

    def __repr__(self) -> str:
        read = "anchors" in self.__dict__
        return f"<TrustStore {self._where}{f': {len(self.anchors.certificates)} certificates' if read else ''}>"

    @staticmethod
    @cache
    def _system(file: str | None, folder: str | None) -> TrustStore:
        return TrustStore(lambda: _read_system(file, folder), "of the system")

    @classmethod
    def system(cls) -> TrustStore:
        """What this system believes; SSL_CERT_FILE and SSL_CERT_DIR say otherwise, as for OpenSSL.  Read when first used."""
        return cls._system(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))

    @classmethod
    def from_files(cls, *paths: str | os.PathLike[str]) -> TrustStore:
        """From PEM files.  Raises Misuse, which names the file, and OSError."""
        return cls.from_certificates(c for path in paths for c in load_chain(Path(path).read_bytes(), str(path)))

    @classmethod
    def from_pem(cls, pem: bytes) -> TrustStore:
        """From PEM.  Raises Misuse."""
        return cls.from_certificates(load_chain(pem))

    @classmethod
    def from_certificates(cls, certificates: Iterable[x509.Certificate]) -> TrustStore:
        found = tuple(certificates)
        return cls(lambda: found, "given")

    @cached_property
    def anchors(self) -> Anchors:
        certificates = tuple(dict.fromkeys(self._load()))
        by_subject: dict[bytes, list[x509.Certificate]] = {}
        for certificate in certificates:
            by_subject.setdefault(certificate.subject.public_bytes(), []).append(certificate)
        return Anchors(certificates, verification.Store(list(certificates)) if certificates else None, by_subject)

    @cached_property
    def subjects(self) -> tuple[bytes, ...]:
        """The DER names of whom we believe, for certificate_authorities (RFC 8446 section 4.2.4)."""
        return tuple(self.anchors.by_subject)

    def verify(
        self, chain: Sequence[bytes | x509.Certificate], server_name: str | None, at: datetime | None = None
    ) -> list[x509.Certificate]:
        """The path from a server's leaf to whom we believe, leaf first.  Raises CertificateError, and Misuse for what is no name.

        ``chain``: as sent, leaf first, DER or objects.  ``at``: when, now by default.
        """
        return self._verify(chain, None if server_name is None else normalise(server_name), at, client=False)

    def verify_client(self, chain: Sequence[bytes | x509.Certificate], at: datetime | None = None) -> list[x509.Certificate]:
        """The same for a client's chain, which needs no name."""
        return self._verify(chain, None, at, client=True)

    def _verify(
        self, chain: Sequence[bytes | x509.Certificate], name: str | None, at: datetime | None, *, client: bool
    ) -> list[x509.Certificate]:
        at = at or datetime.now(UTC)
        digest = hashlib.sha256()
        for certificate in chain:
            der = certificate if isinstance(certificate, bytes) else certificate.public_bytes(Encoding.DER)
            digest.update(len(der).to_bytes(4, "big") + der)
        key = (digest.digest(), name, client)
        known = self._verdicts.get(key)
        if known is not None and known[1] <= at <= known[2]:
            self._verdicts.move_to_end(key)
            return known[0]
        path = verify_chain(self.anchors, chain, name, at, client=client)
        begin, end = max(c.not_valid_before_utc for c in path), min(c.not_valid_after_utc for c in path)
        self._verdicts[key] = (path, begin, end)
        if len(self._verdicts) > CACHED_VERDICTS:
            self._verdicts.popitem(last=False)
        return path


def _read_system(file: str | None, folder: str | None) -> Iterator[x509.Certificate]:
    """The certificates of the system's store.  Raises CertificateError where there is none to be found."""
    defaults = ssl.get_default_verify_paths()
    files = [file] if file else [p for p in (defaults.cafile, *BUNDLES) if p]
    for bundle in files:
        if Path(bundle).is_file():
            yield from load_each(Path(bundle).read_bytes())
            return
    where = folder or defaults.capath
    if where and Path(where).is_dir():
        for entry in sorted(Path(where).iterdir()):
            if entry.is_file():
                yield from load_each(entry.read_bytes())
        return
    raise CertificateError(
        Alert.internal_error,
        f"no trusted certificates on this system: {', '.join(files)} not found",
        reason="no_trust_store",
        remedy="install the package ca-certificates, or name a file with SSL_CERT_FILE or --ca",
    )


def load_each(pem: bytes) -> Iterator[x509.Certificate]:
    """Each certificate of a bundle that can be read: one odd root of a hundred is no reason to believe none."""
    end = b"-----END CERTIFICATE-----"
    for block in pem.split(end)[:-1]:
        with warnings.catch_warnings(), contextlib.suppress(*PARSE_ERRORS):
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # some roots have a serial number of 0
            yield x509.load_pem_x509_certificate(block[block.rfind(b"-----BEGIN CERTIFICATE-----") :] + end)
