"""The groups of the key exchange, hybrids included, and whether the server asks again for one that it likes (HelloRetryRequest)."""

from __future__ import annotations

from minitls.crypto.groups import GROUPS
from minitls.scan.asking import Pick, Scan, in_order, preference, whose_order
from minitls.scan.facts import Preference
from minitls.scan.hello import NEW_GROUPS, OLD_GROUPS
from minitls.scan.registry import Suite, name_in
from minitls.scan.registry import groups as all_groups
from minitls.trace.cards import card


async def probe(scan: Scan) -> None:
    work = [_tls12(scan)]
    if scan.facts.speaks("TLSv1.3"):
        work += [_tls13(scan), _retry(scan)]
    await scan.prober.together(*work)


async def _tls13(scan: Scan) -> None:
    """Without any share the server has to name the group that it wants: the whole list costs no key exchange at all."""

    suites = scan.facts.codes("TLSv1.3")

    async def named(offered: tuple[int, ...]) -> int | None:
        return (await scan.ask("TLSv1.3", suites, groups=offered, shares=())).group

    async def taken(offered: tuple[int, ...]) -> int | None:
        return (await scan.ask("TLSv1.3", suites, groups=offered, shares=offered)).group

    found = await preference(scan, named, [NEW_GROUPS])
    if not found.codes:  # it knows no HelloRetryRequest: each of those that we have by itself
        alone = await scan.prober.together(*(taken((group,)) for group in GROUPS))
        found = Preference(tuple(group for group in alone if group is not None), None, complete=False)
    scan.facts.groups["TLSv1.3"] = found


async def _retry(scan: Scan) -> None:
    """A handshake after a HelloRetryRequest, to the certificate: what is wrong with that is another matter."""
    config, _ = scan.config("TLSv1.3", key_shares=())
    async with scan.prober.dialogue(config, scan.name, scan.facts.port) as talk:
        scan.facts.hello_retry = talk.info.hello_retry and bool(talk.info.peer_chain)


async def _tls12(scan: Scan) -> None:
    """The curve of ServerKeyExchange, for the newest of the old versions that has any."""
    for version in scan.facts.old:
        offered = [suite for suite in map(Suite.of, scan.facts.codes(version)) if suite.elliptic and not suite.shared_key]
        if offered and version != "SSLv3":
            scan.facts.groups[version] = await _curves(scan, version, offered)
            return


async def _curves(scan: Scan, version: str, offered: list[Suite]) -> Preference:
    # An ECDSA certificate's own curve has to stand in the list, too (RFC 8422 section 5.1): an RSA one has none.
    free = [suite.code for suite in offered if suite.authentication != "ECDSA"]
    codes = free or [suite.code for suite in offered]
    leaf = None

    async def pick(groups: tuple[int, ...]) -> int | None:
        nonlocal leaf
        answer = await scan.ask(version, codes, "done", groups=groups)
        leaf = card(answer.chain[0]) if answer.chain else leaf
        return answer.curve

    found = await in_order(pick, OLD_GROUPS)
    if not free and found and leaf is not None and leaf.key == f"EC {name_in(all_groups(), found[-1])}":
        return await _beside_the_key(pick, found)
    return Preference(tuple(found), await whose_order(pick, found))


async def _beside_the_key(pick: Pick, found: list[int]) -> Preference:
    """With ECDSA alone: what was found last is the certificate's curve, and without it nothing may go."""
    key = found[-1]
    left = [group for group in OLD_GROUPS if group not in found]
    everything = (*found, *await in_order(lambda groups: pick((*groups, key)), left))
    order = await whose_order(pick, everything)
    return Preference(everything, order, complete=order != "server")
