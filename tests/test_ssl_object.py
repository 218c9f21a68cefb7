"""The drop-in's SSLObject, beside the standard library's: each of ours against each other, and against theirs."""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

import minitls
import minitls.ssl as ours
from minitls.certificates.authority import Authority, self_signed
from minitls.config import ClientConfig, ServerConfig
from minitls.policy import Policy
from tests.dropin import HOST, PAIRS, Contexts, Files, Wire, contexts, files, pairs

_ = (contexts, files)  # fixtures

Pair = tuple[str, str]
Field = Any
DAY = datetime.timedelta(days=1)


@pytest.fixture(params=pairs())
def pair(request: pytest.FixtureRequest) -> Pair:
    made: Pair = request.param
    return made


@pytest.fixture(params=["1.3", "1.2"])
def version(request: pytest.FixtureRequest) -> str:
    made: str = request.param
    return made


def connect(contexts: Contexts, pair: Pair, **how: Any) -> Wire:
    return Wire(contexts.client(pair[0], **how), contexts.server(pair[1])).handshake()


# data -------------------------------------------------------------------------------------------------------------------


def test_data_goes_both_ways(contexts: Contexts, pair: Pair, version: str) -> None:
    wire = connect(contexts, pair, version=version)
    for size in (1, 100, 16384, 16385, 100_000, 300_000):
        data = os.urandom(size)
        assert wire.say(data) == data
        assert wire.say(data, back=True) == data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_write_takes_any_buffer(contexts: Contexts, kind: Any) -> None:
    wire = connect(contexts, ("ours", "ours"))
    assert wire.client.write(kind(b"abc")) == 3
    assert wire.client.write(kind(b"")) == 0
    wire.carry()
    assert wire.server.read(10) == b"abc"


def test_write_counts_bytes_of_wider_items(contexts: Contexts) -> None:
    wire = connect(contexts, ("ours", "ours"))
    assert wire.client.write(memoryview(bytes(16)).cast("I")) == 16


def test_read_into_a_buffer(contexts: Contexts, pair: Pair) -> None:
    wire = connect(contexts, pair)
    wire.server.write(b"0123456789")
    wire.carry()
    buffer = bytearray(6)
    assert wire.client.read(4, buffer) == 4
    assert bytes(buffer) == b"0123\0\0"
    assert wire.client.read(100, buffer) == 6
    assert bytes(buffer) == b"456789"
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.read(1, buffer)


def test_read_sizes(contexts: Contexts) -> None:
    wire = connect(contexts, ("ours", "ours"))
    assert wire.client.read(0) == b""
    with pytest.raises(ValueError, match="size should not be negative"):
        wire.client.read(-1)


def test_pending_tells_what_was_taken_from_the_bio(contexts: Contexts) -> None:
    """An event loop that reads only what it is told of would hang otherwise."""
    wire = connect(contexts, ("ours", "ours"))
    assert wire.client.pending() == 0
    wire.server.write(b"x" * 50_000)
    wire.carry()
    assert wire.client.read(1) == b"x"
    assert wire.client.pending() + wire.to_client.pending > 0
    left = 49_999
    while left:
        assert wire.client.pending() + wire.to_client.pending > 0
        left -= len(wire.client.read(1000))
    assert wire.client.pending() == 0


def test_pending_tells_of_an_end_that_came_with_data(contexts: Contexts, pair: Pair) -> None:
    wire = connect(contexts, pair)
    wire.server.write(b"bye")
    with contextlib.suppress(ssl.SSLWantReadError):
        wire.server.unwrap()
    wire.carry()
    assert wire.client.read(1) == b"b"
    assert wire.client.read(100) == b"ye"
    assert wire.client.pending() + wire.to_client.pending > 0
    assert wire.client.read(100) == b""
    assert wire.client.pending() == 0


def test_half_of_a_record_is_nothing_to_read(contexts: Contexts) -> None:
    wire = connect(contexts, ("ours", "ours"))
    wire.server.write(b"whole")
    record = wire.from_server.read()
    wire.to_client.write(record[:10])
    with pytest.raises(ssl.SSLWantReadError) as caught:
        wire.client.read(100)
    assert caught.value.errno == ssl.SSL_ERROR_WANT_READ
    assert wire.client.pending() == 0
    wire.to_client.write(record[10:])
    assert wire.client.read(100) == b"whole"


def test_reading_and_writing_shake_hands_by_themselves(contexts: Contexts, pair: Pair) -> None:
    wire = Wire(contexts.client(pair[0]), contexts.server(pair[1]))
    written, got = wire.run(lambda: wire.client.write(b"hello"), lambda: wire.server.read(10))
    assert (written, got) == (5, b"hello")


# the end ----------------------------------------------------------------------------------------------------------------


