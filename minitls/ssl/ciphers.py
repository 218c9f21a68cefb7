"""OpenSSL's language for cipher suites, and its names for them (``openssl-ciphers(1)``).

A cipher string is a little program that runs over the list of all suites, each of them in or out:

1. The list begins in OpenSSL's own order of preference, with every suite out.
2. A rule names suites, by a suite's name or by what they have in common ("AESGCM"); with ``+`` between such words, those that are
   all of it.  What nobody knows names none, and is passed over: a string outlives the suites that it was written for.
3. Without an operator, those named that are out come in, at the end.  ``+``: those that are in move to the end.  ``-``: they go
   out, to the front, to be first when they come back.  ``!``: they leave the list.  All keep their order among themselves.
4. ``@STRENGTH`` sorts by key length; ``@SECLEVEL=n`` says how weak keys may be, which is no matter of suites.

The rules move suites one by one, so that a list of only our suites ends in the order that theirs would have.  TLS 1.3's suites are
not of this language: OpenSSL has another setting for them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from minitls.crypto.openssl import OPENSSL_NAMES, openssl_name, protection, protocol_of
from minitls.crypto.openssl import cipher_tuple as cipher_tuple
from minitls.crypto.openssl import code_of as code_of
from minitls.crypto.suites12 import SUITES_12
from minitls.wire.numbers import CipherSuite as S

DEFAULT_13: tuple[int, ...] = (S.TLS_AES_256_GCM_SHA384, S.TLS_CHACHA20_POLY1305_SHA256, S.TLS_AES_128_GCM_SHA256)
"""TLS 1.3's suites of a context of the standard library; no cipher string changes them."""
_PYTHONS_DEFAULT = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
_OPENSSLS_DEFAULT = "ALL:!COMPLEMENTOFDEFAULT:!eNULL"
_SUITE_B: Mapping[str, str] = {
    "SUITEB128ONLY": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "SUITEB128C2": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "SUITEB128": "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
    "SUITEB192": "ECDHE-ECDSA-AES256-GCM-SHA384",
}
_KX: Mapping[str, tuple[str, str, str]] = {
    "ECDHE": ("ECDH", "kx-ecdhe", "ECDH EECDH ECDHE kEECDH kECDHE"),
    "DHE": ("DH", "kx-dhe", "DH EDH DHE kEDH kDHE"),
    "RSA": ("RSA", "kx-rsa", "RSA kRSA"),
    "PSK": ("PSK", "kx-psk", "PSK kPSK"),
    "ECDHE_PSK": ("ECDHEPSK", "kx-ecdhe-psk", "PSK kECDHEPSK"),
    "": ("any", "kx-any", ""),
}
"""A key exchange in a description, in get_ciphers(), and in cipher strings."""
_AU: Mapping[str, tuple[str, str, str]] = {
    "ECDSA": ("ECDSA", "auth-ecdsa", "ECDSA aECDSA"),
    "RSA": ("RSA", "auth-rsa", "aRSA"),
    "PSK": ("PSK", "auth-psk", "aPSK"),
    "": ("any", "auth-any", ""),
}


def describe(code: int) -> dict[str, Any]:
    """An entry of ``SSLContext.get_ciphers()``.  KeyError for a code that is no suite of ours."""
    encryption, bits, hashed = protection(code)
    suite, protocol = SUITES_12.get(code), protocol_of(code)
    kx, kea, _ = _KX[suite.key_exchange if suite else ""]
    au, auth, _ = _AU[suite.authentication if suite else ""]
    name = openssl_name(code)
    shown, version = f"{encryption}({bits})", "TLSv1" if protocol == "TLSv1.0" else protocol
    symmetric = f"aes-{bits}-{encryption[3:6].lower() or 'cbc'}" if encryption.startswith("AES") else "chacha20-poly1305"
    return {
        "id": 0x03000000 | code,
        "name": name,
        "protocol": protocol,
        "description": f"{name:30} {version:7} Kx={kx:8} Au={au:5} Enc={shown:22} Mac={hashed:4}",
        "strength_bits": bits,
        "alg_bits": bits,
        "aead": hashed == "AEAD",
        "symmetric": symmetric,
        "digest": None if hashed == "AEAD" else hashed.lower(),
        "kea": kea,
        "auth": auth,
    }


