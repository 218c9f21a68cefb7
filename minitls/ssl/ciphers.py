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

from minitls.crypto.aead import CHACHA20_POLY1305
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import CBC, SUITES_12
from minitls.errors import Misuse
from minitls.wire.numbers import CipherSuite as S

_OPENSSL: Mapping[int, str] = {
    S.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
    S.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
    S.TLS_DHE_RSA_WITH_AES_256_GCM_SHA384: "DHE-RSA-AES256-GCM-SHA384",
    S.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
    S.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
    S.TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "DHE-RSA-CHACHA20-POLY1305",
    S.TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8: "ECDHE-ECDSA-AES256-CCM8",
    S.TLS_ECDHE_ECDSA_WITH_AES_256_CCM: "ECDHE-ECDSA-AES256-CCM",
    S.TLS_DHE_RSA_WITH_AES_256_CCM: "DHE-RSA-AES256-CCM",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
    S.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
    S.TLS_DHE_RSA_WITH_AES_128_GCM_SHA256: "DHE-RSA-AES128-GCM-SHA256",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8: "ECDHE-ECDSA-AES128-CCM8",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_CCM: "ECDHE-ECDSA-AES128-CCM",
    S.TLS_DHE_RSA_WITH_AES_128_CCM: "DHE-RSA-AES128-CCM",
    S.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384: "ECDHE-ECDSA-AES256-SHA384",
    S.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384: "ECDHE-RSA-AES256-SHA384",
    S.TLS_DHE_RSA_WITH_AES_256_CBC_SHA256: "DHE-RSA-AES256-SHA256",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: "ECDHE-ECDSA-AES128-SHA256",
    S.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: "ECDHE-RSA-AES128-SHA256",
    S.TLS_DHE_RSA_WITH_AES_128_CBC_SHA256: "DHE-RSA-AES128-SHA256",
    S.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
    S.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
    S.TLS_DHE_RSA_WITH_AES_256_CBC_SHA: "DHE-RSA-AES256-SHA",
    S.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
    S.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
    S.TLS_DHE_RSA_WITH_AES_128_CBC_SHA: "DHE-RSA-AES128-SHA",
    S.TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384: "ECDHE-PSK-AES256-GCM-SHA384",  # OpenSSL has neither of RFC 8442's two
    S.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-PSK-CHACHA20-POLY1305",
    S.TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
    S.TLS_RSA_WITH_AES_256_CCM: "AES256-CCM",
    S.TLS_PSK_WITH_AES_256_GCM_SHA384: "PSK-AES256-GCM-SHA384",
    S.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256: "PSK-CHACHA20-POLY1305",
    S.TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256: "ECDHE-PSK-AES128-GCM-SHA256",
    S.TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
    S.TLS_RSA_WITH_AES_128_CCM: "AES128-CCM",
    S.TLS_PSK_WITH_AES_128_GCM_SHA256: "PSK-AES128-GCM-SHA256",
    S.TLS_RSA_WITH_AES_256_CBC_SHA256: "AES256-SHA256",
    S.TLS_RSA_WITH_AES_128_CBC_SHA256: "AES128-SHA256",
    S.TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA: "ECDHE-PSK-AES256-CBC-SHA",
    S.TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
    S.TLS_PSK_WITH_AES_256_CBC_SHA: "PSK-AES256-CBC-SHA",
    S.TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256: "ECDHE-PSK-AES128-CBC-SHA256",
    S.TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA: "ECDHE-PSK-AES128-CBC-SHA",
    S.TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
    S.TLS_PSK_WITH_AES_128_CBC_SHA256: "PSK-AES128-CBC-SHA256",
    S.TLS_PSK_WITH_AES_128_CBC_SHA: "PSK-AES128-CBC-SHA",
}
"""OpenSSL's names of TLS 1.2's suites, in its order of preference."""


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
    encryption, bits, mac = _protection(code)
    suite, protocol = SUITES_12.get(code), _protocol(code)
    kx, kea, _ = _KX[suite.key_exchange if suite else ""]
    au, auth, _ = _AU[suite.authentication if suite else ""]
    name = openssl_name(code)
    shown, version = f"{encryption}({bits})", "TLSv1" if protocol == "TLSv1.0" else protocol
    symmetric = f"aes-{bits}-{encryption[3:6].lower() or 'cbc'}" if encryption.startswith("AES") else "chacha20-poly1305"
    return {
        "id": 0x03000000 | code,
        "name": name,
        "protocol": protocol,
        "description": f"{name:30} {version:7} Kx={kx:8} Au={au:5} Enc={shown:22} Mac={mac:4}",
        "strength_bits": bits,
        "alg_bits": bits,
        "aead": mac == "AEAD",
        "symmetric": symmetric,
        "digest": None if mac == "AEAD" else mac.lower(),
        "kea": kea,
        "auth": auth,
    }


