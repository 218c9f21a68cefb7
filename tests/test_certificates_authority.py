"""The development CA: what it issues is taken by our verifier, by the web's, by OpenSSL and by Go; and the folder that it fills."""

from __future__ import annotations

import datetime
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import verification

from minitls.certificates.authority import KEYS, Authority, make_key, self_signed
from minitls.certificates.devpki import LEAF_KINDS, LOCAL, OTHER_NAME, DevPki, authority_in, file_name, issue_into, make_dev_pki
from minitls.certificates.trust import TrustStore
from minitls.errors import CertificateError, Misuse
from tests.chains import DAY, NOW, ca, openssl, openssl_verify

OPENSSL_KINDS = [kind for kind in KEYS if not kind.startswith("mldsa")]
"""OpenSSL 3.0 has no ML-DSA."""
WEB_KINDS = ("p256", "p384", "p521", "rsa2048", "rsa3072")
"""What the web's verifier takes in a CA."""
GO_KINDS = (*WEB_KINDS, "ed25519")
"""What Go checks the signatures of."""


@pytest.fixture(scope="module")
def authorities() -> dict[str, Authority]:
    return {kind: Authority.create(f"a CA with {kind}", key=kind) for kind in KEYS}


@pytest.fixture(scope="module")
def devpki(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    return make_dev_pki(tmp_path_factory.mktemp("pki") / "certs")


# what it issues -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KEYS)
def test_each_kind_is_verified(kind: str, authorities: dict[str, Authority], tmp_path: Path) -> None:
    """As the kind of the CA, and as the kind of the leaf, by us and by ``openssl verify -x509_strict``."""
    own, other = authorities[kind], authorities["p256"]
    for authority, issued in ((own, own.issue(*LOCAL)), (other, other.issue(*LOCAL, key=kind))):
        for name in LOCAL:
            path = authority.trust().verify(issued.chain, name)
            assert path == [*issued.chain, authority.root]
            if kind in OPENSSL_KINDS:
                assert openssl_verify(tmp_path, [authority.root], issued.chain, name, "-x509_strict") == 0
        with pytest.raises(CertificateError, match="is not for other"):
            authority.trust().verify(issued.chain, "other.example")
        assert issued.credential().names == LOCAL
        assert issued.credential().schemes


@pytest.mark.parametrize("kind", KEYS)
def test_each_kind_of_client(kind: str, authorities: dict[str, Authority], tmp_path: Path) -> None:
    authority = authorities[kind]
    issued = authority.issue("alice@example.com", "alice.example", client=True)
    assert authority.trust().verify_client(issued.chain) == [*issued.chain, authority.root]
    with pytest.raises(CertificateError, match="is not for TLS servers"):
        authority.trust().verify(issued.chain, "alice.example")
    if kind in OPENSSL_KINDS:
        assert openssl_verify(tmp_path, [authority.root], issued.chain, None, "-x509_strict", client=True) == 0
        assert openssl_verify(tmp_path, [authority.root], issued.chain, None, "-x509_strict") == 26


@pytest.mark.parametrize("kind", WEB_KINDS)
def test_the_webs_verifier(kind: str, authorities: dict[str, Authority]) -> None:
    """pyca/cryptography's own verifier with its own defaults, servers and clients."""
    authority = authorities[kind]
    builder = verification.PolicyBuilder().store(verification.Store([authority.root]))
    leaf, *rest = authority.issue("localhost").chain
    assert len(builder.build_server_verifier(x509.DNSName("localhost")).verify(leaf, rest)) == 3
    leaf, *rest = authority.issue("client", client=True).chain
    assert len(builder.build_client_verifier().verify(leaf, rest).chain) == 3


def test_without_an_intermediate(tmp_path: Path) -> None:
    authority = Authority.create(intermediate=False)
    issued = authority.issue("localhost")
    assert len(issued.chain) == 1
    assert authority.trust().verify(issued.chain, "localhost") == [issued.chain[0], authority.root]
    assert openssl_verify(tmp_path, [authority.root], issued.chain, "localhost", "-x509_strict") == 0


def test_it_may_not_issue_cas(tmp_path: Path) -> None:
    """The intermediate has no room below it."""
    authority = Authority.create()
    assert [c.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length for c in authority.chain] == [0, 1]


def test_self_signed(tmp_path: Path) -> None:
    issued = self_signed(*LOCAL)
    store = TrustStore.from_certificates(issued.chain)
    assert store.verify(issued.chain, "localhost") == list(issued.chain)
    assert openssl_verify(tmp_path, issued.chain, issued.chain, "localhost", "-x509_strict") == 0
    with pytest.raises(CertificateError) as caught:
        Authority.create().trust().verify(issued.chain, "localhost")
    assert caught.value.reason == "self_signed"


def test_wildcards_and_odd_names(authorities: dict[str, Authority]) -> None:
    authority = authorities["p256"]
    issued = authority.issue("*.Dev.example", "bücher.example", "fe80::1%eth0", "a" * 60 + ".example.com")
    for name in ("a.dev.example", "BÜCHER.example", "fe80::1", "a" * 60 + ".example.com"):
        authority.trust().verify(issued.chain, name)


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a_b.example", "a..b", "*", "*.", "*.*.example", "a.*.example", "127.1", "a\x00b", "ü" * 64, "ü@example.com", "-"],
)
def test_names_that_no_certificate_can_have(name: str, authorities: dict[str, Authority]) -> None:
    with pytest.raises(Misuse, match="cannot be the name of a certificate") as caught:
        authorities["p256"].issue("localhost", name)
    assert caught.value.reason == "bad_host_name"


