"""Capture files made from runs: Wireshark's command line finds nothing malformed in them, and reads what was said."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minitls.trace.pcapng import DECRYPTION_SECRETS, ENHANCED_PACKET, capture
from minitls.trace.recording import Recording, TcpOpened
from tests.conftest import Pki
from tests.runs import REPLY, REQUEST, RUNS, recorded

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed (apt install tshark)")
UNREAD = {"tls12-ecdhe_psk"}
"""Wireshark knows no ECDHE_PSK suite with AES-GCM (RFC 8442)."""


def blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0
        assert struct.unpack_from("<I", data, at + length - 4) == (length,)
        yield kind, data[at + 8 : at + length - 4]
        at += length


def tshark(file: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["tshark", "-r", str(file), *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def moved(recording: Recording, number: int, family: str) -> Recording:
    """The same with addresses of its own."""
    opened = recording.timeline[0]
    assert isinstance(opened, TcpOpened)
    addresses = {"ipv4": ("127.0.0.1", "127.0.0.1"), "ipv6": ("[2001:db8::1]", "[2001:db8::2]")}[family]
    client, server = f"{addresses[0]}:{40000 + number}", f"{addresses[1]}:8443"
    local, peer = (client, server) if recording.role == "client" else (server, client)
    recording.timeline[0] = TcpOpened(opened.at, local, peer, connecting=0.0002)
    return recording


@needs_tshark
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_tshark_reads_what_was_said(pki: Pki, side: str, family: str, tmp_path: Path) -> None:
    """Every kind of run in one file, each a connection of its own."""
    recordings = [recorded(pki, name, keep_secrets=True)[side == "server"] for name in RUNS]
    file = tmp_path / "runs.pcapng"
    file.write_bytes(capture([moved(each, number, family) for number, each in enumerate(recordings)]))
    checks = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    wrong = "_ws.malformed || _ws.expert.severity == error || _ws.expert.severity == warning || tcp.analysis.flags"
    assert tshark(file, *checks, "-Y", wrong) == []
    names = ("tcp.stream", "tcp.flags.syn", "tcp.flags.ack", "tcp.flags.fin", "http.request.uri", "http.response.code")
    rows = [line.split("\t") for line in tshark(file, "-T", "fields", *(part for name in names for part in ("-e", name)))]
    truth = {"1": True, "True": True, "0": False, "False": False}
    for number, name in enumerate(RUNS):
        packets = [row[1:] for row in rows if row[0] == str(number)]
        flags = [tuple(truth[flag] for flag in packet[:3]) for packet in packets]
        assert flags[:3] == [(True, False, False), (True, True, False), (False, True, False)]
        assert sum(fin for _, _, fin in flags) == 2
        if name not in UNREAD:
            assert [packet[3] for packet in packets if packet[3]] == ["/wishes"], name
            assert [packet[4] for packet in packets if packet[4]] == ["200"], name


@needs_tshark
def test_several_connections_in_one_file(pki: Pki, tmp_path: Path) -> None:
    runs = [recorded(pki, "tls13", keep_secrets=True)[0], recorded(pki, "tls12", keep_secrets=True)[0]]
    for recording in runs:
        recording.timeline.pop(0)  # as of a run in memory: nobody knows its addresses
    file = tmp_path / "runs.pcapng"
    file.write_bytes(capture(runs))
    assert tshark(file, "-Y", "http.request", "-T", "fields", "-e", "tcp.stream") == ["0", "1"]


def test_without_secrets_nothing_can_be_read(pki: Pki) -> None:
    ours, _ = recorded(pki, "tls13")
    found = list(blocks(capture([ours])))
    assert DECRYPTION_SECRETS not in [kind for kind, _ in found]
    assert not any(REQUEST in body or REPLY in body for _, body in found)


def test_the_bytes_and_moments_are_the_runs(pki: Pki) -> None:
    ours, _ = recorded(pki, "tls13", keep_secrets=True)
    found = list(blocks(capture([ours])))
    secrets = next(body for kind, body in found if kind == DECRYPTION_SECRETS)
    assert all(line.encode() in secrets for line in ours.key_log)
    streams = {1: b"", 2: b""}
    moments = []
    for kind, body in found:
        if kind == ENHANCED_PACKET:
            _, high, low, length, _ = struct.unpack_from("<IIIII", body)
            packet = body[20 : 20 + length]
            (direction,) = struct.unpack_from("<I", body, 20 + -(-length // 4) * 4 + 4)
            streams[direction] += packet[40:]
            moments.append((high << 32 | low) / 1e6)
    for direction, sent in ((2, True), (1, False)):
        assert len(streams[direction]) == ours.bytes_on_wire(sent=sent)
    assert moments == sorted(moments)
    assert abs(moments[2] - ours.started) < 1e-5
    assert abs(moments[0] - ours.started + 0.0002) < 1e-5


@pytest.mark.parametrize(
    ("local", "peer"), [("/run/a.sock:0", "127.0.0.1:1"), ("127.0.0.1:1", "[::1]:2"), ("unknown:0", "unknown:0")]
)
def test_addresses_that_are_none(pki: Pki, local: str, peer: str) -> None:
    recording = Recording("server")
    recording(TcpOpened(1.0, local, peer))
    packet = next(body for kind, body in blocks(capture([recording])) if kind == ENHANCED_PACKET)[20:]
    assert packet[12:20] == bytes((192, 0, 2, 1, 192, 0, 2, 2))


def test_a_link_local_address_has_a_zone(pki: Pki) -> None:
    recording = Recording("client")
    recording(TcpOpened(1.0, "[fe80::1%eth0]:1", "[fe80::2%eth0]:2"))
    packet = next(body for kind, body in blocks(capture([recording])) if kind == ENHANCED_PACKET)[20:]
    assert packet[8:24].hex() == "fe800000000000000000000000000001"
