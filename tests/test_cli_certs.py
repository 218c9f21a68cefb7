"""``minitls certs make`` and ``certs show``: what they write, print and refuse."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from minitls.certificates.authority import KEYS
from minitls.certificates.credentials import Credential
from minitls.certificates.devpki import LEAF_KINDS, DevPki, authority_in, make_dev_pki
from minitls.cli import main
from minitls.cli.certs import certificates_in, remarks
from minitls.cli.common import CERTIFICATE, DONE, NOT_CONNECTED, NOT_RESOLVED, TLS, USAGE
from minitls.cli.install import NICKNAME, ways
from tests.chains import DAY, HOST, NOW, Made, ca, leaf, make, sign_with_openssl
from tests.running import Serving, run, serving


@pytest.fixture(scope="module")
def devpki(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    return make_dev_pki(tmp_path_factory.mktemp("pki") / "certs")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def certs(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = DONE) -> str:
    """What ``minitls certs`` prints: to stdout if it did what was asked, to stderr if it is a sentence."""
    found = main(["certs", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert found == status, out + err
    assert (out + err).replace("\n", "").isprintable()
    return out if status in (DONE, CERTIFICATE) else err


# make -----------------------------------------------------------------------------------------------------------------------


def test_make(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name: the whole PKI in ./certs, each file told."""
    out = certs(capsys, "make")
    files = {file.name for file in (here / "certs").iterdir()}
    assert {f"localhost-{kind}.pem" for kind in LEAF_KINDS} < files
    told = {line.split()[0].rstrip(",") for line in out.splitlines()}
    assert told == {f"certs/{name}" for name in files if name.endswith(".pem")}
    assert re.search(r"^certs/root\.pem +the root: trust this one$", out, re.MULTILINE)
    assert re.search(r"^certs/expired\.pem, \.key +bad: ", out, re.MULTILINE)
    root = (here / "certs" / "root.pem").read_bytes()
    certs(capsys, "make")
    assert (here / "certs" / "root.pem").read_bytes() == root


def test_make_a_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = certs(capsys, "make", "dev.example", "*.dev.example", "192.0.2.7", "::1", "--days", "9")
    assert "certs/dev.example.pem" in out
    assert "certs/root.pem" in out
    credential = Credential.from_files("certs/dev.example.pem", "certs/dev.example.key")
    assert credential.names == ("dev.example", "*.dev.example", "192.0.2.7", "::1")
    assert stat.S_IMODE((here / "certs" / "dev.example.key").stat().st_mode) == 0o600
    assert credential.leaf.not_valid_after_utc - credential.leaf.not_valid_before_utc == 9 * DAY
    assert len(authority_in("certs").trust().verify(credential.chain, "a.dev.example")) == 3