def test_misuse(authorities: dict[str, Authority]) -> None:
    authority = authorities["p256"]
    with pytest.raises(Misuse, match="at least one name"):
        authority.issue()
    with pytest.raises(Misuse, match=r"rsa1024.*one of p256"):
        make_key("rsa1024")
    for days in (0, -1, 10**12):
        with pytest.raises(Misuse, match="day"):
            authority.issue("localhost", days=days)


def test_dates(authorities: dict[str, Authority]) -> None:
    """From yesterday on; a leaf for not longer than browsers take, and never for longer than its CA."""
    authority = authorities["p256"]
    short, default, long = (authority.issue("localhost", **days).chain[0] for days in ({"days": 7}, {}, {"days": 36500}))
    for certificate, days in ((short, 7), (default, 397)):
        assert abs(certificate.not_valid_before_utc - (NOW - DAY)) < DAY / 24
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == days * DAY
    assert long.not_valid_after_utc == authority.chain[0].not_valid_after_utc == authority.root.not_valid_after_utc
    begin, end = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2020, 2, 1, tzinfo=datetime.UTC)
    past = authority.issue("localhost", valid_from=begin, valid_until=end).chain[0]
    assert (past.not_valid_before_utc, past.not_valid_after_utc) == (begin, end)


def test_key_usage(authorities: dict[str, Authority]) -> None:
    """keyEncipherment only where there is something to encrypt to (RFC 8446 section 4.4.2.2 wants digitalSignature)."""
    for kind in KEYS:
        leaf = authorities["p256"].issue("localhost", key=kind).chain[0]
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        assert usage.digital_signature
        assert usage.key_encipherment == isinstance(leaf.public_key(), rsa.RSAPublicKey)


def test_load() -> None:
    """Out and in again, and what it issues then is as good."""
    authority = Authority.create("kept", key="ed25519")
    again = Authority.load(authority.chain_pem(), authority.key_pem())
    assert again.chain == authority.chain
    issued = again.issue("localhost")
    assert authority.trust().verify(issued.chain, "localhost")[-1] == authority.root
    assert "kept" in repr(again)
    with pytest.raises(Misuse, match="does not belong to the certificate of CN=kept") as caught:
        Authority.load(authority.chain_pem(), Authority.create().key_pem())
    assert caught.value.reason == "key_mismatch"
    for chain, key in ((b"", authority.key_pem()), (authority.chain_pem(), b"")):
        with pytest.raises(Misuse, match="holds no"):
            Authority.load(chain, key)


def test_nothing_shows_a_key(authorities: dict[str, Authority]) -> None:
    issued = authorities["p256"].issue("localhost")
    secret = hex(issued.key.private_numbers().private_value)[2:]
    for shown in map(repr, (issued, authorities["p256"], issued.credential())):
        assert secret not in shown
        assert "rivate" not in shown


# Go -------------------------------------------------------------------------------------------------------------------------

