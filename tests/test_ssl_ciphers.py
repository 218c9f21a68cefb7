"""Cipher strings: our suites against the standard library's, string by string; and what is said of a suite."""

from __future__ import annotations

import ssl
import subprocess
import tempfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitls.certificates.authority import Authority
from minitls.crypto.suites import SUITES
from minitls.crypto.suites12 import SUITES_12
from minitls.errors import Misuse
from minitls.ssl.ciphers import DEFAULT, DEFAULT_13, cipher_tuple, code_of, describe, openssl_name, parse
from minitls.wire.numbers import CipherSuite as S

ONLY_OURS = {S.TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256, S.TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384}
"""RFC 8442's, which OpenSSL does not have."""
REFUSAL = "SSLError('No cipher can be selected.')"
EVERYTHING = "ALL:COMPLEMENTOFALL"


def context(text: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_ciphers(text)
    return made


def standard(text: str) -> list[str] | str:
    """OpenSSL's selection, as far as we have the suites; or its refusal, which it is for us too when we have none of them."""
    try:
        names = [entry["name"] for entry in context(text).get_ciphers() if entry["protocol"] != "TLSv1.3"]
    except ssl.SSLError as error:
        return repr(error)
    return [name for name in names if name in {openssl_name(code) for code in SUITES_12}] or REFUSAL


def ours(text: str) -> list[str] | str:
    try:
        return [openssl_name(code) for code in parse(text) if code not in ONLY_OURS]
    except ssl.SSLError as error:
        return repr(error)


# What applications, guides and servers' manuals say; then each word and operator.
STRINGS = """
ALL
DEFAULT
HIGH
HIGH:!aNULL
HIGH:!aNULL:!MD5
HIGH:!aNULL:!eNULL:!PSK:!SRP:!MD5:!RC4
HIGH:!DH:!aNULL
HIGH:MEDIUM:+3DES:!aNULL
ALL:!EXPORT:!LOW:!aNULL:!eNULL
ALL:!COMPLEMENTOFDEFAULT:!eNULL
ALL:COMPLEMENTOFALL
ALL:!ADH:!LOW:!EXP:!MD5:@STRENGTH
ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDH+AESGCM:DH+AESGCM:ECDH+AES:DH+AES:RSA+AESGCM:RSA+AES:!aNULL:!eNULL:!MD5:!DSS
ECDH+AESGCM:ECDH+CHACHA20:DH+AESGCM:DH+CHACHA20:ECDH+AES256:DH+AES256:ECDH+AES128:DH+AES:RSA+AESGCM:RSA+AES:!aNULL:!eNULL:!MD5:!3DES
@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM
ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305
ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384
EECDH+AESGCM:EDH+AESGCM:AES256+EECDH:AES256+EDH
EECDH+CHACHA20:EECDH+AES128:RSA+AES128:EECDH+AES256:RSA+AES256:EECDH+3DES:RSA+3DES:!MD5
kEECDH+ECDSA:kEECDH:kEDH:HIGH:+SHA:+RC4:RC4
DEFAULT:!DH
DEFAULT@SECLEVEL=1
DEFAULT:@SECLEVEL=0
ALL:@SECLEVEL=0
TLSv1.2:!aNULL:!eNULL
TLSv1.2
TLSv1
TLSv1.0
TLSv1.1
SSLv3
SSLv2
ECDHE
EECDH
kECDHE
kEECDH
ECDH
DHE
EDH
kDHE
kEDH
DH
RSA
kRSA
aRSA
ECDSA
aECDSA
PSK
kPSK
aPSK
kECDHEPSK
kDHEPSK
kRSAPSK
AES
AES128
AES256
AESGCM
AESCCM
AESCCM8
CHACHA20
CBC
SHA
SHA1
SHA256
SHA384
MD5
AEAD
LOW
MEDIUM
FIPS
aNULL
eNULL
NULL
ADH
AECDH
aDSS
DSS
EXPORT
EXP
RC4
3DES
IDEA
SEED
CAMELLIA
CAMELLIA128
ARIA
ARIAGCM
SRP
aSRP
kSRP
GOST
COMPLEMENTOFDEFAULT
COMPLEMENTOFALL
SUITEB128
SUITEB128ONLY
SUITEB128C2
SUITEB192
SUITEB128:ALL
!ALL
ALL:!ALL:AES
-ALL
ALL:-ALL
ALL:-ALL:AES128
ALL:-AES128:AES128
ALL:-SHA:-AESGCM:ALL
ALL:+ALL
ALL:+AES
ALL:+AESGCM:+SHA
+AES:ALL
ALL:+kRSA:-DHE:!SHA:DHE
ALL:!AES
AES:!AESGCM
AES:-AESGCM+ECDHE:+SHA256
ALL:@STRENGTH
@STRENGTH:ALL
ALL:+ECDHE:@STRENGTH
ALL:-AES256:@STRENGTH:AES256
AES+SHA
AES+SHA+kRSA
AES+CHACHA20
AES+AESGCM
kRSA+ECDHE
TLSv1.2+TLSv1
SSLv3+AES128
TLSv1.2+CBC
AES128-SHA
AES128-SHA:AES256-SHA:AES128-SHA
AES128-SHA+AES256-SHA
AES128-SHA+AES
AES128-SHA+SSLv3
AES128-SHA+TLSv1.2
!AES128-SHA:AES+kRSA
ALL:-AES128-SHA
ALL:+ECDHE-RSA-AES256-SHA
aes128-sha
aes
nonsense
nonsense:AES128-SHA
AES128-SHA:nonsense
nonsense+AES:CHACHA20
AES+nonsense:CHACHA20
!nonsense:AES
-nonsense:AES
+nonsense:AES
TLS_AES_128_GCM_SHA256
TLS_AES_128_GCM_SHA256:AES128-SHA
DEFAULT:+AES128
DEFAULTAES
DEFAULT:DEFAULT
ALL:DEFAULT
ALL:!DEFAULT
!DEFAULT:AES
AES!SHA
AES-SHA
AES@STRENGTH
AES,SHA
AES;SHA
AES SHA
 AES : , ; SHA256:
:::AES
AES::
nonsense$:AES
nonsense!AES
nonsense+$:AES
AES$
$
AES:$:SHA
AES+
AES++SHA
AES+:SHA
++AES
!
!!AES
!:AES
-
@
@:AES
AES:@
@STRENGTHEN:AES
@STRENGTH+AES:SHA
@STRENGTH!AES
@AES:AES
@SECLEVEL=5:AES
@SECLEVEL=6:AES
@SECLEVEL=22:AES
@SECLEVEL=:AES
@SECLEVEL=x:AES
@seclevel=1:AES
AES\tSHA
AES\xa0
ÄES
"""


@pytest.mark.parametrize("text", ["", *(line.replace("\\t", "\t").replace("\\xa0", "\xa0") for line in STRINGS.split("\n")[1:-1])])
def test_the_order_is_openssls(text: str) -> None:
    assert ours(text) == standard(text)


WORDS = [
    *("ALL", "HIGH", "FIPS", "COMPLEMENTOFDEFAULT", "TLSv1.2", "TLSv1.0", "TLSv1", "SSLv3", "nonsense"),
    *("AES", "AES128", "AES256", "AESGCM", "AESCCM", "AESCCM8", "CHACHA20", "CBC", "SHA", "SHA256", "SHA384"),
    *("ECDHE", "ECDH", "DHE", "DH", "kRSA", "RSA", "aRSA", "ECDSA", "PSK", "kPSK", "aPSK"),
    *("ECDHE-RSA-AES128-SHA", "AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305", "PSK-AES128-CBC-SHA"),
]
_conjunctions = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map("+".join)
_rules = st.one_of(
    st.just("@STRENGTH"),
    st.just("@SECLEVEL=1"),
    st.tuples(st.sampled_from(["", "", "", "+", "-", "!"]), _conjunctions).map("".join),
)
_strings = st.lists(_rules, max_size=8).flatmap(lambda rules: st.sampled_from([":", ",", " ", ";"]).map(lambda by: by.join(rules)))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["", "DEFAULT:", "ALL:"]), _strings)
def test_any_string(start: str, text: str) -> None:
    assert ours(start + text) == standard(start + text)


