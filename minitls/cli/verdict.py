"""What a scan found, for people: the verdict in plain words, what is wrong and what to do, and then the facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from minitls.cli.screen import Screen
from minitls.scan.facts import Chain, Facts, Preference
from minitls.scan.findings import Finding
from minitls.scan.registry import Suite, groups, name_in, schemes
from minitls.scan.report import post_quantum
from minitls.trace.cards import cards
from minitls.trace.steps import Fact
from minitls.trace.values import count, duration, safe

SHOWN = 8
"""Names of a certificate."""


def show(screen: Screen, where: str, facts: Facts, found: Sequence[Finding], took: float, connections: int) -> None:
    """The whole answer."""
    faults = [finding for finding in found if finding.severity == "fault"]
    remarks = [finding for finding in found if finding.severity == "remark"]
    screen.banner(where, summary(facts, faults, remarks), f"{count(connections, 'connection')}, {took:.1f} s.")
    for finding in (*faults, *remarks):
        _finding(screen, finding)
    if found:
        screen.text()
    for title, rows in tables(facts):
        if rows:
            screen.heading(title)
            screen.facts(rows)
            screen.text()


def summary(facts: Facts, faults: Sequence[Finding], remarks: Sequence[Finding]) -> str:
    """One or two sentences that stand for themselves."""
    numbers = [count(len(each), noun) for each, noun in ((faults, "fault"), (remarks, "remark")) if each]
    good = [version for version in ("TLSv1.3", "TLSv1.2") if facts.speaks(version)]
    newest = f"It speaks {' and '.join(good)}" if good else "It speaks neither TLSv1.3 nor TLSv1.2"
    known = facts.groups.get("TLSv1.3")
    if known is not None and known.codes:
        quantum = any(map(post_quantum, known.codes))
        newest += ", with a post-quantum key exchange" if quantum else ", without a post-quantum key exchange"
    named = [chain for chain in facts.chains if chain.with_name]
    if named:
        good_chain = all(chain.verified for chain in named)
        newest += ", and its certificate is good" if good_chain else ", and its certificate does not convince"
    return f"{', '.join(numbers) or 'Nothing to complain about'}. {newest}."


def _finding(screen: Screen, finding: Finding) -> None:
    screen.verdict("bad" if finding.severity == "fault" else "warn", safe(finding.title))
    rows: list[Fact] = [("what to do", safe(finding.remedy))] if finding.remedy else []
    rows += [("says", finding.rule)] if finding.rule else []
    screen.facts(rows)


def tables(facts: Facts) -> Iterator[tuple[str, list[Fact]]]:
    """The facts by section; sections that nobody asked for are empty."""
    yield "versions", [_versions(facts)]
    yield "cipher suites", list(_suites(facts))
    yield "key exchange", list(_groups(facts))
    yield "signatures", [(version, _schemes(each.codes)) for version, each in facts.signatures.items() if each.codes]
    for number, chain in enumerate(facts.chains, 1):
        yield f"certificate {number} of {len(facts.chains)}" if len(facts.chains) > 1 else "certificate", list(_chain(chain))
    yield "names", _known([("without a name", facts.names.without), ("unknown name", facts.names.unknown)])
    yield "extensions", list(_features(facts))
    yield "coming back", list(_sessions(facts))
    yield "tolerance", list(_tolerance(facts))
    yield "HTTP", list(_web(facts))


def _versions(facts: Facts) -> Fact:
    spoken = [version for version, spoken in reversed(facts.versions.items()) if spoken]
    silent = [version for version, spoken in reversed(facts.versions.items()) if not spoken]
    return "spoken", f"{', '.join(spoken)}; not: {', '.join(silent)}" if silent else ", ".join(spoken)


_ORDERS = {"server": "in the server's order", "client": "in whatever order the client likes"}


def _order(known: Preference) -> str:
    whole = "" if known.complete else ", perhaps not all"
    return f"{_ORDERS.get(known.order or '', 'the only one')}{whole}"


def _suites(facts: Facts) -> Iterator[Fact]:
    told: dict[tuple[int, ...], str] = {}
    for version, known in reversed(facts.suites.items()):
        if known.codes in told:
            yield version, f"{_order(known)}: as for {told[known.codes]}"
            continue
        told[known.codes] = version
        yield version, _order(known)
        for code in known.codes:
            suite = Suite.of(code)
            weak = [
                word
                for word, true in (
                    ("no encryption", suite.null),
                    ("no certificate", suite.anonymous),
                    ("made to be weak", suite.export),
                    ("no forward secrecy", not suite.forward_secret),
                    ("no AEAD", not suite.aead and not suite.null),
                )
                if true
            ]
            yield "", f"{suite.name} ({', '.join(weak)})" if weak else suite.name
    if facts.dh_bits is not None:
        yield "Diffie-Hellman", f"numbers of {facts.dh_bits} bits ({facts.dh_group or 'of its own, or of nobody knows whom'})"


def _groups(facts: Facts) -> Iterator[Fact]:
    for version, known in facts.groups.items():
        names = [f"{name_in(groups(), code)}{' (post-quantum)' if post_quantum(code) else ''}" for code in known.codes]
        if names:
            yield version, f"{', '.join(names)}; {_order(known)}"
    if facts.hello_retry is not None:
        yield "HelloRetryRequest", "works" if facts.hello_retry else "does not work"


def _schemes(codes: Iterable[int]) -> str:
    return ", ".join(name_in(schemes(), code) for code in codes)


def _chain(chain: Chain) -> Iterator[Fact]:
    import time

    if not chain.with_name:
        yield "shown", "only to who asks for no name"
    now = time.time()
    certificates = cards(chain.der)
    for number, each in enumerate(certificates):
        yield ("" if number else "chain"), f"{each.title}, key {each.key}, {each.validity(now)}, issued by {each.issuer_title}"
    for leaf in certificates[:1]:
        yield (
            "names",
            ", ".join(leaf.names[:SHOWN]) + (f", and {len(leaf.names) - SHOWN} more" if leaf.names[SHOWN:] else "") or "none",
        )
        yield "signed with", safe(leaf.signed_with)
    if chain.with_name:
        yield "verified", "yes" if chain.verified else "no"
    if chain.versions:
        yield "seen in", ", ".join(sorted(chain.versions, reverse=True))
    if chain.staple is not None:
        yield "OCSP stapling", f"{chain.staple}{', and the certificate promises one' if chain.must_staple else ''}"
    if any(chain.scts.values()):
        yield "SCTs", ", ".join(f"{number} by {way}" for way, number in chain.scts.items() if number)


def _yes(value: bool | None, yes: str = "yes", no: str = "no") -> str | None:
    return None if value is None else yes if value else no


def _known(rows: Iterable[tuple[str, str | None]]) -> list[Fact]:
    return [(name, safe(value)) for name, value in rows if value is not None]


def _features(facts: Facts) -> list[Fact]:
    known = facts.features
    mismatch = f"; no common one: {known.alpn_mismatch}" if known.alpn_mismatch else ""
    protocols = None if known.alpn is None else ", ".join(known.alpn) or "none"
    compressed = None if known.certificate_compression is None else ", ".join(known.certificate_compression) or "none"
    return _known(
        [
            ("ALPN", protocols and f"{protocols}{mismatch}"),
            ("client certificate", known.client_certificate),
            ("cert. compression", compressed),
            ("record_size_limit", None if known.record_size_limit is None else f"{known.record_size_limit:,} bytes"),
            ("max_fragment", _yes(known.max_fragment_length)),
            ("extended master", _yes(known.extended_master_secret)),
            ("encrypt-then-MAC", _yes(known.encrypt_then_mac)),
            ("renegotiation", _renegotiation(facts)),
            ("fallback SCSV", _yes(known.fallback_scsv)),
            ("downgrade mark", _yes(known.downgrade_sentinel)),
            ("compression", _yes(known.compression, "yes (CRIME)")),
            ("early CCS", _yes(known.early_change_cipher_spec, "taken (CVE-2014-0224)", "refused")),
            ("heartbeat", _yes(known.heartbeat)),
        ]
    )


def _renegotiation(facts: Facts) -> str | None:
    secure = _yes(facts.features.secure_renegotiation, "secure", "not secure")
    theirs = _yes(facts.features.client_renegotiation, "clients may begin one", "clients may not begin one")
    return ", ".join(filter(None, (secure, theirs))) or None


def _sessions(facts: Facts) -> list[Fact]:
    known = facts.sessions
    tickets = None
    if known.tickets is not None:
        life = f", good for {duration(known.ticket_lifetime)}" if known.ticket_lifetime else ""
        tickets = f"{count(known.tickets, 'ticket')}{life}; resumed: {_yes(known.psk) or 'not known'}"
    early = None
    if known.early_data_size is not None:
        early = f"up to {known.early_data_size:,} bytes, {_yes(known.early_data, 'accepted', 'not accepted') or 'not tried'}"
    elif known.tickets:
        early = "not offered"
    hint = f", good for {duration(known.ticket12_lifetime)}" if known.ticket12_lifetime else ""
    return _known(
        [
            ("TLSv1.3", tickets),
            ("0-RTT", early),
            ("KeyUpdate", _yes(known.key_update, "answered", "not answered")),
            ("TLSv1.2, ticket", _yes(known.ticket12, f"resumed{hint}", "not resumed")),
            ("TLSv1.2, ID", _yes(known.session_id, "resumed", "not resumed")),
        ]
    )


def _tolerance(facts: Facts) -> list[Fact]:
    if not facts.tolerance:
        return []
    bad = [name.replace("_", " ") for name, fine in facts.tolerance.items() if not fine]
    good = [name.replace("_", " ") for name, fine in facts.tolerance.items() if fine]
    return _known([("goes on with", ", ".join(good) or None), ("chokes on", ", ".join(bad) or None)])


def _web(facts: Facts) -> list[Fact]:
    web = facts.web
    if web.status is None:
        return []
    return _known(
        [
            ("status", str(web.status)),
            ("server", web.server),
            ("HSTS", web.hsts or "none"),
            ("close_notify", _yes(web.close_notify)),
        ]
    )
