"""What is wrong with a chain: a chain for each fault, and none hides another."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from minitls.certificates.authority import self_signed
from minitls.certificates.trust import TrustStore
from minitls.scan.chains import judge
from minitls.scan.facts import Chain
from tests.chains import HOST, ca, leaf, usage
from tests.conftest import NAME, NOW, Pki

DAY = datetime.timedelta(days=1)


def judged(certificates: tuple[x509.Certificate, ...], trust: TrustStore, name: str = NAME, staple: bytes | None = None) -> Chain:
    chain = Chain(tuple(each.public_bytes(Encoding.DER) for each in certificates), with_name=True, ocsp_response=staple)
    judge(chain, name, trust)
    return chain


def faults(chain: Chain) -> list[str]:
    assert all(fault.text for fault in chain.faults)
    return [fault.id for fault in chain.faults]


def test_a_good_chain(pki: Pki) -> None:
    chain = judged(pki.issue(NAME).chain, pki.trust)
    assert (faults(chain), chain.verified, chain.key, chain.staple) == ([], True, "EC secp256r1", None)
    assert chain.days_left is not None
    assert chain.days_left > 300


def test_an_expired_one_of_another_name_by_nobody_that_we_trust(pki: Pki) -> None:
    issued = pki.strangers.issue("other.example", valid_from=NOW - DAY / 2, valid_until=NOW - DAY / 24)
    chain = judged(issued.chain, pki.trust)
    assert faults(chain) == ["expired", "name_mismatch", "unknown_ca"]
    assert not chain.verified
    assert chain.days_left is not None
    assert chain.days_left < 0


def test_one_that_is_not_valid_yet(pki: Pki) -> None:
    issued = pki.authority.issue(NAME, valid_from=NOW + DAY, valid_until=NOW + 9 * DAY)
    assert faults(judged(issued.chain, pki.trust)) == ["not_yet_valid"]


def test_a_self_signed_one(pki: Pki) -> None:
    issued = self_signed(NAME)
    assert faults(judged(issued.chain, pki.trust)) == ["self_signed"]
    assert faults(judged(issued.chain, TrustStore.from_certificates(issued.chain))) == []


def test_a_missing_intermediate(pki: Pki) -> None:
    chain = judged(pki.issue(NAME).chain[:1], pki.trust)
    assert faults(chain) == ["unknown_ca"]
    assert "intermediate" in chain.faults[0].remedy


def test_a_superfluous_root(pki: Pki) -> None:
    chain = judged((*pki.issue(NAME).chain, pki.authority.root), pki.trust)
    assert (faults(chain), chain.verified) == (["superfluous_root"], True)


def test_a_wrong_order_and_a_double(pki: Pki) -> None:
    leaf, middle = pki.issue(NAME).chain
    assert "wrong_order" in faults(judged((leaf, pki.authority.root, middle), pki.trust))
    assert "wrong_order" in faults(judged((leaf, middle, middle), pki.trust))


def test_a_stranger_in_the_chain(pki: Pki) -> None:
    leaf, middle = pki.issue(NAME).chain
    chain = judged((leaf, pki.strangers.chain[0], middle), pki.trust)
    assert (faults(chain), chain.verified) == (["stranger_in_chain"], True)


def made(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made by hand")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7).public_key(key.public_key())
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + 90 * DAY)
    return builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False).sign(key, hashes.SHA256())


def test_a_weak_key_and_a_weak_signature(pki: Pki) -> None:
    assert "weak_key" in faults(judged((made(rsa.generate_private_key(65537, 1024)),), pki.trust))
    der = made(rsa.generate_private_key(65537, 2048)).public_bytes(Encoding.DER)
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")  # with RSA
    assert der.count(sha256) == 2
    weak = x509.load_der_x509_certificate(der.replace(sha256, sha1))
    found = judged((weak,), pki.trust)
    assert "weak_signature" in faults(found)
    assert not found.verified


def test_one_that_is_for_something_else() -> None:
    """Its key may decipher, which static RSA alone makes use of."""
    root = ca("root")
    made = leaf(root, key_usage=usage("key_encipherment"))
    found = judged((made.certificate,), TrustStore.from_certificates([root.certificate]), HOST)
    assert faults(found) == ["bad_usage"]
    assert not found.verified


def test_stapling(pki: Pki) -> None:
    issued = pki.authority.issue(NAME, must_staple=True)
    missing = judged(issued.chain, pki.trust, staple=b"")
    assert (faults(missing), missing.must_staple, missing.staple) == (["staple_missing"], True, "none")
    good = judged(issued.chain, pki.trust, staple=pki.authority.ocsp_response(issued))
    assert (faults(good), good.staple, good.verified) == ([], "good", True)
    revoked = judged(issued.chain, pki.trust, staple=pki.authority.ocsp_response(issued, "revoked"))
    assert (faults(revoked), revoked.staple) == (["bad_staple"], "bad")
    plain = judged(pki.issue(NAME).chain, pki.trust, staple=b"")
    assert (faults(plain), plain.must_staple, plain.staple) == ([], False, "none")


def test_what_is_no_certificate(pki: Pki) -> None:
    chain = Chain((b"not a certificate",), with_name=True)
    judge(chain, NAME, pki.trust)
    assert (faults(chain), chain.verified) == (["malformed"], False)


def test_a_name_that_no_certificate_can_have(pki: Pki) -> None:
    assert faults(judged(pki.issue(NAME).chain, pki.trust, name="not a name")) == []


def test_an_address(pki: Pki) -> None:
    issued = pki.issue(NAME, "127.0.0.1", "::1")
    assert faults(judged(issued.chain, pki.trust, name="127.0.0.1")) == []
    assert faults(judged(issued.chain, pki.trust, name="192.0.2.1")) == ["name_mismatch"]