def test_closing(contexts: Contexts, pair: Pair, version: str) -> None:
    wire = connect(contexts, pair, version=version)
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.unwrap()
    wire.carry()
    assert wire.server.read(10) == b""
    assert wire.server.read(10, bytearray(10)) == 0
    assert wire.server.write(b"still") == 5  # a half-closed connection
    wire.carry()
    assert wire.server.unwrap() is None
    wire.carry()


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_both_closed(contexts: Contexts, kind: str) -> None:
    wire = connect(contexts, (kind, "ours"))
    wire.run(wire.client.unwrap, wire.server.unwrap)
    for side in (wire.client, wire.server):
        with pytest.raises(ssl.SSLZeroReturnError) as caught:
            side.read(1)
        assert caught.value.errno == ssl.SSL_ERROR_ZERO_RETURN
        with pytest.raises(ssl.SSLError) as refused:
            side.write(b"more")
        assert refused.value.reason == "PROTOCOL_IS_SHUTDOWN"


def test_half_close(contexts: Contexts) -> None:
    """Who has said that it sends no more can still read."""
    wire = connect(contexts, ("ours", "ours"))
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.unwrap()
    wire.carry()
    assert wire.server.read(1) == b""
    wire.server.write(b"the answer")
    wire.carry()
    assert wire.client.read(100) == b"the answer"
    wire.run(wire.server.unwrap, wire.client.unwrap)


def test_data_instead_of_close_notify(contexts: Contexts, pair: Pair) -> None:
    wire = connect(contexts, pair)
    wire.server.write(b"data")
    wire.carry()
    with pytest.raises(ssl.SSLError) as caught:
        wire.run(wire.client.unwrap)
    assert caught.value.reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_unwrap_before_the_handshake(contexts: Contexts, kind: str) -> None:
    wire = Wire(contexts.client(kind), contexts.server("ours"))
    with pytest.raises(ssl.SSLError) as caught:
        wire.client.unwrap()
    assert caught.value.reason in ("SHUTDOWN_WHILE_IN_INIT", "UNINITIALIZED")


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_the_transport_ends_too_early(contexts: Contexts, kind: str) -> None:
    wire = connect(contexts, (kind, "ours"))
    wire.settle()
    wire.to_client.write_eof()
    with pytest.raises(ssl.SSLEOFError) as caught:
        wire.client.read(1)
    assert (caught.value.errno, caught.value.reason) == (ssl.SSL_ERROR_EOF, "UNEXPECTED_EOF_WHILE_READING")
    assert "EOF occurred in violation of protocol" in str(caught.value)


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_an_early_end_can_be_ignored(contexts: Contexts, kind: str) -> None:
    wire = Wire(contexts.client(kind, options=contexts.client(kind).options | 0x80), contexts.server("ours")).handshake()
    wire.settle()
    wire.to_client.write_eof()
    assert wire.client.read(1) == b""


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_the_transport_ends_in_the_handshake(contexts: Contexts, kind: str) -> None:
    wire = Wire(contexts.client(kind), contexts.server("ours"))
    wire.to_client.write_eof()
    with pytest.raises(ssl.SSLEOFError) as caught:
        wire.client.do_handshake()
    assert caught.value.reason == "UNEXPECTED_EOF_WHILE_READING"


def test_what_follows_the_end_of_tls_stays_in_the_bio(contexts: Contexts, pair: Pair) -> None:
    """Protocols that end TLS and go on in the clear (FTP's CCC); trio gives it as trailing data."""
    wire = connect(contexts, pair)
    wire.settle()
    with contextlib.suppress(ssl.SSLWantReadError):
        wire.server.unwrap()
    wire.to_client.write(wire.from_server.read() + b"in the clear")
    wire.client.unwrap()
    assert wire.to_client.read() == b"in the clear"


# what there is to know --------------------------------------------------------------------------------------------------


def test_before_the_handshake(contexts: Contexts) -> None:
    for kind in ("ours", "stdlib"):
        wire = Wire(contexts.client(kind), contexts.server("ours"))
        side = wire.client
        assert (side.version(), side.cipher(), side.selected_alpn_protocol(), side.compression()) == (None, None, None, None)
        assert (side.pending(), side.session, side.session_reused, side.server_side) == (0, None, False, False)
        assert side.get_channel_binding() is None
        with pytest.raises(ValueError, match="handshake not done yet"):
            side.getpeercert()


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
def test_both_sides_say_the_same_as_the_standard_library(
    contexts: Contexts, files: Files, pair: Pair, version: str, kind: str
) -> None:
    cert = files.issue(f"server-{kind}", key=kind)
    server = contexts.asking(pair[1], alpn=["h2", "http/1.1"], cert=cert)
    client = contexts.client(pair[0], alpn=["http/1.1", "h2"], version=version, cert=files.issue("client", "client", client=True))
    wire = Wire(client, server).handshake()
    for name in ("version", "cipher", "selected_alpn_protocol", "compression", "getpeercert"):
        # the same question to both implementations, about the same connection
        assert isinstance(getattr(wire.client, name)(), type(getattr(wire.server, name)()))
    assert wire.client.version() == wire.server.version() == f"TLSv{version}"
    assert wire.client.cipher() == wire.server.cipher()
    assert wire.client.selected_alpn_protocol() == wire.server.selected_alpn_protocol() == "h2"
    assert (wire.client.server_hostname, wire.server.server_hostname) == (HOST, None)
    assert (wire.client.server_side, wire.server.server_side) == (False, True)
    assert wire.client.getpeercert()["subjectAltName"] == (("DNS", HOST), ("IP Address", "127.0.0.1"))
    assert wire.client.cipher() in wire.server.shared_ciphers()
    assert wire.client.shared_ciphers() is None or pair[0] == "stdlib"
    with pytest.warns(DeprecationWarning, match="NPN"):
        assert wire.client.selected_npn_protocol() is None
    if version == "1.2":
        assert wire.client.get_channel_binding("tls-unique") == wire.server.get_channel_binding("tls-unique") is not None


