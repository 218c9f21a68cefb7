"""The files of a credential, looked at again and again: what they hold, and whether that is another now.

1. A look is one ``stat`` for each file.  Only what has changed is read, and only what reads differently is parsed.
2. What ``stat`` says is noted before a file is read: what is written meanwhile is seen at the next look.
3. A file's times are as coarse as the kernel's clock.  What changed within the last ``COARSE`` seconds is read once more when
   these are over, lest two changes look like one.
4. Certificate and key are taken from one look, whole or not at all.  A key that does not belong to the certificate, as between
   the writing of the two, half a file, or what clients would refuse for its dates is a reason to keep the old pair.
5. What is no regular file, such as a pipe, can be read only once: it is not watched.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.x509 import ocsp

from minitls.certificates.credentials import Credential
from minitls.certificates.faults import PARSE_ERRORS, called, name_of, printable, read_der
from minitls.data import dataclass, field
from minitls.errors import Misuse

COARSE = 2.0
"""Seconds.  FAT's clock is the coarsest; Linux' ticks every 4 ms."""
SIZE_LIMIT = 2**20
"""Bytes of a file: what is longer is no certificate, and would take long to read."""

PathLike: TypeAlias = "str | os.PathLike[str]"
Source: TypeAlias = "PathLike | tuple[PathLike, PathLike | None] | CredentialFiles"


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Where a credential lies, in any form that :meth:`Credential.from_files` reads; without ``key``, ``cert`` has both.

    ``ocsp``: the DER of an OCSP response to staple, as ``openssl ocsp -respout`` writes it.  While it is missing, out of date or
    another certificate's, nothing is stapled.
    """

    cert: PathLike
    key: PathLike | None = None
    password: bytes | str | None = field(default=None, repr=False)
    ocsp: PathLike | None = None

    @classmethod
    def of(cls, source: Source) -> CredentialFiles:
        """From one path, or a pair for certificate and key."""
        if isinstance(source, CredentialFiles):
            return source
        return cls(*source) if isinstance(source, tuple) else cls(source)


class Watched:
    """What is known of a credential's files.

    ``problem``: why what they hold was not taken, or what is wrong with it though it was.  ``looked_at``: a note of the store's.
    """

    __slots__ = ("_again", "_clock", "_digest", "_files", "_once", "_paths", "_reconsider", "_seen", "looked_at", "problem")

    def __init__(self, files: CredentialFiles, clock: Callable[[], float]) -> None:
        self._files = files
        self._paths = [Path(path) for path in (files.cert, files.key, files.ocsp) if path is not None]
        self._once = any(path.exists() and not path.is_file() for path in self._paths)
        self._clock = clock
        self._seen: list[tuple[int, ...]] = []
        self._digest = b""
        self._again = self._reconsider = math.inf  # when files that look the same are read, and read the same but are judged anew
        self.looked_at = -math.inf
        self.problem: Misuse | None = None

    def load(self) -> Credential:
        """The first one, which is shown even if it has expired: there is no other.  Raises Misuse and OSError."""
        self._note(self._clock(), _stats(self._paths))
        credential = self._take(None)
        assert credential is not None
        return credential

    def look(self, shown: Credential, *, thoroughly: bool = False) -> Credential | None:
        """What to show instead of ``shown``: None if that may stay, or has to, which ``problem`` tells.

        ``thoroughly``: read the files though they look the same.
        """
        now, seen = self._clock(), _stats(self._paths)
        if self._once or (not thoroughly and seen == self._seen and now < min(self._again, self._reconsider)):
            return None
        self._note(now, seen)
        try:
            return self._take(shown)
        except Misuse as error:
            self._refuse(error.message, error.reason)
        except OSError as error:
            self._digest, self._again = b"", now + COARSE  # no more files may be open, say: which changes without their changing
            self._refuse(f"cannot read {error.filename or self._files.cert}, {error.strerror}", "unreadable")
        return None

    def _refuse(self, text: str, reason: str) -> None:
        """A problem that is the same as before stays the same object."""
        problem = Misuse(f"{text}: the old certificate stays", reason=reason)
        if self.problem is None or self.problem.message != problem.message:
            self.problem = problem

    def _note(self, now: float, seen: list[tuple[int, ...]]) -> None:
        self._seen = seen
        recently = (now - COARSE) * 1e9
        self._again = now + COARSE if any(max(times) > recently for *times, _, _, _ in filter(None, seen)) else math.inf

    def _take(self, shown: Credential | None) -> Credential | None:
        """A credential from what the files hold now; None if that is what they held.  Raises Misuse and OSError."""
        files = self._files
        cert, key = _read(files.cert), None if files.key is None else _read(files.key)
        try:
            staple = None if files.ocsp is None else _read(files.ocsp)
        except OSError:
            staple = b""  # no reason to refuse a certificate
        digest = hashlib.sha256(repr((cert, key, staple)).encode()).digest()
        if digest == self._digest and self._clock() < self._reconsider:
            return None
        self._digest, self._reconsider, self.problem = digest, math.inf, None
        where_key = None if files.key is None else str(files.key)
        credential = Credential.from_bytes(cert, key, files.password, where=str(files.cert), where_key=where_key)
        old = shown if shown is not None and not _untimely(shown.leaf, self._clock()) else None
        self._check_dates(credential, old)
        _check_chain(credential, old, files.cert)
        return credential if staple is None else self._staple(credential, staple, shown)

    def _check_dates(self, credential: Credential, old: Credential | None) -> None:
        """Clients refuse what has expired, or is not valid yet: it does not replace what they accept.  Raises Misuse."""
        now = self._clock()
        if not (untimely := _untimely(credential.leaf, now)):
            return
        if (begin := credential.leaf.not_valid_before_utc.timestamp()) > now:
            self._reconsider = begin
        problem = Misuse(f"{name_of(credential.leaf)} in {self._files.cert} {untimely}", reason="untimely_certificate")
        if old is not None:
            raise problem
        self.problem = problem

    def _staple(self, credential: Credential, response: bytes, shown: Credential | None) -> Credential:
        """With the OCSP response if it is good for anything.  Raises Misuse where a new certificate must not go without one."""
        now = self._clock()
        try:
            until = good_until(response, credential.leaf)
            if until > now:
                self._reconsider = min(self._reconsider, until)
                return credential.stapled(ocsp_response=response)
            problem = f"is out of date since {_date(until)}"
        except ValueError as error:
            problem = str(error)
        text = f"the OCSP response in {self._files.ocsp} {problem}"
        if shown is not None and _must_staple(credential.leaf):
            raise Misuse(f"{text}, and {name_of(credential.leaf)} says that it must be stapled", reason="bad_staple")
        self.problem = Misuse(f"{text}: nothing is stapled", reason="bad_staple")
        return credential


