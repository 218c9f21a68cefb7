"""The chapters of those who have met before, or have a key from elsewhere (RFC 8446 sections 2.2 and 2.3)."""

from __future__ import annotations

from collections.abc import Iterator

from minitls.observe import DataSeen, MessageSeen
from minitls.trace.steps import SHOWN, Fact, Step, Story, said
from minitls.trace.text import protection
from minitls.trace.values import ending, extension_value, identity_name, short
from minitls.wire.extensions import OfferedPsks, PskIdentity
from minitls.wire.hello import ClientHello, HelloRetryRequest, ServerHello
from minitls.wire.messages import EncryptedExtensions, EndOfEarlyData
from minitls.wire.numbers import ExtensionType as X


def psks(story: Story) -> Iterator[Step]:
    """What the client has from before."""
    for entry, hello in story.seen.messages(ClientHello)[:1]:
        offered: OfferedPsks | None = hello.extensions.get(X.pre_shared_key)
        if offered is None:
            continue
        facts: list[Fact] = []
        for psk, binder in zip(offered.identities[:SHOWN], offered.binders, strict=False):
            if is_ticket(psk):
                hidden = f"{psk.obfuscated_ticket_age:,}: milliseconds, and the number that hides them"
                facts += [("ticket", ending(psk.identity, 16)), ("its age", hidden)]
            else:
                facts.append(("the key's name", identity_name(psk.identity)))
            facts.append(("binder", short(binder, 16)))
        if X.psk_key_exchange_modes in hello.extensions:
            facts.append(("may be used", extension_value(X.psk_key_exchange_modes, hello.extensions[X.psk_key_exchange_modes])))
        key = "psk_ticket" if is_ticket(offered.identities[0]) else "psk_external"
        yield story.step(key, (), facts, at=entry.at)


def is_ticket(psk: PskIdentity) -> bool:
    """Whether it is of a session: other keys have no age (RFC 8446 section 4.2.11), and hardly any ticket comes to be 0."""
    return psk.obfuscated_ticket_age != 0


def early_data(story: Story) -> Iterator[Step]:
    """0-RTT data, and what became of it."""
    for hello, message in story.seen.messages(ClientHello)[:1]:
        if X.early_data not in message.extensions:
            continue
        found = [entry for entry in story.seen.all(DataSeen) if protection(entry.key) == "early"]
        facts = [fact for number, entry in enumerate(found[:SHOWN]) for fact in said(story, number, entry)]
        facts += story.secrets("CLIENT_EARLY_TRAFFIC_SECRET")
        answers = [answer.extensions for _, answer in story.seen.messages(EncryptedExtensions)]
        if story.seen.messages(HelloRetryRequest):
            facts.append(("the server", "drops it: it wants another hello first"))
        elif answers:
            taken = X.early_data in answers[0]
            facts.append(("the server", f"{'takes it' if taken else 'drops it'}{story.why('early_data')}"))
        yield story.step("early_data", found[:SHOWN], facts, at=hello.at)


def psk_taken(story: Story, entry: MessageSeen, answer: ServerHello) -> Iterator[Step]:
    """What the server makes of the client's offer to do without certificates."""
    offers = [
        hello.extensions[X.pre_shared_key] for _, hello in story.seen.messages(ClientHello) if X.pre_shared_key in hello.extensions
    ]
    if not offers:
        return
    if X.pre_shared_key not in answer.extensions:
        yield story.step("psk_declined", (), at=entry.at)
        return
    index: int = answer.extensions[X.pre_shared_key]
    identities = offers[-1].identities
    ticket = index >= len(identities) or is_ticket(identities[index])
    facts = [("taken", f"number {index} of {len(identities)} offered, counted from 0")]
    if X.key_share in answer.extensions:
        facts.append(("used with", "a fresh key exchange (psk_dhe_ke): the new keys have forward secrecy"))
    else:
        facts.append(("used with", "nothing else (psk_ke): the new keys have no forward secrecy"))
    if ticket:
        facts.append(("not sent", "Certificate, CertificateVerify"))
    yield story.step("psk_taken" if ticket else "psk_known", (), facts, at=entry.at)


def end_of_early_data(story: Story) -> Iterator[Step]:
    for entry, _ in story.seen.messages(EndOfEarlyData):
        yield story.step("end_of_early_data", (entry,))