def test_what_only_we_have_is_chosen_too() -> None:
    """By its family, and in its place: RFC 8442's two suites, which OpenSSL does not know."""
    chosen = parse("kECDHEPSK+AESGCM")
    assert set(chosen) == ONLY_OURS
    assert list(chosen) == [code for code in parse("ALL") if code in ONLY_OURS]


def test_ianas_names_are_names_too() -> None:
    """OpenSSL 3.0 does not know them in a cipher string, later ones do."""
    assert parse("TLS_RSA_WITH_AES_128_CBC_SHA:!AES256") == (S.TLS_RSA_WITH_AES_128_CBC_SHA,)
    assert parse("ALL:!TLS_RSA_WITH_AES_128_CBC_SHA") == parse("ALL:!AES128-SHA")


def test_every_suite_of_ours_can_be_chosen() -> None:
    assert set(parse("ALL")) == SUITES_12.keys()
    for code in SUITES_12:
        assert parse(openssl_name(code)) == (code,)


def test_the_default_is_the_standard_librarys() -> None:
    entries = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).get_ciphers()
    assert [openssl_name(code) for code in DEFAULT_13 + DEFAULT] == [entry["name"] for entry in entries]
    assert [describe(code) for code in DEFAULT_13 + DEFAULT] == entries


def test_descriptions() -> None:
    entries = {entry["name"]: entry for entry in context(EVERYTHING).get_ciphers()}
    for code in SUITES_12.keys() - ONLY_OURS:
        assert describe(code) == entries[openssl_name(code)]
    assert describe(S.TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256) == {
        "id": 0x0300D001,
        "name": "ECDHE-PSK-AES128-GCM-SHA256",
        "protocol": "TLSv1.2",
        "description": "ECDHE-PSK-AES128-GCM-SHA256    TLSv1.2 Kx=ECDHEPSK Au=PSK   Enc=AESGCM(128)            Mac=AEAD",
        "strength_bits": 128,
        "alg_bits": 128,
        "aead": True,
        "symmetric": "aes-128-gcm",
        "digest": None,
        "kea": "kx-ecdhe-psk",
        "auth": "auth-psk",
    }