@pytest.mark.parametrize("kind", KEYS)
def test_make_each_kind(kind: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certs(capsys, "make", "a.example", "--key-type", kind, "--out", "there")
    stem = "a.example" if kind == "p256" else f"a.example-{kind}"
    assert Credential.from_files(f"there/{stem}.pem", f"there/{stem}.key").schemes
    assert not (here / "certs").exists()


def test_make_a_client(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certs(capsys, "make", "--client", "alice@dev.example")
    credential = Credential.from_files("certs/alice@dev.example.pem", "certs/alice@dev.example.key")
    assert len(authority_in("certs").trust().verify_client(credential.chain)) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("make", "a_b.example"), "has an underscore"),
        (("make", "a b"), "'a b' cannot be the name of a certificate"),
        (("make", "\x1b[2J"), "cannot be the name of a certificate"),
        (("make", "root"), "the CA's own files"),
        (("make", "a.example", "--days", "0"), "at least one day"),
        (("make", "a.example", "--days", "many"), "--days"),
        (("make", "a.example", "--key-type", "p265"), "did you mean p256?"),
        (("make", "--client"), "go with a NAME"),
        (("make", "--days", "3"), "go with a NAME"),
        (("make", "--out", "file"), "file"),
        (("make", "--out", "file/certs", "a.example"), "file/certs"),
        (("make", "a.example", "--what"), "--what"),
        ((), "make | show"),
        (("mkae",), "did you mean make?"),
        (("show",), "FILE | HOST[:PORT]"),
        (("show", "missing.pem"), "cannot read missing.pem: no such file or directory"),
        (("show", "no/such/thing"), "cannot read no/such/thing"),
        (("show", "."), "cannot read .: is a directory"),
        (("show", "file"), "file holds no certificate, neither in PEM nor in DER"),
        (("show", "key.pem"), "holds a private key and no certificate"),
        (("show", "damaged.pem"), "damaged.pem holds no certificate in PEM that can be read"),
        (("show", "leaf.pem", "--ca", "file"), "file holds no certificate"),
        (("show", "leaf.pem", "--ca", "missing"), "cannot read missing"),
        (("show", "leaf.pem", "--sni", "a_b"), "an underscore"),
        (("show", "a:b:c:d", "--timeout", "-1"), "no number of seconds"),
        (("show", "localhost:port"), "is no HOST:PORT"),
    ],
)
def test_usage(arguments: Sequence[str], says: str, here: Path, devpki: DevPki, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence on stderr, and perhaps a hint; exit status 2."""
    entry = devpki.entries["client"]
    (here / "file").write_bytes(b"\x00\x01")
    (here / "leaf.pem").write_bytes(entry.certificate.read_bytes())
    (here / "damaged.pem").write_bytes(entry.certificate.read_bytes().replace(b"MII", b"MIJ", 1))
    assert entry.key is not None
    (here / "key.pem").write_bytes(entry.key.read_bytes())
    err = certs(capsys, *arguments, status=USAGE)
    assert says in err
    assert err.startswith("minitls: ")
    assert 1 <= len(err.splitlines()) <= 2


# show a file ----------------------------------------------------------------------------------------------------------------


def test_show(devpki: DevPki, capsys: pytest.CaptureFixture[str]) -> None:
    """Each certificate, in the order of the file, by everything that people ask for."""
    entry = devpki.entries["localhost-rsa2048"]
    chain = x509.load_pem_x509_certificates(entry.certificate.read_bytes())
    out = certs(capsys, "show", entry.certificate)
    first, second = out.split("certificate 2 of 2")
    assert first.startswith("certificate 1 of 2\n")
    leaf_facts = {"subject": "CN=localhost", "names": "localhost, 127.0.0.1, ::1", "key": "RSA 2048", "for": "TLS servers"}
    ca_facts = {"issuer": "CN=minitls development CA", "names": "none", "for": "a CA, with at most 0 CAs below it"}
    for part, certificate, facts in ((first, chain[0], leaf_facts), (second, chain[1], ca_facts)):
        shown = dict(re.findall(r"^  (\S+(?: \S+)*)  +(\S.*)$", part, re.MULTILINE))
        assert facts.items() <= shown.items()
        assert shown["signature"] == "ecdsa-with-SHA256"
        assert shown["SHA-256"] == certificate.fingerprint(hashes.SHA256()).hex()
        assert shown["serial number"] == f"{certificate.serial_number:x}"
        assert f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC" in shown["valid"]
        assert re.search(r"\(39[56] days left\)|\(3,64\d days left\)", shown["valid"])


def test_show_der(devpki: DevPki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "leaf.der").write_bytes(devpki.credential("client").chain[0])
    out = certs(capsys, "show", tmp_path / "leaf.der")
    assert "certificate 1 of 1" in out
    assert "TLS clients" in out


def test_show_dates(tmp_path: Path, devpki: DevPki, capsys: pytest.CaptureFixture[str]) -> None:
    assert "(expired 1 day ago)" in certs(capsys, "show", devpki.entries["expired"].certificate)
    write(tmp_path / "soon.pem", make(HOST, begin=NOW + DAY))
    assert "(not yet)" in certs(capsys, "show", tmp_path / "soon.pem")


def test_show_is_harmless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No name moves the cursor or makes a line of its own; an odd certificate is shown as far as it goes."""
    hostile = "\x1b[2J\r\nminitls: trusted \u202e"
    names = ["dns:" + "\x1b[31m\n.example", "uri:http://\x07", *(f"h{number}.example" for number in range(300))]
    write(tmp_path / "hostile.pem", make(hostile, names=names), ca(hostile))
    out = certs(capsys, "show", tmp_path / "hostile.pem")
    assert "\\x1b[2J\\r\\nminitls: trusted \\u202e" in out
    assert "and 252 more" in out
    certs(capsys, "show", tmp_path / "hostile.pem", "--ca", tmp_path / "hostile.pem", "--sni", HOST, status=CERTIFICATE)


def test_show_what_is_odd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Serial number 0 without a warning; and what is inside out, as far as it goes."""
    made = sign_with_openssl(tmp_path, ca("root"), serial=0)
    write(tmp_path / "zero.pem", made)
    assert re.search(r"serial number +0$", certs(capsys, "show", tmp_path / "zero.pem"), re.MULTILINE)
    twice = leaf(ca("root")).der.replace(b"\x06\x03\x55\x1d\x0e", b"\x06\x03\x55\x1d\x11")  # two subjectAltNames
    (tmp_path / "twice.der").write_bytes(twice)
    out = certs(capsys, "show", tmp_path / "twice.der")
    assert "bytes that are no certificate" in out
    assert hashlib.sha256(twice).hexdigest() in out


def test_show_and_verify(devpki: DevPki, capsys: pytest.CaptureFixture[str]) -> None:
    """With --ca or --sni a file's chain is verified too: the verdict, the remedy, and 60."""
    root = devpki.folder / "root.pem"
    good = certs(capsys, "show", devpki.entries["localhost-p256"].certificate, "--ca", root, "--sni", "localhost")
    assert "trusted for localhost, vouched for by minitls development CA" in good
    bad = certs(capsys, "show", devpki.entries["other-name"].certificate, "--ca", root, "--sni", "localhost", status=CERTIFICATE)
    assert "is not for localhost: it is for other.example" in bad
    own = certs(capsys, "show", devpki.entries["self-signed"].certificate, "--ca", root, status=CERTIFICATE)
    assert "is signed by itself" in own
    assert "trust this very certificate" in own


def write(path: Path, *made: Made) -> None:
    path.write_bytes(b"".join(each.certificate.public_bytes(Encoding.PEM) for each in made))


# chains in words --------------------------------------------------------------------------------------------------------------


def chain_of_four() -> list[Made]:
    root = ca("root")
    a = ca("a", root)
    b = ca("b", a)
    return [leaf(b), b, a, root]


FOUR = chain_of_four()
ORDERS: dict[str, tuple[list[Made], list[str]]] = {
    "in order": (FOUR, []),
    "without the root": (FOUR[:3], []),
    "one": (FOUR[:1], []),
    "none": ([], []),
    "swapped": (
        [FOUR[0], FOUR[2], FOUR[1]],
        ["number 2 is not the issuer of number 1: that is number 3, out of order", "number 3 is not the issuer of number 2"],
    ),
    "leaf last": ([FOUR[1], FOUR[0]], ["number 2 is a leaf: it has to come first", "number 2 is not the issuer of number 1"]),
    "a gap": ([FOUR[0], FOUR[2]], ["number 2 is not the issuer of number 1, which is missing: CN=b"]),
    "twice": ([FOUR[0], FOUR[0]], ["number 2 is a leaf", "number 2 is the same as number 1"]),
    "after the root": ([*FOUR, FOUR[1]], ["number 4 is signed by itself: number 5 has no place after it"]),
    "another key": ([FOUR[0], ca("b")], ["number 2 has the name of the issuer of number 1, but the signature of"]),
    "roots": ([ca("x"), ca("y")], []),
}


@pytest.mark.parametrize("order", ORDERS)
def test_order(order: str) -> None:
    chain, expected = ORDERS[order]
    found = remarks([each.der for each in chain])
    assert len(found) == len(expected), found
    for remark, begins in zip(found, expected, strict=True):
        assert remark.startswith(begins)


def test_order_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "chain.pem", FOUR[1], FOUR[0])
    assert "number 2 is a leaf: it has to come first" in certs(capsys, "show", tmp_path / "chain.pem")


