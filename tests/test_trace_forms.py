"""``--trace=wire`` and ``--trace=keys`` as text: whole, within the width, and without a secret that nobody asked for."""

from __future__ import annotations

import re

import pytest

from minitls.observe import KeyInstalled
from minitls.trace.fields import dissect
from minitls.trace.keys import KeySchedule, derivations, values
from minitls.trace.text import HEX_SHOWN, as_text, draw
from minitls.wire.hello import Message, ServerHello
from tests.conftest import Pki
from tests.runs import RUNS, recorded


@pytest.mark.parametrize("width", [72, 100, 160])
@pytest.mark.parametrize("name", RUNS)
def test_every_field_is_there_with_its_bytes(pki: Pki, name: str, width: int) -> None:
    ours, _ = recorded(pki, name)
    lines = [as_text(line) for line in draw("client", ours.timeline, form="wire", width=width)]
    if width >= 100:
        assert max(map(len, lines)) <= width
    shown = iter(lines)
    schedule = KeySchedule("client")
    for entry in ours.timeline:
        list(schedule(entry))
    for _, message in ours.messages(Message):
        for leaf in dissect(message, schedule.suite).leaves():
            data = message.raw[leaf.start : leaf.stop]
            line = next(each for each in shown if each.startswith(f"  {leaf.start:06x}  {data[:8].hex(' ')}"))
            assert leaf.name in line
            rows = [data[at : at + 8].hex(" ") for at in range(8, min(len(data), HEX_SHOWN), 8)]
            assert all(any(row in each for each in shown) for row in rows)
    assert sum("RFC " in line for line in lines) > 20


@pytest.mark.parametrize("name", RUNS)
def test_the_schedule_is_told_in_order_and_without_secrets(pki: Pki, name: str) -> None:
    ours, _ = recorded(pki, name, keep_secrets=True)
    shown = "\n".join(as_text(line) for line in draw("client", ours.timeline, form="keys", width=100))
    places = [re.search(rf"· {re.escape(step.name)}(?m: |$)", shown) for step in derivations(ours)]
    assert None not in places
    starts = [place.start() for place in places if place is not None]
    assert starts == sorted(starts)
    suite, random = next(ours.all(KeyInstalled)).cipher_suite, ours.messages(ServerHello)[0][1].random
    secrets = [value for each in values(ours.key_log, suite, random).values() for _, value in each]
    assert not any(secret in shown for secret in secrets)
    assert "SECRETS" not in shown
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("name", ["tls13", "tls12"])
def test_secrets_are_shown_in_red_to_who_asks(pki: Pki, name: str) -> None:
    ours, _ = recorded(pki, name, keep_secrets=True)
    lines = draw("client", ours.timeline, form="keys", width=160, key_log=ours.key_log)
    warning = next(span for line in lines for span in line if span.text.startswith("SECRETS ARE SHOWN"))
    assert warning.style == "alert"
    random = ours.messages(ServerHello)[0][1].random
    known = values(ours.key_log, next(ours.all(KeyInstalled)).cipher_suite, random)
    shown = {span.text.split()[-1] for line in lines for span in line if span.style == "alert"}
    name_of_key = "client write key" if name == "tls12" else "client_application_traffic_secret_0"
    assert {value for _, value in known[name_of_key]} <= shown
