"""The dictionary behind ``minitls explain``: one honest sentence for each number, where it is defined, and what became of it.

``dictionary.txt`` has the words, so that they can be read and mended without any code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["alert", "suite", "group", "scheme", "extension", "message", "version", "record"]

KINDS: dict[str, Kind] = {
    "alert": "alert",
    "alerts": "alert",
    "suite": "suite",
    "suites": "suite",
    "cipher": "suite",
    "ciphersuite": "suite",
    "group": "group",
    "curve": "group",
    "scheme": "scheme",
    "signature": "scheme",
    "sigalg": "scheme",
    "extension": "extension",
    "ext": "extension",
    "message": "message",
    "handshake": "message",
    "type": "message",
    "version": "version",
    "record": "record",
}
"""What a person may call a kind of number."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``source``: where it is defined.  ``status``: what became of it, "" where nothing did.  ``also``: other names."""

    kind: Kind
    code: int
    name: str
    text: str
    source: str
    status: str = ""
    also: tuple[str, ...] = ()


_ONLY_12 = "TLS 1.2 and older only"


@cache
def entries() -> tuple[Entry, ...]:
    """The whole dictionary."""
    return tuple(_read(resources.files("minitls.cli").joinpath("dictionary.txt").read_text("utf-8")))


def _read(text: str) -> Iterator[Entry]:
    section = ""
    for line in filter(None, text.split("\n")):
        if line.startswith("["):
            section = line.strip("[]")
        elif not line.startswith("#"):
            columns = [column.strip() for column in line.split("|")]
            number, _, name = columns[0].partition(" ")
            if section == "suite, TLS 1.2":
                yield _suite_12(int(number, 0), name.removeprefix("TLS_"))
                continue
            words, source, status, also = (*columns[1:], "", "", "")[:4]
            others = tuple(filter(None, also.split(", ")))
            yield Entry(KINDS[section], int(number, 0), name, words, source, status, others)


def _suite_12(code: int, name: str) -> Entry:
    """TLS 1.2's suites name their parts; RFC 9325 and its successors say what became of each."""
    exchange, _, rest = name.partition("_WITH_")
    how, _, signer = (exchange, "", "") if exchange.endswith("PSK") else exchange.partition("_")
    cipher, _, last = rest.rpartition("_")
    if last not in ("SHA", "SHA256", "SHA384", "MD5"):
        cipher, last = rest, ""  # CCM has no hash in its name
    parts = {
        "NULL": "no key exchange at all",
        "PSK": "a secret that both sides had before",
        "ECDHE_PSK": "fresh Diffie-Hellman on an elliptic curve, with a secret that both sides had before",
        "RSA": "the client encrypts a secret with the server's RSA key",
        "DHE": f"fresh Diffie-Hellman with large numbers, signed by {signer}",
        "ECDHE": f"fresh Diffie-Hellman on an elliptic curve, signed by {signer}",
    }
    hashed = "SHA-1" if last == "SHA" else last.replace("SHA", "SHA-")
    seal = f" {hashed} {'seals it' if 'CBC' in cipher or 'RC4' in cipher or cipher == 'NULL' else 'makes the keys'}" if last else ""
    text = f"{parts[how][:1].upper()}{parts[how][1:]}; {_cipher_words(cipher)}{',' * bool(seal)}{seal}."
    return Entry("suite", code, f"TLS_{name}", text, "RFC 5246 and its extensions", _status_12(how, cipher), (_openssl_name(name),))


def _cipher_words(cipher: str) -> str:
    words = cipher.replace("_EDE", "").replace("_", "-")
    return "no encryption" if cipher == "NULL" else f"{words} for the data"


def _status_12(how: str, cipher: str) -> str:
    verdicts = (
        (cipher == "NULL", "must not be used: it does not encrypt"),
        ("RC4" in cipher, "must not be used: RFC 7465"),
        (cipher == "DES_CBC", "must not be used: RFC 9325"),
        (how == "RSA", "must not be used: RFC 10015, no forward secrecy"),
        (how == "DHE", "must not be used: RFC 10015"),
        (how == "PSK", "no forward secrecy"),
        ("CBC" in cipher, "not recommended: RFC 9325"),
        (cipher.endswith("CCM_8"), "not for general use"),
        (cipher.endswith("GCM"), "recommended there: RFC 9325"),
    )
    return next((f"{_ONLY_12}; {verdict}" for true, verdict in verdicts if true), _ONLY_12)


def _openssl_name(name: str) -> str:
    """OpenSSL's own way to write it: ECDHE-RSA-AES128-GCM-SHA256."""
    short = name.removeprefix("RSA_WITH_").replace("_WITH", "").replace("3DES_EDE_CBC", "DES_CBC3").replace("RC4_128", "RC4")
    short = re.sub(r"AES_(128|256)", r"AES\1", short).replace("_CBC", "" if "AES" in name else "_CBC").replace("CCM_8", "CCM8")
    return short.replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305").replace("_", "-")


def by_code(code: int, kind: Kind | None) -> list[Entry]:
    """What this number is, of all kinds or of one."""
    return [entry for entry in entries() if entry.code == code and kind in (None, entry.kind)]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def by_name(name: str, kind: Kind | None) -> list[Entry]:
    """Entries of this name, or one of its other names; failing that, those with it in their name."""
    wanted = _plain(name)
    known = [(entry, [_plain(each) for each in (entry.name, *entry.also)]) for entry in entries() if kind in (None, entry.kind)]
    exact = [entry for entry, names in known if wanted in names or f"tls{wanted}" in names]
    return exact or [entry for entry, names in known if wanted and any(wanted in each for each in names)]


def names() -> Iterator[str]:
    """Every name that is known, for guessing what was meant."""
    for entry in entries():
        yield entry.name
        yield from entry.also
