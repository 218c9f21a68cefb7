"""Groups: both sides agree, and every malformed share of a peer is illegal_parameter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from hypothesis import given, settings
from hypothesis import strategies as st

from minitls.crypto.groups import GROUPS, SECP256R1, X25519, FiniteField, Group, Hybrid, MlKem, Weierstrass, _field
from minitls.errors import Alert, PeerMisbehaved
from minitls.wire.numbers import NamedGroup

ALL = pytest.mark.parametrize("group", GROUPS.values(), ids=lambda group: group.name)
HYBRIDS = [group for group in GROUPS.values() if isinstance(group, Hybrid)]
KEMS = [group for group in GROUPS.values() if isinstance(group, MlKem)]
CURVES = [group for group in GROUPS.values() if isinstance(group, Weierstrass)]
FIELDS = [group for group in GROUPS.values() if isinstance(group, FiniteField)]

# client's share, server's answer, secret; in octets
LENGTHS = {
    NamedGroup.x25519: (32, 32, 32),
    NamedGroup.x448: (56, 56, 56),
    NamedGroup.secp256r1: (65, 65, 32),
    NamedGroup.secp384r1: (97, 97, 48),
    NamedGroup.secp521r1: (133, 133, 66),
    NamedGroup.ffdhe2048: (256, 256, 256),
    NamedGroup.ffdhe3072: (384, 384, 384),
    NamedGroup.ffdhe4096: (512, 512, 512),
    NamedGroup.MLKEM768: (1184, 1088, 32),
    NamedGroup.MLKEM1024: (1568, 1568, 32),
    NamedGroup.X25519MLKEM768: (1184 + 32, 1088 + 32, 64),
    NamedGroup.SecP256r1MLKEM768: (65 + 1184, 65 + 1088, 64),
    NamedGroup.SecP384r1MLKEM1024: (97 + 1568, 97 + 1568, 80),
}

# Points of order 1, 2, 4 and 8 on Curve25519 and its twist, little-endian: 0, 1, two of order 8, p - 1, p, p + 1
# (https://cr.yp.to/ecdh.html#validate); and the same with the top bit set, which RFC 7748 section 5 has us ignore.
_LOW_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)
LOW_ORDER_X25519 = [point[:-1] + bytes((point[-1] | top,)) for point in map(bytes.fromhex, _LOW_ORDER) for top in (0, 0x80)]


def refuses(call: Callable[[bytes], object], octets: bytes, rule: str, match: str = "") -> None:
    with pytest.raises(PeerMisbehaved, match=match) as caught:
        call(octets)
    error = caught.value
    assert (error.alert, error.reason, error.rule) == (Alert.illegal_parameter, "bad_key_share", rule)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None  # no stray traceback of a primitive


def both_refuse(group: Group, octets: bytes, rule: str) -> None:
    """As the client's share, and as the server's answer."""
    refuses(group.encapsulate, octets, rule, group.name)
    refuses(group.generate().exchange, octets, rule, group.name)


def test_table() -> None:
    assert list(GROUPS) == [group.code for group in GROUPS.values()]
    assert set(GROUPS) == set(NamedGroup)
    assert next(iter(GROUPS)) == NamedGroup.X25519MLKEM768
    assert {group.code for group in GROUPS.values() if group.post_quantum} == {group.code for group in [*HYBRIDS, *KEMS]}


@ALL
def test_both_sides_agree(group: Group) -> None:
    share = group.generate()
    answer, secret = group.encapsulate(share.public)
    assert share.exchange(answer) == secret
    assert (len(share.public), len(answer), len(secret)) == LENGTHS[group.code]
    assert (group.share_length, group.answer_length) == LENGTHS[group.code][:2]
    assert share.group is group
    assert group.encapsulate(share.public)[1] != secret
    assert group.generate().public != share.public


@ALL
def test_classical_half(group: Group) -> None:
    """A hybrid's classical half is a share of its own, that a server may choose instead."""
    share = group.generate()
    if not isinstance(group, Hybrid):
        assert share.classical is None
        return
    half = share.classical
    assert half is not None
    assert half.group is group.classical
    assert share.public.endswith(half.public) if group.kem_first else share.public.startswith(half.public)
    answer, secret = half.group.encapsulate(half.public)
    assert half.exchange(answer) == secret


@ALL
@pytest.mark.parametrize("cut", [lambda octets: octets[:-1], lambda octets: octets + b"\x00", lambda octets: b""])
def test_wrong_length(group: Group, cut: Callable[[bytes], bytes]) -> None:
    share = group.generate()
    answer, _ = group.encapsulate(share.public)
    rules = {FiniteField: ("RFC 8446 4.2.8.1",) * 2, MlKem: ("RFC 8446 4.2.8",) * 2, Hybrid: ("RFC 10024 4.1", "RFC 10024 4.2")}
    of_share, of_answer = rules.get(type(group), ("RFC 8446 4.2.8.2",) * 2)
    refuses(group.encapsulate, cut(share.public), of_share, "octets instead of")
    refuses(share.exchange, cut(answer), of_answer, "octets instead of")