def _check_chain(new: Credential, old: Credential | None, path: PathLike) -> None:
    """A leaf without the issuer that the old one came with is the first half of a file, or the wrong file.  Raises Misuse."""
    issuer = new.leaf.issuer
    if old is not None and len(new.chain) == 1 and any(read_der(der).subject == issuer for der in old.chain[1:]):
        problem = f"{path} lacks the certificate of {called(issuer)}, which stood there before and clients need"
        raise Misuse(problem, reason="incomplete_chain")


def good_until(response: bytes, leaf: x509.Certificate) -> float:
    """When an OCSP response about this certificate goes out of date (RFC 6960 section 4.2.2.1), in seconds since the epoch.

    Raises ValueError, the end of a sentence, for one that says nothing about it.  Its signature is for clients to check.
    """
    if not response:
        raise ValueError("is missing, or cannot be read")
    try:
        parsed = ocsp.load_der_ocsp_response(response)
        if parsed.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise ValueError(f"is none: the responder says {parsed.response_status.name.lower()}")
        single = next((each for each in parsed.responses if each.serial_number == leaf.serial_number), None)
    except PARSE_ERRORS as error:
        raise ValueError(printable(str(error)) if str(error).startswith("is none") else "cannot be read") from None
    if single is None:
        raise ValueError("is another certificate's")
    return math.inf if single.next_update_utc is None else single.next_update_utc.timestamp()


def _untimely(leaf: x509.Certificate, now: float) -> str:
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    if now > end:
        return f"expired on {_date(end)}"
    return f"is valid only from {_date(begin)} on" if now < begin else ""


def _date(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _must_staple(leaf: x509.Certificate) -> bool:
    """RFC 7633."""
    try:
        return x509.TLSFeatureType.status_request in leaf.extensions.get_extension_for_class(x509.TLSFeature).value
    except x509.ExtensionNotFound:
        return False


def _stats(paths: list[Path]) -> list[tuple[int, ...]]:
    """What tells that a file was written or replaced; () for one that is not there."""

    def identity(path: Path) -> tuple[int, ...]:
        try:
            found = os.stat(path)
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev

    return [identity(path) for path in paths]


def _read(path: PathLike) -> bytes:
    with open(path, "rb") as file:
        data = file.read(SIZE_LIMIT + 1)
    if len(data) > SIZE_LIMIT:
        raise Misuse(f"{path} has more than {SIZE_LIMIT} bytes: that is no certificate", reason="bad_certificate")
    return data