GO = """\
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func read(file string) (found []*x509.Certificate) {
	data, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			panic(err)
		}
		found = append(found, certificate)
	}
	return
}

// root chain name|"client" ...
func main() {
	for i := 1; i < len(os.Args); i += 3 {
		roots, others, chain := x509.NewCertPool(), x509.NewCertPool(), read(os.Args[i+1])
		roots.AddCert(read(os.Args[i])[0])
		for _, certificate := range chain[1:] {
			others.AddCert(certificate)
		}
		options := x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: os.Args[i+2]}
		if os.Args[i+2] == "client" {
			options.DNSName = ""
			options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}
		_, err := chain[0].Verify(options)
		fmt.Println(err)
	}
}
"""


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that verifies with Go's crypto/x509."""
    command = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if command is None:
        pytest.skip("the go command is missing")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO)
    version = subprocess.run([command, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    (folder / "go.mod").write_text(f"module verify\n\ngo {'.'.join(version.strip().removeprefix('go').split('.')[:2])}\n")
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    subprocess.run([command, "build", "-o", "verify", "."], cwd=folder, env=environment, capture_output=True, check=True)
    return folder / "verify"


def test_go(go: Path, authorities: dict[str, Authority], devpki: DevPki, tmp_path: Path) -> None:
    """Go takes what it knows the signatures of, and refuses the rest for its own reason."""
    arguments: list[str | Path] = []
    expected: list[str] = []

    def put(root: Path, chain: Path, name: str, says: str = "<nil>") -> None:
        arguments.extend((root, chain, name))
        expected.append(says)

    for kind, authority in authorities.items():
        root, chain, client = (tmp_path / f"{kind}-{what}" for what in ("root", "chain", "client"))
        root.write_bytes(authority.root_pem())
        chain.write_bytes(authority.issue(*LOCAL).chain_pem())
        client.write_bytes(authority.issue("client", client=True).chain_pem())
        says = "<nil>" if kind in GO_KINDS else "x509: certificate signed by unknown authority"
        for name in LOCAL:
            put(root, chain, name, says)
        put(root, client, "client", says)
        put(root, chain, "client", "x509: certificate specifies an incompatible key usage" if kind in GO_KINDS else says)
    for name, entry in devpki.entries.items():
        if name.startswith("localhost-"):
            put(devpki.folder / "root.pem", entry.certificate, "localhost")
    root = devpki.folder / "root.pem"
    put(root, devpki.entries["client"].certificate, "client")
    put(root, devpki.entries["expired"].certificate, "localhost", "x509: certificate has expired or is not yet valid")
    put(root, devpki.entries["other-name"].certificate, "localhost", f"x509: certificate is valid for {OTHER_NAME}, not localhost")
    put(root, devpki.entries["self-signed"].certificate, "localhost", "x509: certificate signed by unknown authority")
    found = subprocess.run([go, *arguments], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(found) == len(expected)
    for line, says, place in zip(found, expected, range(0, len(arguments), 3), strict=True):
        assert line.startswith(says), arguments[place : place + 3]


# the folder -------------------------------------------------------------------------------------------------------------------


def test_dev_pki(devpki: DevPki, tmp_path: Path) -> None:
    """Each file is what its name says, for us and for OpenSSL."""
    store, folder = devpki.trust(), devpki.folder
    names = [
        "root",
        "intermediate",
        *(f"localhost-{kind}" for kind in LEAF_KINDS),
        "client",
        "expired",
        "other-name",
        "self-signed",
    ]
    assert list(devpki.entries) == names
    files = {f"{name}.{suffix}" for name in names for suffix in ("pem", "key")} - {"root.key"}
    assert {file.name for file in folder.iterdir()} == files
    root = devpki.authority.root
    for name, entry in devpki.entries.items():
        assert entry.certificate == folder / f"{name}.pem"
        assert entry.what
        if entry.key is None:
            assert x509.load_pem_x509_certificates(entry.certificate.read_bytes()) == [root]
            continue
        credential = entry.credential()
        chain = x509.load_pem_x509_certificates(entry.certificate.read_bytes())
        assert (root in chain) == (name == "intermediate")
        if name == "intermediate":
            continue
        if name == "client":
            assert len(store.verify_client(credential.chain)) == 3
            continue
        reason, code = {"expired": ("expired", 10), "other-name": ("name_mismatch", 62), "self-signed": ("self_signed", 18)}.get(
            name, ("", 0)
        )
        if reason:
            with pytest.raises(CertificateError) as caught:
                store.verify(credential.chain, "localhost")
            assert (caught.value.reason, caught.value.verify_code) == (reason, code)
        else:
            for local in LOCAL:
                assert len(store.verify(credential.chain, local)) == 3
        if "mldsa" not in name:
            assert openssl_verify(tmp_path, [root], chain, "localhost", "-x509_strict") == code
    assert devpki.credential("localhost-p256").names == LOCAL


def test_dev_pki_schemes(devpki: DevPki) -> None:
    """All kinds side by side can sign with all that TLS 1.3 has, but for rsa_pss_pss."""
    schemes = {scheme.name for kind in LEAF_KINDS for scheme in devpki.credential(f"localhost-{kind}").schemes}
    assert len(schemes) == 5 + 3 + 3 + 3
    assert not any("pss_pss" in scheme for scheme in schemes)


def test_keys_are_for_their_owner_alone(devpki: DevPki) -> None:
    for entry in devpki.entries.values():
        if entry.key is not None:
            assert stat.S_IMODE(entry.key.stat().st_mode) == 0o600
            assert entry.key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")
            if "mldsa" not in entry.key.name:
                openssl("pkey", "-in", entry.key, "-noout")


def test_keys_are_private_from_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under an open umask, and where a file for all, or a link, stands in the way."""
    real, seen = os.open, []

    def watched(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = real(path, flags, mode)
        seen.append((Path(path).name, stat.S_IMODE(os.fstat(descriptor).st_mode)))
        return descriptor

    victim = tmp_path / "victim"
    victim.write_text("untouched")
    folder = tmp_path / "certs"
    authority_in(folder)
    (folder / "a.example.key").write_text("old")
    (folder / "a.example.key").chmod(0o644)
    (folder / "b.example.key").symlink_to(victim)
    previous = os.umask(0)
    try:
        monkeypatch.setattr(os, "open", watched)
        for name in ("a.example", "b.example"):
            issue_into(folder, [name])
    finally:
        os.umask(previous)
    assert victim.read_text() == "untouched"
    assert {mode for name, mode in seen if ".key" in name} == {0o600}
    assert len(seen) == 4
    for name in ("a.example", "b.example"):
        key = folder / f"{name}.key"
        assert not key.is_symlink()
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not list(folder.glob(".*"))


def test_made_again(tmp_path: Path) -> None:
    """The CA stays, so that who trusts it goes on doing so; the leaves are new."""
    first = make_dev_pki(tmp_path / "new" / "certs")
    before = {name: entry.certificate.read_bytes() for name, entry in first.entries.items()}
    second = make_dev_pki(tmp_path / "new" / "certs")
    same = {name for name, entry in second.entries.items() if entry.certificate.read_bytes() == before[name]}
    assert same == {"root", "intermediate"}
    assert len(first.trust().verify(second.credential("localhost-p256").chain, "localhost")) == 3


def test_issue_into(tmp_path: Path) -> None:
    entry = issue_into(tmp_path, ["*.dev.example", "192.0.2.7"], key="ed25519", days=9)
    assert entry.certificate.name == "wildcard.dev.example-ed25519.pem"
    assert len(authority_in(tmp_path).trust().verify(entry.credential().chain, "a.dev.example")) == 3
    client = issue_into(tmp_path, ["alice@dev.example"], client=True)
    assert client.certificate.name == "alice@dev.example.pem"
    assert len(authority_in(tmp_path).trust().verify_client(client.credential().chain)) == 3


def test_folders_that_are_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    authority = authority_in(folder)
    chain, key = folder / "intermediate.pem", folder / "intermediate.key"
    with pytest.raises(Misuse, match="the CA's own files"):
        issue_into(folder, ["root"])
    key.write_bytes(Authority.create().key_pem())
    with pytest.raises(Misuse, match="does not belong"):
        authority_in(folder)
    key.unlink()
    with pytest.raises(FileNotFoundError, match=r"intermediate\.key"):
        make_dev_pki(folder)
    key.write_bytes(authority.key_pem())
    chain.write_bytes(b"")
    with pytest.raises(Misuse, match="holds no certificate"):
        authority_in(folder)
    old = expired_authority()
    chain.write_bytes(old.chain_pem())
    key.write_bytes(old.key_pem())
    with pytest.raises(Misuse, match=r"expired on .*: remove the folder"):
        authority_in(folder)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        make_dev_pki(tmp_path / "file")


def expired_authority() -> Authority:
    made = ca("old", begin=NOW - 9 * DAY, end=NOW - DAY)
    return Authority((made.certificate,), made.key)


def test_file_names() -> None:
    for name, file in {
        "localhost": "localhost",
        "*.a.example": "wildcard.a.example",
        "::1": "_1",
        "2001:db8::1": "2001_db8_1",
        "127.0.0.1": "127.0.0.1",
        "me+x/../y@a.example": "me_x_.._y@a.example",
        "../../x@y": "_.._x@y",
        "-rf": "rf",
        "...": "_",
        "bücher.example": "b_cher.example",
    }.items():
        assert file_name(name) == file
        assert "/" not in file