@pytest.mark.parametrize("group", CURVES, ids=lambda group: group.name)
def test_point_forms(group: Weierstrass) -> None:
    """Only 0x04 with both coordinates, though cryptography's loader takes other forms."""
    good = group.generate().public
    half = group.coordinate_length
    for compressed in b"\x02" + good[1 : 1 + half], b"\x03" + good[1 : 1 + half], b"\x00":
        both_refuse(group, compressed, "RFC 8446 4.2.8.2")
    for form in 0, 1, 2, 3, 5, 6, 7, 255:
        both_refuse(group, bytes((form,)) + good[1:], "RFC 8446 4.2.8.2")


@pytest.mark.parametrize("group", CURVES, ids=lambda group: group.name)
def test_points_off_the_curve(group: Weierstrass) -> None:
    good = group.generate().public
    length = group.coordinate_length
    for point in (
        good[:-1] + bytes((good[-1] ^ 1,)),
        b"\x04" + bytes(2 * length),  # how some write infinity
        b"\x04" + b"\xff" * 2 * length,  # coordinates beyond p
        b"\x04" + good[1 + length :] + good[1 : 1 + length],
    ):
        both_refuse(group, point, "RFC 8446 4.2.8.2")


@pytest.mark.parametrize("point", LOW_ORDER_X25519, ids=bytes.hex)
def test_low_order_x25519(point: bytes) -> None:
    both_refuse(X25519, point, "RFC 8446 7.4.2")
    hybrid = GROUPS[NamedGroup.X25519MLKEM768]
    share = hybrid.generate()
    answer, _ = hybrid.encapsulate(share.public)
    refuses(hybrid.encapsulate, share.public[:-32] + point, "RFC 8446 7.4.2", "x25519")
    refuses(share.exchange, answer[:-32] + point, "RFC 8446 7.4.2", "x25519")


@pytest.mark.parametrize("group", [group for group in HYBRIDS if not group.kem_first], ids=lambda group: group.name)
def test_bad_classical_half(group: Hybrid) -> None:
    share = group.generate()
    answer, _ = group.encapsulate(share.public)
    for at in 0, 1:  # the form, the point
        for call, octets in ((group.encapsulate, share.public), (share.exchange, answer)):
            changed = bytearray(octets)
            changed[at] ^= 1
            refuses(call, bytes(changed), "RFC 8446 4.2.8.2", group.classical.name)


@pytest.mark.parametrize("group", [*HYBRIDS, *KEMS], ids=lambda group: group.name)
@pytest.mark.parametrize("value", [3329, 3330, 4095])
def test_unreduced_mlkem_key(group: Hybrid | MlKem, value: int) -> None:
    """The modulus check of FIPS 203 section 7.2: no coefficient of 12 bits, first or last, is q = 3329 or more."""
    share = group.generate().public
    start = group.classical.share_length if isinstance(group, Hybrid) and not group.kem_first else 0
    rule = "RFC 10024 4.2" if isinstance(group, Hybrid) else "RFC 8446 4.2.8"
    last = start + group.kem.share_length - 32 - 3  # before the seed; two coefficients take three octets, little-endian
    for at, shift in (start, 0), (start, 12), (last, 12):
        pair = int.from_bytes(share[at : at + 3], "little") & ~(4095 << shift) | value << shift
        bad = share[:at] + pair.to_bytes(3, "little") + share[at + 3 :]
        refuses(group.encapsulate, bad, rule, "not reduced")
        reduced = pair & ~(4095 << shift) | 3328 << shift
        group.encapsulate(share[:at] + reduced.to_bytes(3, "little") + share[at + 3 :])


@pytest.mark.parametrize("group", [*HYBRIDS, *KEMS], ids=lambda group: group.name)
def test_changed_ciphertext(group: Hybrid | MlKem) -> None:
    """FIPS 203's implicit rejection: another secret and no error, so that Finished is what fails."""
    share = group.generate()
    answer, secret = group.encapsulate(share.public)
    at = -1 if isinstance(group, Hybrid) and not group.kem_first else 0
    changed = bytearray(answer)
    changed[at] ^= 1
    assert share.exchange(bytes(changed)) != secret