def test_getpeercert_is_what_the_standard_library_says(contexts: Contexts, files: Files) -> None:
    cert = files.issue("server")
    wires = [Wire(contexts.client(kind), contexts.server("stdlib", cert=cert)).handshake() for kind in ("ours", "stdlib")]
    assert wires[0].client.getpeercert() == wires[1].client.getpeercert()
    assert wires[0].client.getpeercert(True) == wires[1].client.getpeercert(binary_form=True)


def test_without_verification_a_certificate_is_there_and_says_nothing(contexts: Contexts) -> None:
    for kind in ("ours", "stdlib"):
        client = contexts.client(kind, check_hostname=False, verify_mode=ssl.CERT_NONE)
        wire = Wire(client, contexts.server("stdlib"), server_hostname="whatever.example").handshake()
        assert wire.client.getpeercert() == {}
        assert wire.client.getpeercert(True)
        assert wire.server.getpeercert() is None
        assert wire.server.getpeercert(True) is None


def test_chains(contexts: Contexts, files: Files) -> None:
    wire = connect(contexts, ("ours", "ours"))
    sent, verified = wire.client.get_unverified_chain(), wire.client.get_verified_chain()
    assert sent[0] == verified[0] == wire.client.getpeercert(True)
    assert len(verified) == len(sent) + 1
    assert ssl.DER_cert_to_PEM_cert(verified[-1]).encode() == files.authority.root_pem()
    assert wire.server.get_verified_chain() == wire.server.get_unverified_chain() == []


def test_channel_bindings(contexts: Contexts, version: str) -> None:
    wire = connect(contexts, ("ours", "ours"), version=version)
    for kind in ("tls-exporter", "tls-server-end-point", "tls-unique"):
        assert wire.client.get_channel_binding(kind) == wire.server.get_channel_binding(kind)
    assert len(wire.client.get_channel_binding("tls-exporter")) == 32
    assert (wire.client.get_channel_binding("tls-unique") is None) == (version == "1.3")
    with pytest.raises(ValueError, match="channel binding type not implemented"):
        wire.client.get_channel_binding("tls-magic")


def test_alpn(contexts: Contexts, pair: Pair) -> None:
    def agreed(client: list[str], server: list[str]) -> Any:
        wire = Wire(contexts.client(pair[0], alpn=client), contexts.server(pair[1], alpn=server)).handshake()
        assert wire.client.selected_alpn_protocol() == wire.server.selected_alpn_protocol()
        return wire.client.selected_alpn_protocol()

    assert agreed(["h2", "http/1.1"], ["http/1.1"]) == "http/1.1"
    assert agreed(["a", "b"], ["b", "a"]) == "b"
    assert agreed(["h2"], []) is None
    assert agreed([], ["h2"]) is None
    assert agreed(["h2"], ["http/1.1"]) is None  # as OpenSSL: who minds looks