def test_certificates_in() -> None:
    pem = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in FOUR)
    assert certificates_in(b"\xff\xfe a comment\n" + pem, "here") == [each.der for each in FOUR]


# show a server ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(devpki: DevPki) -> Iterator[Serving]:
    entry = devpki.entries["localhost-p256"]
    with serving("--www", "--cert", str(entry.certificate), "--key", str(entry.key)) as running:
        yield running


def test_show_server(server: Serving, devpki: DevPki, capsys: pytest.CaptureFixture[str]) -> None:
    """What it sends, whether that convinces or not; 0 if it does, else 60 and the reason."""
    address, root = f"127.0.0.1:{server.port}", devpki.folder / "root.pem"
    good = certs(capsys, "show", address, "--ca", root)
    assert "certificate 2 of 2" in good
    assert "trusted for 127.0.0.1, vouched for by minitls development CA" in good
    assert "trusted for localhost" in certs(capsys, "show", address, "--ca", root, "--sni", "localhost")
    other = certs(capsys, "show", address, "--ca", root, "--sni", "other.example", status=CERTIFICATE)
    assert "is not for other.example" in other
    assert "certificate 2 of 2" in other
    stranger = certs(capsys, "show", address, "--ca", devpki.entries["self-signed"].certificate, status=CERTIFICATE)
    assert "nobody whom we trust issued the certificate of CN=minitls development CA (intermediate)" in " ".join(stranger.split())