def test_hybrid_layout() -> None:
    """RFC 10024: whose part comes first, against a client put together by hand."""
    kem = mlkem.MLKEM768PrivateKey.generate()
    x = x25519.X25519PrivateKey.generate()
    share = kem.public_key().public_bytes_raw() + x.public_key().public_bytes_raw()
    answer, secret = GROUPS[NamedGroup.X25519MLKEM768].encapsulate(share)
    assert secret[:32] == kem.decapsulate(answer[:1088])
    assert secret[32:] == x.exchange(x25519.X25519PublicKey.from_public_bytes(answer[1088:]))

    p256 = ec.generate_private_key(ec.SECP256R1())
    share = SECP256R1.share_of(p256).public + kem.public_key().public_bytes_raw()
    answer, secret = GROUPS[NamedGroup.SecP256r1MLKEM768].encapsulate(share)
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), answer[:65])
    assert secret[:32] == p256.exchange(ec.ECDH(), point)
    assert secret[32:] == kem.decapsulate(answer[65:])

    answer, secret = GROUPS[NamedGroup.MLKEM768].encapsulate(kem.public_key().public_bytes_raw())
    assert secret == kem.decapsulate(answer)

    kem1024 = mlkem.MLKEM1024PrivateKey.generate()
    p384 = GROUPS[NamedGroup.secp384r1].generate()
    share = p384.public + kem1024.public_key().public_bytes_raw()
    answer, secret = GROUPS[NamedGroup.SecP384r1MLKEM1024].encapsulate(share)
    assert secret == p384.exchange(answer[:97]) + kem1024.decapsulate(answer[97:])


# RFC 7919 appendix A.1, and the ends of A.2 and A.3.
FFDHE2048 = """
    FFFFFFFF FFFFFFFF ADF85458 A2BB4A9A AFDC5620 273D3CF1 D8B9C583 CE2D3695 A9E13641 146433FB CC939DCE 249B3EF9
    7D2FE363 630C75D8 F681B202 AEC4617A D3DF1ED5 D5FD6561 2433F51F 5F066ED0 85636555 3DED1AF3 B557135E 7F57C935
    984F0C70 E0E68B77 E2A689DA F3EFE872 1DF158A1 36ADE735 30ACCA4F 483A797A BC0AB182 B324FB61 D108A94B B2C8E3FB
    B96ADAB7 60D7F468 1D4F42A3 DE394DF4 AE56EDE7 6372BB19 0B07A7C8 EE0A6D70 9E02FCE1 CDF7E2EC C03404CD 28342F61
    9172FE9C E98583FF 8E4F1232 EEF28183 C3FE3B1B 4C6FAD73 3BB5FCBC 2EC22005 C58EF183 7D1683B2 C6F34A26 C1B2EFFA
    886B4238 61285C97 FFFFFFFF FFFFFFFF"""
ENDS = {2048: 0x886B423861285C97, 3072: 0x25E41D2B66C62E37, 4096: 0xC68A007E5E655F6A}


@pytest.mark.parametrize("group", FIELDS, ids=lambda group: group.name)
def test_safe_primes(group: FiniteField) -> None:
    prime = _field(group.bits, group.fudge).prime
    assert prime.bit_length() == group.bits
    assert prime >> 64 & 2**64 - 1 == ENDS[group.bits]
    if group.bits == 2048:
        assert prime == int(FFDHE2048.replace("\n", "").replace(" ", ""), 16)
    for number in prime, (prime - 1) // 2:  # Fermat's test is enough against a slip of the pen
        assert pow(3, number - 1, number) == 1


@pytest.mark.parametrize("group", FIELDS, ids=lambda group: group.name)
def test_finite_field_range(group: FiniteField) -> None:
    prime = _field(group.bits, group.fudge).prime
    for y in 0, 1, prime - 1, prime, prime + 1, 2**group.bits - 1:
        both_refuse(group, y.to_bytes(group.share_length, "big"), "RFC 8446 4.2.8.1")
    for y in 2, prime - 2:
        _, secret = group.encapsulate(y.to_bytes(group.share_length, "big"))
        assert len(secret) == group.share_length


def test_finite_field_padding() -> None:
    """RFC 8446 section 7.4.1: a secret with leading zeros keeps them.  One in 256 has."""
    group = GROUPS[NamedGroup.ffdhe2048]
    ours = group.generate()
    for _ in range(5000):
        answer, secret = group.encapsulate(ours.public)
        assert len(answer) == len(secret) == 256
        if secret[0] == 0:
            assert ours.exchange(answer) == secret
            return
    pytest.fail("5000 secrets and none with a leading zero")


@pytest.mark.parametrize(
    "group", [group for group in GROUPS.values() if not isinstance(group, FiniteField)], ids=lambda group: group.name
)
def test_any_octets(group: Group) -> None:
    """Of the right length or any other: a secret, or PeerMisbehaved, and nothing else."""
    ours = group.generate()

    @settings(max_examples=60, deadline=None)
    @given(st.one_of(*(st.binary(min_size=n, max_size=n) for n in LENGTHS[group.code][:2]), st.binary(max_size=40)))
    def run(octets: bytes) -> None:
        for call in group.encapsulate, ours.exchange:
            with suppress(PeerMisbehaved):
                call(octets)

    run()


@ALL
def test_repr_keeps_the_secret(group: Group) -> None:
    share = group.generate()
    assert repr(share) == f"<KeyShare {group.name}>"
    assert repr(group) == f"<Group {group.name}>"