# names ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_hostnames_may_be_bytes(contexts: Contexts, kind: str) -> None:
    wire = Wire(contexts.client(kind), contexts.server("ours"), server_hostname=b"localhost").handshake()
    assert wire.client.server_hostname == "localhost"


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
@pytest.mark.parametrize("name", ["", ".localhost"])
def test_bad_hostnames(contexts: Contexts, kind: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be an empty string or start with a leading dot|label empty"):
        Wire(contexts.client(kind), contexts.server("ours"), server_hostname=name)


def test_international_names(contexts: Contexts, files: Files, pair: Pair) -> None:
    server = contexts.server(pair[1], cert=files.issue("idna", "xn--bcher-kva.example"))
    wire = Wire(contexts.client(pair[0]), server, server_hostname="bücher.example").handshake()
    assert wire.client.server_hostname == "xn--bcher-kva.example"


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_addresses(contexts: Contexts, kind: str) -> None:
    Wire(contexts.client(kind), contexts.server("ours"), server_hostname="127.0.0.1").handshake()
    failed = Wire(contexts.client(kind), contexts.server("ours"), server_hostname="127.0.0.2").failures()["client"]
    assert isinstance(failed, ssl.SSLCertVerificationError)
    assert "IP address mismatch" in failed.verify_message


def test_a_name_is_needed_where_one_is_verified(contexts: Contexts) -> None:
    wire = Wire(contexts.client("ours"), contexts.server("ours"), server_hostname=None)
    with pytest.raises(ValueError, match="check_hostname requires server_hostname"):
        wire.client.do_handshake()


@pytest.mark.parametrize("name", [None, "somebody.else", "with_underscore"])
def test_verified_but_not_by_name(contexts: Contexts, pair: Pair, name: Any) -> None:
    client = contexts.client(pair[0], check_hostname=False)
    wire = Wire(client, contexts.server(pair[1]), server_hostname=name).handshake()
    assert wire.client.getpeercert()["subject"]
    stranger = contexts.server(pair[1], cert=contexts.files.issued("stranger", Authority.create("a stranger").issue(HOST)))
    assert isinstance(Wire(client, stranger, server_hostname=name).failures()["client"], ssl.SSLCertVerificationError)


# certificates that do not convince --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "code", "message"),
    [
        ("expired", 10, "certificate has expired"),
        ("not yet", 9, "certificate is not yet valid"),
        ("self-signed", 18, "self-signed certificate"),
        ("stranger", 20, "unable to get local issuer certificate"),
        ("wrong host", 62, "Hostname mismatch, certificate is not valid for 'localhost'."),
    ],
)
def test_bad_certificates(contexts: Contexts, files: Files, pair: Pair, version: str, what: str, code: int, message: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    issued = {
        "expired": lambda: files.authority.issue(HOST, valid_from=now - 9 * DAY, valid_until=now - DAY),
        "not yet": lambda: files.authority.issue(HOST, valid_from=now + DAY, valid_until=now + 9 * DAY),
        "self-signed": lambda: self_signed(HOST),
        "stranger": lambda: Authority.create("nobody knows it", intermediate=False).issue(HOST),
        "wrong host": lambda: files.authority.issue("other.example"),
    }[what]()
    server = contexts.server(pair[1], cert=files.issued("bad", issued))
    failed = Wire(contexts.client(pair[0], version=version), server).failures()
    error = failed["client"]
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert isinstance(error, ssl.CertificateError)
    assert (error.errno, error.library, error.reason) == (1, "SSL", "CERTIFICATE_VERIFY_FAILED")
    assert (error.verify_code, error.verify_message) == (code, message)
    assert "certificate verify failed" in str(error)
    told = failed["server"]  # the alert has arrived, before anybody raised
    assert isinstance(told, ssl.SSLError)
    assert "ALERT" in told.reason


def test_no_certificate_at_all(pair: Pair, contexts: Contexts) -> None:
    bare = {"ours": ours, "stdlib": ssl}[pair[1]].SSLContext(ssl.PROTOCOL_TLS_SERVER)
    failed = Wire(contexts.client(pair[0]), bare).failures()
    assert getattr(failed["server"], "reason", "") in ("NO_SHARED_CIPHER", "NO_SUITABLE_SIGNATURE_ALGORITHM")
    assert getattr(failed["client"], "reason", "") == "SSLV3_ALERT_HANDSHAKE_FAILURE"


# client certificates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
def test_client_certificates(contexts: Contexts, files: Files, pair: Pair, version: str, mode: ssl.VerifyMode) -> None:
    server = contexts.asking(pair[1], mode)
    good = contexts.client(pair[0], version=version, cert=files.issue("client", "client", client=True))
    wire = Wire(good, server).handshake()
    assert wire.server.getpeercert()["subjectAltName"] == (("DNS", "client"),)
    absent = Wire(contexts.client(pair[0], version=version), server)
    if mode == ssl.CERT_OPTIONAL:
        absent.handshake()
        assert absent.server.getpeercert() is None
    else:
        failed = absent.failures()
        assert getattr(failed["server"], "reason", "") == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
        assert isinstance(failed["client"], ssl.SSLError)
    wrong = contexts.client(
        pair[0], version=version, cert=files.issued("wrong", Authority.create("x").issue("client", client=True))
    )
    failed = Wire(wrong, server).failures()
    assert isinstance(failed["server"], ssl.SSLCertVerificationError)
    assert isinstance(failed["client"], ssl.SSLError)


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
def test_asking_after_the_handshake(contexts: Contexts, files: Files, pair: Pair, mode: ssl.VerifyMode, shown: bool) -> None:
    server = contexts.asking(pair[1], mode, post_handshake_auth=True)
    cert = files.issue("client", "client", client=True) if shown else None
    wire = Wire(contexts.client(pair[0], cert=cert, post_handshake_auth=True), server).handshake()
    assert wire.say(b"who am I?") == b"who am I?"
    assert wire.server.getpeercert() is None
    wire.server.verify_client_post_handshake()
    wire.server.write(b"tell me")
    wire.carry()
    assert wire.client.read(100) == b"tell me"
    wire.client.write(b"it is me")
    wire.carry()
    if not shown and mode == ssl.CERT_REQUIRED:
        with pytest.raises(ssl.SSLError) as caught:
            wire.server.read(100)
        assert caught.value.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
        return
    assert wire.server.read(100) == b"it is me"
    found = wire.server.getpeercert()
    assert (found["subjectAltName"] if shown else found) == ((("DNS", "client"),) if shown else None)


def test_asking_after_the_handshake_has_conditions(contexts: Contexts) -> None:
    for kind in ("ours", "stdlib"):
        wire = connect(contexts, (kind, kind))
        with pytest.raises(ssl.SSLError) as caught:
            wire.server.verify_client_post_handshake()
        assert caught.value.reason == "EXTENSION_NOT_RECEIVED"
        with pytest.raises(ssl.SSLError) as caught:
            wire.client.verify_client_post_handshake()
        assert caught.value.reason == "NOT_SERVER"
        wire = connect(contexts, (kind, kind), version="1.2")
        with pytest.raises(ssl.SSLError) as caught:
            wire.server.verify_client_post_handshake()
        assert caught.value.reason == "WRONG_SSL_VERSION"


# SNI --------------------------------------------------------------------------------------------------------------------


def test_sni_callback_may_swap_the_context(contexts: Contexts, files: Files, pair: Pair, version: str) -> None:
    other = contexts.server(pair[1], cert=files.issue("other", "other.example"))
    server = contexts.server(pair[1])
    seen: list[Any] = []

    def choose(obj: Any, name: str | None, context: Any) -> None:
        seen.append((name, context is server, obj.server_side))
        if name == "other.example":
            obj.context = other

    server.sni_callback = choose
    wire = Wire(contexts.client(pair[0], version=version), server, server_hostname="other.example").handshake()
    assert wire.client.getpeercert()["subjectAltName"] == (("DNS", "other.example"),)
    assert wire.server.context is other
    Wire(contexts.client(pair[0], version=version), server).handshake()
    assert seen == [("other.example", True, True), (HOST, True, True)]


def test_a_swapped_context_brings_its_alpn(contexts: Contexts, pair: Pair) -> None:
    other, server = contexts.server(pair[1], alpn=["h2"]), contexts.server(pair[1], alpn=["http/1.1"])

    def choose(obj: Any, name: str | None, context: Any) -> None:
        obj.context = other

    server.sni_callback = choose
    wire = Wire(contexts.client(pair[0], alpn=["http/1.1", "h2"]), server).handshake()
    assert wire.client.selected_alpn_protocol() == wire.server.selected_alpn_protocol() == "h2"


def test_sni_callback_hears_of_no_name(contexts: Contexts, pair: Pair) -> None:
    server = contexts.server(pair[1])
    seen: list[str | None] = []
    server.sni_callback = lambda obj, name, context: seen.append(name)
    Wire(contexts.client(pair[0]), server, server_hostname="127.0.0.1").handshake()
    assert seen == [None]


def test_sni_callback_may_refuse(contexts: Contexts, pair: Pair) -> None:
    server = contexts.server(pair[1])
    server.sni_callback = lambda obj, name, context: ssl.ALERT_DESCRIPTION_ACCESS_DENIED
    failed = Wire(contexts.client(pair[0]), server).failures()
    assert getattr(failed["client"], "reason", "") == "TLSV1_ALERT_ACCESS_DENIED"
    assert getattr(failed["server"], "reason", "") == "CALLBACK_FAILED"


@pytest.mark.parametrize(("answer", "alert"), [("nonsense", "TLSV1_ALERT_INTERNAL_ERROR"), (None, "SSLV3_ALERT_HANDSHAKE_FAILURE")])
def test_sni_callback_may_fail(contexts: Contexts, pair: Pair, answer: Any, alert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server, told = contexts.server(pair[1]), []
    monkeypatch.setattr("sys.unraisablehook", lambda what: told.append(what.exc_type))

    def fail(obj: Any, name: str | None, context: Any) -> Any:
        if answer is None:
            raise ZeroDivisionError
        return answer

    server.sni_callback = fail
    failed = Wire(contexts.client(pair[0]), server).failures()
    assert getattr(failed["client"], "reason", "") == alert
    assert told[0] in (ZeroDivisionError, TypeError)


def test_a_connection_that_asked_for_its_context_is_freed(contexts: Contexts) -> None:
    import gc
    import weakref

    server = contexts.server("ours")
    server.sni_callback = lambda obj, name, context: None
    gc.collect()
    gc.disable()
    try:
        wire = Wire(contexts.client("ours"), server).handshake()
        alive = weakref.ref(wire.server)
        del wire
        assert alive() is None
    finally:
        gc.enable()


# sessions ---------------------------------------------------------------------------------------------------------------


def test_sessions(contexts: Contexts, pair: Pair, version: str) -> None:
    client, server = contexts.client(pair[0], version=version), contexts.server(pair[1])
    first = Wire(client, server).handshake()
    first.settle()
    session = first.client.session
    assert not first.client.session_reused
    assert session.has_ticket
    assert session.timeout > 0
    assert session.ticket_lifetime_hint > 0
    assert abs(session.time - datetime.datetime.now().timestamp()) < 60
    assert len(session.id) == 32
    assert session == first.client.session
    again = Wire(client, server, session=session).handshake()
    assert again.client.session_reused
    assert again.server.session_reused
    assert again.client.getpeercert()["subjectAltName"][0] == ("DNS", HOST)
    assert again.say(b"data") == b"data"
    assert not Wire(client, server).handshake().client.session_reused


def test_session_rules(contexts: Contexts) -> None:
    for kind in ("ours", "stdlib"):
        client, server = contexts.client(kind, version="1.2"), contexts.server("ours")
        wire = Wire(client, server).handshake()
        session = wire.client.session
        with pytest.raises(ValueError, match="different SSLContext"):
            Wire(contexts.client(kind), server, session=session)
        with pytest.raises(TypeError, match="not a SSLSession"):
            Wire(client, server, session=object())
        with pytest.raises(ValueError, match="after handshake"):
            wire.client.session = session
        late = Wire(client, server)
        late.client.session = session
        assert late.handshake().client.session_reused


def test_no_tickets(contexts: Contexts, version: str) -> None:
    client = contexts.client("ours", version=version)
    server = contexts.server("ours", options=contexts.server("ours").options | ssl.OP_NO_TICKET)
    wire = Wire(client, server).handshake()
    wire.settle()
    session = wire.client.session
    assert (session is None) == (version == "1.3")
    if session is not None:  # TLS 1.2 has session IDs
        assert not session.has_ticket
        assert Wire(client, server, session=session).handshake().client.session_reused


def test_number_of_tickets(contexts: Contexts) -> None:
    wire = Wire(contexts.client("ours"), contexts.server("ours", num_tickets=0)).handshake()
    wire.settle()
    assert wire.client.session is None


def test_statistics(contexts: Contexts) -> None:
    client, server = contexts.client("ours"), contexts.server("ours")
    assert set(client.session_stats()) == set(contexts.client("stdlib").session_stats())
    wire = Wire(client, server).handshake()
    wire.settle()
    Wire(client, server, session=wire.client.session).handshake()
    assert (client.session_stats()["connect"], client.session_stats()["connect_good"], client.session_stats()["hits"]) == (2, 2, 1)
    assert (server.session_stats()["accept"], server.session_stats()["accept_good"], server.session_stats()["hits"]) == (2, 2, 1)


# versions, ciphers, groups ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["maximum", "option"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the standard library's, about the option
def test_versions(contexts: Contexts, pair: Pair, how: str) -> None:
    client = contexts.client(pair[0])
    if how == "maximum":
        client.maximum_version = ssl.TLSVersion.TLSv1_2
    else:
        client.options |= ssl.OP_NO_TLSv1_3
    wire = Wire(client, contexts.server(pair[1])).handshake()
    assert wire.client.version() == "TLSv1.2"
    failed = Wire(client, contexts.server(pair[1], version="1.3")).failures()
    assert getattr(failed["server"], "reason", "") == "UNSUPPORTED_PROTOCOL"
    assert getattr(failed["client"], "reason", "") == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_version_left(contexts: Contexts, kind: str) -> None:
    client = contexts.client(kind)
    client.options |= ssl.OP_NO_TLSv1_3 | ssl.OP_NO_TLSv1_2
    wire = Wire(client, contexts.server("ours"))
    with pytest.raises(ssl.SSLError) as caught:
        wire.client.do_handshake()
    assert caught.value.reason == "NO_PROTOCOLS_AVAILABLE"


def test_ciphers(contexts: Contexts, pair: Pair) -> None:
    client = contexts.client(pair[0], version="1.2")
    client.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    wire = Wire(client, contexts.server(pair[1])).handshake()
    assert wire.client.cipher() == wire.server.cipher() == ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2", 256)
    assert [each["name"] for each in client.get_ciphers()][-1] == "ECDHE-ECDSA-CHACHA20-POLY1305"
    server = contexts.server(pair[1])
    server.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    failed = Wire(client, server).failures()
    assert getattr(failed["server"], "reason", "") == "NO_SHARED_CIPHER"


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_no_cipher(contexts: Contexts, kind: str) -> None:
    with pytest.raises(ssl.SSLError, match=r"No cipher can be selected\."):
        contexts.client(kind).set_ciphers("NONSENSE")


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "X25519"])
def test_curves(contexts: Contexts, pair: Pair, version: str, curve: str) -> None:
    server = contexts.server(pair[1])
    server.set_ecdh_curve(curve)
    wire = Wire(contexts.client(pair[0], version=version), server).handshake()
    for side, kind in ((wire.client, pair[0]), (wire.server, pair[1])):
        if kind == "ours":
            expected = {"prime256v1": "secp256r1", "X25519": "x25519"}.get(curve, curve)
            assert side._sslobj._connection.info.group == expected


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_unknown_curves(contexts: Contexts, kind: str) -> None:
    with pytest.raises(ValueError, match="unknown elliptic curve name"):
        contexts.server(kind).set_ecdh_curve("nonsense")
    with pytest.raises(TypeError):
        contexts.server(kind).set_ecdh_curve(None)