def cipher_tuple(suite: int | str) -> tuple[str, str, int]:
    """What ``cipher()`` says of a suite, by its code or name: OpenSSL's name, the protocol that brought it, and its bits."""
    code = code_of(suite) if isinstance(suite, str) else suite
    return openssl_name(code), _protocol(code), _protection(code)[1]


def openssl_name(code: int) -> str:
    """KeyError for a code that is no suite of ours."""
    return _OPENSSL[code] if code in SUITES_12 else SUITES[code].name


def code_of(name: str) -> int:
    """The suite with this name, OpenSSL's or IANA's.  Raises Misuse."""
    if (code := _codes().get(name)) is None:
        raise Misuse(f"{name!r} is no cipher suite of ours", reason="unknown_cipher_suite")
    return code


@cache
def _codes() -> dict[str, int]:
    return {S(code).name: code for code in (*SUITES, *SUITES_12)} | {name: code for code, name in _OPENSSL.items()}


def _protection(code: int) -> tuple[str, int, str]:
    """The cipher as OpenSSL writes it, the bits of its key, and its MAC."""
    cipher = SUITES_12[code].cipher if code in SUITES_12 else SUITES[code].aead
    bits = 8 * cipher.key_length
    if isinstance(cipher, CBC):
        return "AES", bits, {"sha1": "SHA1", "sha256": "SHA256", "sha384": "SHA384"}[cipher.mac]
    if cipher is CHACHA20_POLY1305:
        return "CHACHA20/POLY1305", bits, "AEAD"
    return "AESGCM" if "GCM" in cipher.name else "AESCCM8" if cipher.tag_length == 8 else "AESCCM", bits, "AEAD"


def _protocol(code: int) -> str:
    """The oldest version that OpenSSL has this suite for."""
    suite = SUITES_12.get(code)
    if suite is None:
        return "TLSv1.3"
    mac = _protection(code)[2]
    if mac == "SHA1":
        return "TLSv1.0" if suite.key_exchange.startswith("ECDHE") else "SSLv3"
    return "TLSv1.0" if suite.is_cbc and suite.authentication == "PSK" else "TLSv1.2"


@cache
def _named() -> dict[str, frozenset[int]]:
    """What every word of the language stands for, as far as it is a suite of ours."""
    words: dict[str, set[int]] = {}
    for code, suite in SUITES_12.items():
        encryption, bits, mac = _protection(code)
        protocol = _protocol(code)
        known = [suite.name, _OPENSSL[code], "ALL", "HIGH", protocol]
        known += _KX[suite.key_exchange][2].split() + _AU[suite.authentication][2].split()
        known += ["AES", f"AES{bits}"] if encryption.startswith("AES") else ["CHACHA20"]
        if encryption.startswith("AESCCM"):
            known += [encryption, "AESCCM", "COMPLEMENTOFDEFAULT"]
        elif encryption.startswith("AES"):
            known += ["FIPS"] + ["AESGCM"] * (not suite.is_cbc)
        known += [mac, "CBC"] * suite.is_cbc + ["SHA"] * (mac == "SHA1") + ["TLSv1"] * (protocol == "TLSv1.0")
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
    order, chosen = list(_OPENSSL), set[int]()
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
                strongest = sorted((code for code in order if code in chosen), key=lambda code: -_protection(code)[1])
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