def test_descriptions_of_what_no_context_offers() -> None:
    """TLS 1.3's CCM suites: the standard library has no setting for them, OpenSSL's command has."""
    suites = [S.TLS_AES_128_CCM_SHA256, S.TLS_AES_128_CCM_8_SHA256]
    command = ["openssl", "ciphers", "-s", "-v", "-tls1_3", "-ciphersuites", ":".join(map(openssl_name, suites))]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert [describe(code)["description"] for code in suites] == said.splitlines()
    assert set(SUITES) == {*suites, *DEFAULT_13}


@pytest.mark.parametrize("code", [*SUITES, *SUITES_12], ids=lambda code: S(code).name)
def test_names(code: int) -> None:
    assert code_of(openssl_name(code)) == code_of(S(code).name) == code
    name, protocol, bits = cipher_tuple(code)
    assert cipher_tuple(name) == cipher_tuple(S(code).name) == (name, protocol, bits)
    assert (name, protocol, bits) == (openssl_name(code), describe(code)["protocol"], describe(code)["strength_bits"])


def test_unknown_names() -> None:
    with pytest.raises(Misuse, match="no cipher suite of ours"):
        code_of("RC4-MD5")
    for call in openssl_name, describe, cipher_tuple:
        with pytest.raises(KeyError):
            call(0x0004)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ECDHE-RSA-AES128-SHA", "rsa2048"),
        ("AES128-GCM-SHA256", "rsa2048"),
        ("ECDHE-ECDSA-AES128-CCM8", "p256"),
    ],
)
def test_cipher_after_a_handshake(text: str, kind: str) -> None:
    """Two of the standard library's agree on it, and say what we would."""
    issued = Authority.create().issue("host.example", key=kind)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = context(text)
    server.set_ciphers(text)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.maximum_version = ssl.TLSVersion.TLSv1_2

    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(issued.chain_pem() + issued.key_pem())
        file.flush()
        server.load_cert_chain(file.name)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for _ in range(4):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    for end in ends:
        assert end.cipher() == cipher_tuple(text)