# CRLs, strictness, partial chains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
@pytest.mark.parametrize("flag", [ssl.VERIFY_CRL_CHECK_LEAF, ssl.VERIFY_CRL_CHECK_CHAIN])
def test_crls(files: Files, contexts: Contexts, kind: str, flag: Any) -> None:
    authority = Authority.create("with a list", intermediate=False)
    good, bad = authority.issue(HOST), authority.issue(HOST)
    client = contexts.client(kind)
    client.load_verify_locations(cadata=authority.root_pem().decode())
    client.verify_flags |= flag
    server = contexts.server("ours", cert=files.issued("crl-good", good))
    failed = Wire(client, server).failures()["client"]
    assert isinstance(failed, ssl.SSLCertVerificationError)
    assert (failed.verify_code, failed.verify_message) == (3, "unable to get certificate CRL")
    client.load_verify_locations(files.write("list.pem", authority.crl(bad)))
    Wire(client, server).handshake()
    failed = Wire(client, contexts.server("ours", cert=files.issued("crl-bad", bad))).failures()["client"]
    assert isinstance(failed, ssl.SSLCertVerificationError)
    assert (failed.verify_code, failed.verify_message) == (23, "certificate revoked")
    assert client.cert_store_stats()["crl"] == 1


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_partial_chains(files: Files, contexts: Contexts, kind: str) -> None:
    """A trusted certificate that is no root ends a path only where that is asked for."""
    authority = Authority.create("with an intermediate")
    server = contexts.server("ours", cert=files.issued("below", authority.issue(HOST)))
    between = authority.chain_pem().split(b"-----END CERTIFICATE-----")[0] + b"-----END CERTIFICATE-----\n"
    client = ours.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if kind == "ours" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=between.decode())
    failed = Wire(client, server).failures()["client"]
    assert isinstance(failed, ssl.SSLCertVerificationError)
    assert failed.verify_code in (2, 20)
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    Wire(client, server).handshake()


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_intermediates_in_the_store_help(files: Files, contexts: Contexts, kind: str) -> None:
    authority = Authority.create("above")
    issued = authority.issue(HOST)
    leaf = issued.chain_pem().split(b"-----END CERTIFICATE-----")[0] + b"-----END CERTIFICATE-----\n"
    server = contexts.server("ours", cert=(files.write("leaf.pem", leaf), files.write("leaf.key", issued.key_pem())))
    client = contexts.client(kind)
    client.load_verify_locations(cadata=authority.root_pem().decode())
    assert isinstance(Wire(client, server).failures()["client"], ssl.SSLCertVerificationError)
    client.load_verify_locations(cadata=authority.chain_pem().decode())
    Wire(client, server).handshake()


