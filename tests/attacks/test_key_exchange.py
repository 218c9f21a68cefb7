"""Invalid curves, twists, low orders, small subgroups, reused keys: a share is just what its group says, or illegal_parameter."""

from __future__ import annotations

import pytest

from minitls import Alert, ClientConnection, Connection, PeerMisbehaved, Policy, ServerConnection
from minitls.crypto.groups import GROUPS, FiniteField, Group, Hybrid, Montgomery, Weierstrass
from minitls.wire.extensions import KeyShareEntry
from minitls.wire.hello import ClientHello, ServerHello
from minitls.wire.numbers import ExtensionType as X
from tests.conftest import Pki
from tests.liar import edit, lying_client, lying_server, meet


def bad_shares(group: Group, length: int) -> dict[str, bytes]:
    """What an attacker would send in this group; ``length``: of a good share in that direction."""
    good = (group.generate().public + bytes(length))[:length]
    bad = {"short": good[:-1], "long": good + b"\0", "one byte": b"\4", "of another group": bytes(97)}
    if isinstance(group, Montgomery):
        low_order = {"zero": 0, "one": 1, "p - 1": (2**255 - 20 if length == 32 else 2**448 - 2**224 - 2)}
        bad |= {name: u.to_bytes(length, "little") for name, u in low_order.items()}
    elif isinstance(group, Weierstrass):
        half = (length - 1) // 2
        bad |= {
            "zero": bytes(length),
            "not on the curve": b"\4" + bytes(length - 1),
            "flipped": good[:-1] + bytes((good[-1] ^ 1,)),
            "compressed": b"\2" + good[1 : 1 + half],
            "compressed, at full length": b"\2" + good[1:],
            "hybrid form": bytes((6 + (good[-1] & 1),)) + good[1:],
            "infinity": b"\0",
        }
    elif isinstance(group, FiniteField):
        bad |= {"y = 0": bytes(length), "y = 1": bytes(length - 1) + b"\1", "y = p and more": b"\xff" * length}
    elif isinstance(group, Hybrid):
        # ML-KEM's half does not fail (its secret is then a random one), so the classical half is what can be bad.
        classical = group.classical.share_length
        zeros = bytes(classical)
        bad["a classical half of zeros"] = good[:-classical] + zeros if group.kem_first else zeros + good[classical:]
    if len(next(iter(bad.values()))) == len(bad["of another group"]):
        del bad["of another group"]
    return bad


CASES = [
    (group.name, role, what)
    for group in GROUPS.values()
    for role, length in (("client", group.share_length), ("server", group.answer_length))
    for what in bad_shares(group, length)
]


@pytest.mark.parametrize(("name", "role", "what"), CASES)
def test_bad_share(pki: Pki, name: str, role: str, what: str) -> None:
    """Invalid curve, twist, low order, small subgroup: from a client and from a server."""
    group = next(each for each in GROUPS.values() if each.name == name)
    policy = Policy(groups=(name,))
    ours, theirs = pki.client_config(policy=policy), pki.server_config(policy=policy)
    share = bad_shares(group, group.share_length if role == "client" else group.answer_length)[what]
    entry = KeyShareEntry(group.code, share)
    honest: Connection
    if role == "client":
        honest = ServerConnection(theirs)
        meeting = meet(lying_client(ours, edit(ClientHello, lambda m: m.extensions.update({X.key_share: (entry,)}))), honest)
    else:
        honest = ClientConnection(ours, server_hostname="localhost")
        meeting = meet(honest, lying_server(theirs, edit(ServerHello, lambda m: m.extensions.update({X.key_share: entry}))))
    assert isinstance(honest.error, PeerMisbehaved)
    assert (honest.error.alert, honest.error.reason) == (Alert.illegal_parameter, "bad_key_share")
    assert meeting.completed == (False, False)


def shares_of(pki: Pki, policy: Policy) -> list[bytes]:
    client = ClientConnection(pki.client_config(policy=policy), server_hostname="localhost")
    return [entry.key_exchange for entry in client.info.client_hello.extensions[X.key_share] if len(entry.key_exchange) > 1]


@pytest.mark.parametrize("group", [group.name for group in GROUPS.values()])
def test_keys_are_fresh(pki: Pki, group: str) -> None:
    """Raccoon, RFC 9846: no share is used for a second connection, or again after HelloRetryRequest."""
    policy = Policy(groups=(group,))
    seen = [share for _ in range(5) for share in shares_of(pki, policy)]
    assert len(set(seen)) == len(seen) == 5


def test_a_hybrids_classical_half_is_the_classical_share(pki: Pki) -> None:
    """RFC 9954 section 3.2: the one reuse that is allowed, within one hello."""
    hybrid, classical = shares_of(pki, Policy())
    assert hybrid[-32:] == classical
    assert shares_of(pki, Policy())[1] != classical


def test_no_group_of_strangers(pki: Pki) -> None:
    """Logjam, weak and custom groups: there is no way to name one."""
    assert {group.name for group in GROUPS.values() if group.name.startswith("ffdhe")} == {"ffdhe2048", "ffdhe3072", "ffdhe4096"}
    lie = edit(ClientHello, lambda m: m.extensions.update({X.supported_groups: (1, 22, 256 + 4, 0xFF01), X.key_share: ()}))
    meeting = meet(lying_client(pki.client_config(), lie), ServerConnection(pki.server_config()))
    assert meeting.alert_heard_by(meeting.client) == Alert.handshake_failure