@cache
def _named() -> dict[str, frozenset[int]]:
    """What every word of the language stands for, as far as it is a suite of ours."""
    words: dict[str, set[int]] = {}
    for code, suite in SUITES_12.items():
        encryption, bits, hashed = protection(code)
        protocol = protocol_of(code)
        known = [suite.name, OPENSSL_NAMES[code], "ALL", "HIGH", protocol]
        known += _KX[suite.key_exchange][2].split() + _AU[suite.authentication][2].split()
        known += ["AES", f"AES{bits}"] if encryption.startswith("AES") else ["CHACHA20"]
        if encryption.startswith("AESCCM"):
            known += [encryption, "AESCCM", "COMPLEMENTOFDEFAULT"]
        elif encryption.startswith("AES"):
            known += ["FIPS"] + ["AESGCM"] * (not suite.is_cbc)
        known += [hashed, "CBC"] * suite.is_cbc + ["SHA"] * (hashed == "SHA1") + ["TLSv1"] * (protocol == "TLSv1.0")
        for word in known:
            words.setdefault(word, set()).add(code)
    return {word: frozenset(codes) for word, codes in words.items()}


_SEPARATORS = re.compile(r"[ :;,]*")
_OTHERS = re.compile(r"[^ :;,]*")
_RULE = re.compile(r"([-+!]?)((?:[\w.=-]+\+)*[\w.=-]+)", re.ASCII)
_COMMAND = re.compile(r"@(?:STRENGTH|SECLEVEL=[0-5])(?![\w.=-])[^ :;,]*", re.ASCII)


@lru_cache(64)
def parse(text: str) -> tuple[int, ...]:
    """The suites of TLS 1.2 that a cipher string selects, in its order.

    Raises ssl.SSLError when none remains, and for what is no cipher string, as the standard library does.
    """
    text = next((suites for name, suites in _SUITE_B.items() if text.startswith(name)), text)
    order, chosen = list(OPENSSL_NAMES), set[int]()
    if text.startswith("DEFAULT"):
        order, chosen = _run(_OPENSSLS_DEFAULT, order, chosen)
        text = text.removeprefix("DEFAULT")
    order, chosen = _run(text, order, chosen)
    if not chosen:
        raise _nothing()
    return tuple(code for code in order if code in chosen)


def _nothing() -> ssl.SSLError:
    """As the standard library has it."""
    return ssl.SSLError("No cipher can be selected.")


def _run(text: str, order: list[int], chosen: set[int]) -> tuple[list[int], set[int]]:
    """The rules of ``text``, on a list and who of it is in."""
    at = 0
    while (at := _past(_SEPARATORS, text, at)) < len(text):
        if command := _COMMAND.match(text, at):
            if command[0].startswith("@STRENGTH"):
                strongest = sorted((code for code in order if code in chosen), key=lambda code: -protection(code)[1])
                order = [code for code in order if code not in chosen] + strongest
            at = command.end()
        elif rule := _RULE.match(text, at):
            at = rule.end()
            words = rule[2].split("+")
            if not _named().keys() >= set(words):
                at = _past(_OTHERS, text, at)
            else:
                named = frozenset.intersection(*(_named()[word] for word in words))
                order, chosen = _apply(rule[1], named, order, chosen)
        else:
            raise _nothing()
    return order, chosen


def _past(what: re.Pattern[str], text: str, at: int) -> int:
    """Where ``what``, which may be nothing, ends."""
    found = what.match(text, at)
    return found.end() if found else at


def _apply(operator: str, named: frozenset[int], order: list[int], chosen: set[int]) -> tuple[list[int], set[int]]:
    if operator == "!":
        return [code for code in order if code not in named], chosen - named
    moved = [code for code in order if code in named and (code in chosen) == (operator != "")]
    rest = [code for code in order if code not in moved]
    if operator == "-":
        return moved + rest, chosen - named
    return rest + moved, chosen.union(moved)


DEFAULT: tuple[int, ...] = parse(_PYTHONS_DEFAULT)
"""What a context of the standard library begins with, of TLS 1.2's."""