# keys and secrets -------------------------------------------------------------------------------------------------------


def test_key_log(contexts: Contexts, pair: Pair, version: str, tmp_path: Path) -> None:
    client = contexts.client(pair[0], version=version, keylog_filename=str(tmp_path / "client"))
    server = contexts.server(pair[1], keylog_filename=str(tmp_path / "server"))
    Wire(client, server).handshake()
    lines = [
        {line for line in (tmp_path / name).read_text().splitlines() if not line.startswith("#")} for name in ("client", "server")
    ]
    assert lines[0] == lines[1]
    assert len(lines[0]) == (1 if version == "1.2" else 5)


def test_the_environment_names_a_key_log(contexts: Contexts, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "log"))
    context = ours.create_default_context(cafile=files.ca)
    monkeypatch.delenv("SSLKEYLOGFILE")
    assert context.keylog_filename == str(tmp_path / "log")
    Wire(context, contexts.server("ours")).handshake()
    assert "CLIENT_TRAFFIC_SECRET_0" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("tls", ["1.3", "1.2"])
def test_external_keys(tls: str) -> None:
    key = os.urandom(32)
    client, server = ours.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ours.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    for context in (client, server):
        context.set_ciphers("PSK")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3 if tls == "1.3" else ssl.TLSVersion.TLSv1_2
    hints: list[Any] = []
    client.set_psk_client_callback(lambda hint: (hints.append(hint), ("me", key))[1])
    asked: list[Any] = []
    server.set_psk_server_callback(lambda identity: (asked.append(identity), key)[1], "whose?")
    wire = Wire(client, server).handshake()
    assert wire.say(b"hush") == b"hush"
    assert wire.server.getpeercert() is None
    assert asked[-1] == "me"
    assert hints[-1] == (None if tls == "1.3" else "whose?")
    server.set_psk_server_callback(lambda identity: b"")
    assert Wire(client, server).failures()
    server.set_psk_server_callback(None)
    with pytest.raises(TypeError):
        client.set_psk_client_callback(3)
    with pytest.raises(ssl.SSLError):
        server.set_psk_client_callback(lambda hint: ("me", key))
    with pytest.raises(ssl.SSLError):
        client.set_psk_server_callback(lambda identity: key)


