"""Verification as OpenSSL's verify flags ask for it: what a context of the standard library can choose.

1. Without ``partial_chain`` a path ends at a root: another certificate that is trusted is only one more that may be in a path.
2. ``strict``: certificates keep RFC 5280 where CAs often do not (X509_V_FLAG_X509_STRICT).
3. ``crls``: every certificate of the path, or the leaf alone, has to have a list that speaks for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from minitls.certificates.crl import Crls
from minitls.certificates.faults import PARSE_ERRORS, Fault, malformed, name_of
from minitls.certificates.path import Anchors
from minitls.certificates.trust import TrustStore, load_each
from minitls.certificates.verify import as_der, parse_chain
from minitls.errors import Alert, Misuse


class Authorities:
    """Certificates and lists of the revoked, as they were read; ``folders`` are read when they are needed."""

    def __init__(self) -> None:
        self.certificates: dict[x509.Certificate, None] = {}
        self.lists: list[bytes] = []
        self.folders: list[Path] = []
        self.system: TrustStore | None = None

    def add_pem(self, text: bytes) -> None:
        """All certificates and CRLs of a PEM text.  Raises Misuse where there are none, or a CRL is none that we can judge by."""
        found = list(load_each(text))
        lists = [text] if b"-----BEGIN X509 CRL-----" in text else []
        if not found and not lists:
            raise Misuse("no certificate or crl found", reason="no_certificate_or_crl_found")
        Crls.from_bytes(*lists)
        self.certificates.update(dict.fromkeys(found))
        self.lists += lists

    def add_der(self, der: bytes) -> None:
        """Certificates in DER, one after another.  Raises Misuse."""
        from minitls.certificates.credentials import load_der_chain

        self.certificates.update(dict.fromkeys(load_der_chain(der, "cadata")))

    def _read(self, folder: Path) -> None:
        """Every file of a folder that has certificates or CRLs in it; links of one name for another are common in such folders."""
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            if entry.is_file():
                with contextlib.suppress(Misuse):
                    self.add_pem(entry.read_bytes())

    def counts(self) -> dict[str, int]:
        """How many there are, as the standard library's ``cert_store_stats()``."""
        lists = sum(text.count(b"-----BEGIN X509 CRL-----") for text in self.lists)
        return {"x509": len(self.all()), "crl": lists, "x509_ca": len(list(self.cas()))}

    def all(self) -> list[x509.Certificate]:
        system = self.system.anchors.certificates if self.system is not None else ()
        return list(dict.fromkeys((*system, *self.certificates)))

    def cas(self) -> Iterator[bytes]:
        """Those that may sign certificates, in DER."""
        for certificate in self.all():
            if _is_ca(certificate):
                yield certificate.public_bytes(Encoding.DER)

    def issuers(self, certificate: x509.Certificate) -> Iterator[x509.Certificate]:
        """Who issued this one, who issued that, and so on up to a root, as far as they are among those that were loaded."""
        while certificate.issuer != certificate.subject:
            found = next((each for each in self.certificates if each.subject == certificate.issuer), None)
            if found is None or found == certificate:
                return
            yield found
            certificate = found

    def trust(self, **flags: Any) -> FlaggedTrust:
        """Whom to believe, by all that is there now."""
        while self.folders:
            self._read(self.folders.pop())
        return FlaggedTrust(self, **flags)


class FlaggedTrust(TrustStore):
    """What a context trusts, and how strictly; a copy of what it has read so far."""

    def __init__(
        self,
        authorities: Authorities,
        *,
        partial_chain: bool = False,
        strict: bool = False,
        crls: bool = False,
        whole_chain: bool = True,
    ) -> None:
        given = tuple(authorities.certificates)
        roots = [each for each in given if partial_chain or each.subject == each.issuer]
        self._base = authorities.system
        self._given = tuple(roots)
        self._between = [each for each in given if each not in roots]
        self._strict = strict
        self._crls = Crls.from_bytes(*authorities.lists, required=True) if crls else None
        self._whole_chain = whole_chain
        super().__init__(self._roots, "of a context")

    def _roots(self) -> Iterable[x509.Certificate]:
        return (*(self._base.anchors.certificates if self._base is not None else ()), *self._given)

    @cached_property
    def anchors(self) -> Anchors:
        if self._base is not None and not self._given:
            return self._base.anchors  # the system's, which all contexts share
        return Anchors.of(tuple(dict.fromkeys(self._roots())))

    def _verify(
        self, chain: Sequence[bytes | x509.Certificate], name: str | None, at: datetime | None, *, client: bool
    ) -> list[x509.Certificate]:
        at = at or datetime.now(UTC)
        path = super()._verify(self._with_issuers(chain), name, at, client=client)
        if self._strict:
            try:
                check_strictly(path)
            except Fault as fault:
                raise fault.error(as_der(chain)) from None
            except PARSE_ERRORS as error:
                raise malformed(error).error(as_der(chain)) from None
        if self._crls is not None:
            self._crls.check(path if self._whole_chain else path[:2], at)
        return path

    def _with_issuers(self, chain: Sequence[bytes | x509.Certificate]) -> Sequence[bytes | x509.Certificate]:
        """The chain as sent, and who may have issued one of it among those that we have beside roots."""
        if not self._between:
            return chain
        found = [each.certificate for each in parse_chain(chain)]
        for each in found:
            found += [issuer for issuer in self._between if issuer.subject == each.issuer and issuer not in found]
        return found


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:  # a root of X.509's first version has none
        return certificate.version is x509.Version.v1 and certificate.subject == certificate.issuer
    except PARSE_ERRORS:
        return False


def check_strictly(path: Sequence[x509.Certificate]) -> None:
    """RFC 5280 section 4 for each certificate of a path; nothing for one that is trusted by itself.  Raises Fault, PARSE_ERRORS.

    The numbers are OpenSSL's.
    """
    for position, certificate in enumerate(path if len(path) > 1 else ()):
        found = {type(extension.value): extension for extension in certificate.extensions}
        ca, last = _is_ca(certificate), position + 1 == len(path)
        usage, constraints = found.get(x509.KeyUsage), found.get(x509.BasicConstraints)
        names, authority, subject = (
            found.get(kind) for kind in (x509.SubjectAlternativeName, x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier)
        )
        nameless = not list(certificate.subject)
        signs = usage is not None and usage.value.key_cert_sign
        problems = (
            (89, "has basicConstraints that are not critical", ca and constraints is not None and not constraints.critical),
            (92, "is a CA's without keyUsage", ca and usage is None),
            (82, "may sign certificates, and is no CA's", not ca and signs),
            (83, "has an issuer without a name", not list(certificate.issuer)),
            (84, "has neither a subject nor other names", nameless and (ca or names is None)),
            (88, "has no subject, and other names that are not critical", nameless and names is not None and not names.critical),
            (90, "has a critical authorityKeyIdentifier", authority is not None and authority.critical),
            (91, "has a critical subjectKeyIdentifier", subject is not None and subject.critical),
            (85, "does not name its issuer's key", not last and (authority is None or authority.value.key_identifier is None)),
            (86, "is a CA's and does not name its own key", ca and subject is None),
        )
        for code, what, broken in problems:
            if broken:
                raise Fault("not_strict", Alert.bad_certificate, code, f"{name_of(certificate)} {what}", "RFC 5280 4.2")
