"""--trace=FORM, --html, --pcapng, --save-run, --secrets and ``minitls show``: each command writes what it is asked for."""

from __future__ import annotations

import json
import re
import stat
import time
from pathlib import Path

import jsonschema
import pytest

from minitls.cli import main
from minitls.cli.outputs import numbered, write_numbered
from minitls.trace.run import load
from tests.running import LIMIT, run, serving
from tests.test_trace_html import read
from tests.test_trace_pcapng import blocks, needs_tshark, tshark
from tests.test_trace_runs import VALIDATOR

DSB = 10


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def has_secrets(path: Path) -> bool:
    return DSB in [kind for kind, _ in blocks(path.read_bytes())]


def wait_for_file(path: Path) -> bytes:
    """A server writes when its connection is over, which is after ours."""
    until = time.monotonic() + LIMIT
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.05)
    return path.read_bytes()


def test_connect_writes_everything_and_show_shows_it(tmp_path: Path) -> None:
    page, capture, saved = tmp_path / "run.html", tmp_path / "run.pcapng", tmp_path / "run.json"
    with serving("--dev", "--www", cwd=tmp_path) as server:
        done = run(
            "connect", server.address, "--ca", server.ca, "--summary",
            "--html", str(page), "--pcapng", str(capture), "--save-run", str(saved),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = page.read_text("utf-8")
    assert "really is localhost" in read(document).text
    assert mode(capture) == 0o600
    assert has_secrets(capture)
    assert not load(saved.read_bytes())[0].recording.key_log, "nobody asked to keep them"

    again, another = tmp_path / "again.html", tmp_path / "again.pcapng"
    shown = run("show", str(saved), "--html", str(again), "--pcapng", str(another))
    assert shown.returncode == 0
    assert shown.stdout == b""
    assert b"without --secrets" in shown.stderr
    assert again.read_text("utf-8") == document
    assert not has_secrets(another)
    told = run("show", str(saved)).stdout.decode()
    assert "The server chooses" in told
    assert "really is localhost" in told
    assert "legacy_version" in run("show", str(saved), "--trace=wire").stdout.decode()
    assert "= Derive-Secret(Handshake Secret" in run("show", str(saved), "--trace=keys").stdout.decode()
    found = json.loads(run("show", str(saved), "--json").stdout)
    VALIDATOR.validate(found)
    assert found["bytes"]["sent"] > 0


def test_a_run_that_failed_is_written_all_the_more(tmp_path: Path) -> None:
    page, saved = tmp_path / "run.html", tmp_path / "run.json"
    with serving("--dev", cwd=tmp_path) as server:
        done = run("connect", server.address, "--html", str(page), "--save-run", str(saved))
    assert done.returncode == 60
    assert "No connection came to be." in read(page.read_text("utf-8")).text
    assert "Alert: unknown_ca" in run("show", str(saved), "--trace").stdout.decode()
    assert json.loads(run("show", str(saved), "--json").stdout)["error"]["alert"] == "unknown_ca"


def test_secrets_are_kept_and_shown_for_who_asks(tmp_path: Path) -> None:
    saved, page, capture = tmp_path / "run.json", tmp_path / "run.html", tmp_path / "run.pcapng"
    done = run("demo", "--trace=keys", "--secrets", "--save-run", str(saved), "--html", str(page))
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "SECRETS ARE SHOWN" in text
    secret = re.search(r"(?m)^ +secret +([0-9a-f]{64})", text)
    assert secret is not None
    assert mode(saved) == mode(page) == 0o600
    assert secret[1] in saved.read_text()
    assert secret[1] in page.read_text("utf-8")
    shown = run("show", str(saved), "--trace=keys").stdout.decode()
    assert secret[1] not in shown
    assert "SECRETS" not in shown
    assert secret[1] in run("show", str(saved), "--trace=keys", "--secrets").stdout.decode()
    run("show", str(saved), "--pcapng", str(capture))
    assert has_secrets(capture)
    red = run("show", str(saved), "--trace=keys", "--secrets", FORCE_COLOR="1").stdout.decode()
    assert re.search(r"\x1b\[1;31m[^\x1b]*SECRETS ARE SHOWN", red)


def test_a_file_that_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    capture = tmp_path / "run.pcapng"
    capture.write_bytes(b"x" * 100_000)
    capture.chmod(0o644)
    assert run("demo", "--trace", "--pcapng", str(capture)).returncode == 0
    assert mode(capture) == 0o600
    assert len(list(blocks(capture.read_bytes()))) > 10


@needs_tshark
@pytest.mark.parametrize("more", [[], ["--tls", "1.2"], ["--early-data"], ["--resume", "--tls", "1.2"]], ids=" ".join)
def test_tshark_reads_the_demo(more: list[str], tmp_path: Path) -> None:
    capture = tmp_path / "run.pcapng"
    assert run("demo", "--trace", "--pcapng", str(capture), *more).returncode == 0
    assert tshark(capture, "-Y", "http.request", "-T", "fields", "-e", "http.request.uri") == ["/secret-wishes"]
    assert tshark(capture, "-Y", "_ws.malformed") == []


@needs_tshark
def test_both_connections_of_resume_are_in_the_capture(tmp_path: Path) -> None:
    client, server_ = tmp_path / "client.pcapng", tmp_path / "server.pcapng"
    (tmp_path / "page.txt").write_text("hello")
    with serving("--dev", ".", "--pcapng", str(server_), cwd=tmp_path) as server:
        arguments = ["connect", server.address, "--ca", server.ca, "--resume", "--summary", "--pcapng", str(client)]
        assert run(*arguments).returncode == 0
        done = run("get", f"https://{server.address}/page.txt", "--ca", server.ca)
        assert done.stdout == b"hello"
        server.wait_for(r"wrote .*server-3\.pcapng")
    assert tshark(client, "-Y", "tcp.flags.syn == 1 && tcp.flags.ack == 0", "-T", "fields", "-e", "tcp.stream") == ["0", "1"]
    uris = [tshark(tmp_path / f"server-{n}.pcapng", "-Y", "http", "-T", "fields", "-e", "http.request.uri") for n in (1, 2, 3)]
    assert [uri for each in uris for uri in each if uri] == ["/page.txt"]
    assert mode(tmp_path / "server-1.pcapng") == 0o600


def test_visitors_can_have_the_whole_page(tmp_path: Path) -> None:
    with serving("--dev", "--www", cwd=tmp_path) as server:
        done = run("get", f"https://{server.address}/handshake.html", "--ca", server.ca)
    found = read(done.stdout.decode())
    assert "Nobody between this server and its visitor" in found.text
    assert "encrypted_ record" in found.text


def test_serve_writes_a_file_for_each_connection(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("hello")
    with serving("--dev", ".", "--html", "run.html", "--save-run", "saved-%d-of-many.json", cwd=tmp_path) as server:
        for _ in range(2):
            assert run("get", f"https://{server.address}/page.txt", "--ca", server.ca).stdout == b"hello"
        server.wait_for(r"wrote saved-2-of-many\.json")
    for number in (1, 2):
        assert "Nobody between this server and its visitor" in read(wait_for_file(tmp_path / f"run-{number}.html").decode()).text
        (kept,) = load(wait_for_file(tmp_path / f"saved-{number}-of-many.json"))
        assert kept.recording.role == "server"
        assert kept.recording.bytes_on_wire(sent=True) > 500
    assert not (tmp_path / "run.html").exists()


def test_get_writes_it_beside_the_body(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("hello")
    page = tmp_path / "run.html"
    with serving("--dev", ".", cwd=tmp_path) as server:
        done = run("get", f"https://{server.address}/page.txt", "--ca", server.ca, "--trace=wire", "--html", str(page))
    assert done.stdout == b"hello"
    assert b"extension_type" in done.stderr
    assert "really is localhost" in read(page.read_text("utf-8")).text


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "--json-schema"]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_json_of_the_commands_follows_the_schema(tmp_path: Path) -> None:
    VALIDATOR.validate(json.loads(run("demo", "--json").stdout))
    with serving("--dev", "--www", cwd=tmp_path) as server:
        done = run("connect", server.address, "--ca", server.ca, "--json", "--resume")
        VALIDATOR.validate(json.loads(done.stdout))
        page = run("get", f"https://{server.address}/handshake.json", "--ca", server.ca)
        VALIDATOR.validate(json.loads(page.stdout))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["connect", "localhost", "--secrets"], "--secrets shows nothing by itself"),
        (["connect", "localhost", "--secrets", "--trace"], "--secrets shows nothing by itself"),
        (["demo", "--html", "/nonexistent/run.html"], "cannot write /nonexistent/run.html"),
        (["demo", "--pcapng", "/"], "cannot write /"),
        (["serve", "--dev", "--save-run", "/nonexistent/run"], "cannot write /nonexistent/run"),
        (["connect", "localhost", "--trace=wires"], "did you mean wire?"),
        (["show", "/nonexistent/run"], "cannot read /nonexistent/run"),
        (["show", "/dev/null"], "there is no saved run in /dev/null"),
    ],
)
def test_what_cannot_be_is_said_before(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_a_run_without_secrets_has_none_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "run.json"
    assert main(["demo", "--trace", "--save-run", str(saved)]) == 0
    assert main(["show", str(saved), "--trace=keys", "--secrets"]) == 2
    assert "save the run with --secrets" in capsys.readouterr().err


def test_numbers(tmp_path: Path) -> None:
    files = numbered("a/run.html")
    assert [str(next(files)) for _ in range(2)] == ["a/run-1.html", "a/run-2.html"]
    files = numbered("run-%d.%d")
    assert str(next(files)) == "run-1.1"
    (tmp_path / "run-1.html").write_text("somebody's")
    assert write_numbered(str(tmp_path / "run.html"), b"ours", private=True) == tmp_path / "run-2.html"
    assert (tmp_path / "run-1.html").read_text() == "somebody's"
    assert mode(tmp_path / "run-2.html") == 0o600