# other ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_a_peer_that_speaks_no_tls(contexts: Contexts, kind: str) -> None:
    wire = Wire(contexts.client(kind), contexts.server("ours"))
    with pytest.raises(ssl.SSLWantReadError):
        wire.client.do_handshake()
    wire.to_client.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError) as caught:
        wire.client.do_handshake()
    assert caught.value.reason == "WRONG_VERSION_NUMBER"


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_a_damaged_record(contexts: Contexts, kind: str) -> None:
    wire = connect(contexts, (kind, "ours"))
    wire.settle()
    wire.server.write(b"good")
    wire.server.write(b"bad")
    data = bytearray(wire.from_server.read())
    data[-1] ^= 1
    wire.to_client.write(data)
    assert wire.client.read(4) == b"good"
    with pytest.raises(ssl.SSLError) as caught:
        wire.client.read(4)
    assert caught.value.reason == "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
    wire.carry()
    with pytest.raises(ssl.SSLError) as told:
        wire.server.read(4)
    assert told.value.reason == "SSLV3_ALERT_BAD_RECORD_MAC"
    with pytest.raises(ssl.SSLError):
        wire.client.read(4)


def test_an_error_behind_data_is_told_of(contexts: Contexts) -> None:
    wire = connect(contexts, ("ours", "ours"))
    wire.settle()
    wire.server.write(b"good")
    wire.to_client.write(wire.from_server.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert wire.client.read(1) == b"g"
    assert wire.client.read(10) == b"ood"
    assert wire.client.pending() + wire.to_client.pending > 0
    with pytest.raises(ssl.SSLError):
        wire.client.read(1)


@pytest.mark.parametrize("kind", ["ours", "stdlib"])
def test_roles(contexts: Contexts, kind: str) -> None:
    bio = ssl.MemoryBIO
    with pytest.raises(ssl.SSLError, match="Cannot create a client socket with a PROTOCOL_TLS_SERVER context"):
        contexts.server(kind).wrap_bio(bio(), bio())
    with pytest.raises(ssl.SSLError, match="Cannot create a server socket with a PROTOCOL_TLS_CLIENT context"):
        contexts.client(kind).wrap_bio(bio(), bio(), server_side=True)
    with pytest.raises(TypeError, match="must be a SSLContext"):
        Wire(contexts.client(kind), contexts.server(kind)).client.context = object()


def test_contexts_of_native_configurations(contexts: Contexts, files: Files) -> None:
    credential = minitls.Credential.from_files(*files.issue("server"))
    server = ours.context_from(ServerConfig(credentials=(credential,), alpn=("h2",)))
    client = ours.context_from(
        ClientConfig(trust=files.authority.trust(), policy=Policy.modern.replace(groups=("secp384r1",)), alpn=("h2",))
    )
    assert (client.check_hostname, client.verify_mode, client.minimum_version) == (True, ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_3)
    wire = Wire(client, server).handshake()
    assert wire.client.selected_alpn_protocol() == "h2"
    assert wire.client._sslobj._connection.info.group == "secp384r1"
    client.set_alpn_protocols(["http/1.1", "h2"])  # as libraries do with what they are given
    server.set_alpn_protocols(["http/1.1"])
    wire = Wire(client, server).handshake()
    assert wire.client.selected_alpn_protocol() == "http/1.1"
    assert wire.client._sslobj._connection.info.group == "secp384r1"
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    Wire(client, server, server_hostname="anybody").handshake()


def test_an_answer_that_must_be_awaited_is_an_error(files: Files) -> None:
    credential = minitls.Credential.from_files(*files.issue("server"))

    async def sign(scheme: Any, data: bytes) -> bytes:
        raise AssertionError("nobody awaits this")

    slow = minitls.Credential(credential.chain, signer=sign)
    server = ours.context_from(ServerConfig(credentials=(slow,)))
    failed = Wire(ours.create_default_context(cafile=files.ca), server).failures()
    assert "has to be awaited" in str(failed["server"])


def test_one_configuration_until_something_changes(contexts: Contexts) -> None:
    context = contexts.client("ours")
    assert context._config(False) is context._config(False)
    before = context._config(False)
    context.set_alpn_protocols(["h2"])
    assert context._config(False) is not before


def test_objects_are_freed_at_once(contexts: Contexts) -> None:
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        wire = connect(contexts, ("ours", "ours"))
        wire.settle()
        alive = [weakref.ref(side) for side in (wire.client, wire.server)]
        del wire
        assert [each() for each in alive] == [None, None]
    finally:
        gc.enable()


def test_objects_of_many_threads(contexts: Contexts) -> None:
    """A context is made once and used everywhere."""
    client, server = contexts.client("ours"), contexts.server("ours")
    failed: list[BaseException] = []

    def run() -> None:
        try:
            for _ in range(5):
                assert Wire(client, server).handshake().say(b"data") == b"data"
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_every_pair_is_run() -> None:
    assert len(PAIRS) == 3
