"""What comes beside a server's certificate, in one call: the stapled OCSP response, and signed certificate timestamps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from minitls.certificates.facts import read_facts
from minitls.certificates.faults import Fault
from minitls.certificates.ocsp import Staple, check_staple
from minitls.certificates.sct import Logs, Timestamp, check_logged, timestamps
from minitls.data import dataclass


@dataclass(frozen=True, slots=True)
class Beside:
    """What was checked and is good: the OCSP response, if one came; and each timestamp with its verdict, good or not."""

    staple: Staple | None
    timestamps: tuple[Timestamp, ...]


def check_beside(
    path: Sequence[bytes], at: datetime, *, ocsp_response: bytes | None = None, scts: Sequence[bytes] = (), logs: Logs | None = None
) -> Beside:
    """Whether it is what the certificate promises, and what ``logs`` ask for.  Raises CertificateError.

    ``path``: the verified one, DER, leaf first.  ``ocsp_response``: as stapled, b"" where the server stapled none, None where
    nobody asked it; ``scts``: the items of signed_certificate_timestamp.
    """
    certificates = [read_facts(der).certificate for der in path]
    try:
        staple = None if ocsp_response is None else check_staple(certificates, ocsp_response, at)
        found = timestamps(certificates, at, tls=scts, ocsp=staple.scts if staple is not None else (), logs=logs)
        check_logged(found, logs.at_least if logs is not None else 0, certificates[0])
    except Fault as fault:
        raise fault.error(path) from None
    return Beside(staple, found)