def test_show_server_that_is_none(server: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    err = certs(capsys, "show", "127.0.0.1:1", status=NOT_CONNECTED)
    assert "connection refused" in err
    assert "not found" in certs(capsys, "show", "no.such.host.invalid", status=NOT_RESOLVED)


def test_as_a_program(tmp_path: Path) -> None:
    """With warnings as errors, in a folder of its own."""
    made = run("certs", "make", "dev.example", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (DONE, b"")
    shown = run("certs", "show", "certs/dev.example.pem", "--ca", "certs/root.pem", "--sni", "dev.example", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (DONE, b"")
    assert b"trusted for dev.example" in shown.stdout
    assert run("certs", "make", "--help").returncode == DONE


def test_statuses_are_apart() -> None:
    assert len({DONE, USAGE, NOT_RESOLVED, NOT_CONNECTED, TLS, CERTIFICATE}) == 6


# a CA of one's own --------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's CA will be."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path / "data" / "minitls" / "ca"


def test_the_users_own_ca(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Made when it is asked for, for its owner's eyes only; what it signs lies elsewhere."""
    assert main(["certs", "install"]) == 0
    said = capsys.readouterr().out
    assert "update-ca-certificates" in said or "update-ca-trust" in said
    assert f"export SSL_CERT_FILE={own}/root.pem" in said
    assert (own / "intermediate.key").stat().st_mode & 0o077 == 0
    root = (own / "root.pem").read_bytes()
    out = tmp_path / "out"
    assert main(["certs", "make", "--local", "dev.example", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["dev.example.key", "dev.example.pem"]
    assert (own / "root.pem").read_bytes() == root
    shown = ["certs", "show", str(out / "dev.example.pem"), "--ca", str(own / "root.pem"), "--sni", "dev.example"]
    assert main(shown) == 0


def test_serve_uses_the_users_own_ca(own: Path, tmp_path: Path) -> None:
    with serving("--echo", "--dev", cwd=tmp_path, XDG_DATA_HOME=str(own.parents[1])) as server:
        assert server.ca != str(own / "root.pem")
    assert main(["certs", "install"]) == 0
    with serving("--echo", "--dev", cwd=tmp_path, XDG_DATA_HOME=str(own.parents[1])) as server:
        assert server.ca == str(own / "root.pem")


def test_the_ca_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "install", "--dir", str(tmp_path)]) == USAGE
    assert "certs make --out" in capsys.readouterr().err
    assert main(["certs", "make", "--local"]) == USAGE
    assert main(["certs", "make", "dev.example", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["certs", "install", "--dir", str(tmp_path)]) == 0
    assert str(tmp_path / "root.pem") in capsys.readouterr().out


def test_how_each_system_trusts() -> None:
    root = Path("/home/a b/ca/root.pem")
    mac = [command for way in ways(root, "darwin") for command in (*way.commands, *way.undo)]
    assert any("security add-trusted-cert" in command and "'/home/a b/ca/root.pem'" in command for command in mac)
    windows = [command for way in ways(root, "win32") for command in way.commands]
    assert any(command.startswith("certutil -user -addstore Root") for command in windows)
    linux = [way.who for way in ways(root, "linux", Path("/nonexistent"))]
    assert {"this system (Debian, Ubuntu, Alpine)", "this system (Fedora, RHEL)", "Chromium and Chrome"} <= set(linux)


@pytest.mark.skipif(shutil.which("certutil") is None, reason="no certutil of NSS here")
def test_the_command_for_chromium_works(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a store of its own, in a home of its own."""
    assert main(["certs", "install"]) == 0
    (way,) = [way for way in ways(own / "root.pem") if way.who == "Chromium and Chrome"]
    env = {**os.environ, "HOME": str(tmp_path)}
    (tmp_path / ".pki" / "nssdb").mkdir(parents=True)
    subprocess.run("certutil -d sql:$HOME/.pki/nssdb -N --empty-password", shell=True, check=True, env=env)
    for commands, there in ((way.commands, True), (way.undo, False)):
        for command in commands:
            subprocess.run(command, shell=True, check=True, env=env)
        listed = subprocess.run("certutil -d sql:$HOME/.pki/nssdb -L", shell=True, check=True, env=env, capture_output=True)
        assert (NICKNAME.encode() in listed.stdout) is there
