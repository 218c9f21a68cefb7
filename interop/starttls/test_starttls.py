"""``minitls connect --starttls`` against real servers: Dovecot, OpenLDAP, Prosody, PostgreSQL, MariaDB, vsftpd, aiosmtpd."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from minitls.cli import main
from minitls.cli.common import STARTTLS
from tests.conftest import Pki, pki

__all__ = ["pki"]

LIMIT = 30.0
ROOT = os.geteuid() == 0
USER = getpass.getuser()


class Files(NamedTuple):
    folder: Path
    ca: Path
    chain: Path
    key: Path


@pytest.fixture
def files(pki: Pki, tmp_path: Path) -> Files:
    issued = pki.authority.issue("localhost", "127.0.0.1")
    found = Files(tmp_path, tmp_path / "ca.pem", tmp_path / "chain.pem", tmp_path / "key.pem")
    found.ca.write_bytes(pki.authority.root_pem())
    found.chain.write_bytes(issued.chain_pem())
    found.key.touch(0o600)
    found.key.write_bytes(issued.key_pem())
    tmp_path.chmod(0o755)
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def program(*names: str) -> str:
    """The first that is here; skips where there is none."""
    for name in names:
        for found in (shutil.which(name), *map(str, sorted(Path("/").glob(name.lstrip("/"))))):
            if found:
                return found
    pytest.skip(f"{names[0]} is not here: .ci/run says which packages have the peers")


@contextmanager
def running(command: Sequence[str], port: int, **options: object) -> Iterator[None]:
    """A server in the foreground, from when it accepts connections."""
    log = subprocess.PIPE
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload]
    try:
        end = time.monotonic() + LIMIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    process.kill()
                    pytest.fail(f"{command[0]} does not listen: {process.communicate()[0]}")
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def as_nobody() -> dict[str, object]:
    """PostgreSQL will not run as root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if ROOT else {}


@contextmanager
def dovecot(files: Files, port: int, protocol: str) -> Iterator[None]:
    home = files.folder
    if not ROOT:
        pytest.skip("Dovecot wants to be started by root")
    (home / "dovecot.conf").write_text(f"""
protocols = {protocol}
base_dir = {home}/run
state_dir = {home}/state
log_path = /dev/stderr
ssl = required
ssl_cert = <{files.chain}
ssl_key = <{files.key}
mail_location = maildir:{home}/mail
passdb {{
  driver = static
}}
userdb {{
  driver = static
}}
service {protocol}-login {{
  inet_listener {protocol} {{
    port = {port}
  }}
  inet_listener {protocol}s {{
    port = 0
  }}
}}
listen = 127.0.0.1
""")
    with running([program("dovecot"), "-F", "-c", str(home / "dovecot.conf")], port):
        yield


@contextmanager
def openldap(files: Files, port: int) -> Iterator[None]:
    home = files.folder
    (home / "ldap").mkdir()
    (home / "slapd.conf").write_text(f"""
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {files.ca}
TLSCertificateFile {files.chain}
TLSCertificateKeyFile {files.key}
database mdb
suffix "dc=example"
directory {home}/ldap
""")
    with running([program("slapd"), "-f", str(home / "slapd.conf"), "-h", f"ldap://127.0.0.1:{port}", "-d", "0"], port):
        yield


@contextmanager
def prosody(files: Files, port: int) -> Iterator[None]:
    home = files.folder
    (home / "data").mkdir()
    (home / "prosody.cfg.lua").write_text(f"""
run_as_root = true
modules_enabled = {{ "tls"; "saslauth" }}
modules_disabled = {{ "s2s" }}
data_path = "{home}/data"
pidfile = "{home}/prosody.pid"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_require_encryption = true
ssl = {{ certificate = "{files.chain}"; key = "{files.key}" }}
log = {{ warn = "*console" }}
VirtualHost "localhost"
""")
    with running([program("prosody"), "--config", str(home / "prosody.cfg.lua"), "-F"], port):
        yield


@contextmanager
def postgresql(files: Files, port: int) -> Iterator[None]:
    initdb, server = program("/usr/lib/postgresql/*/bin/initdb"), program("/usr/lib/postgresql/*/bin/postgres")
    home = files.folder / "pg"
    home.mkdir()
    if ROOT:
        for path in (home, files.key, files.chain):
            shutil.chown(path, "nobody", "nogroup")
        for folder in files.folder.parents[:2]:
            folder.chmod(folder.stat().st_mode | 0o055)
    options = {"cwd": home, **as_nobody()}
    subprocess.run([initdb, "-D", home / "data", "-A", "trust", "-N"], check=True, capture_output=True, **options)  # type: ignore[call-overload]
    settings = {"port": port, "listen_addresses": "127.0.0.1", "ssl": "on", "ssl_cert_file": files.chain, "ssl_key_file": files.key}
    settings |= {"unix_socket_directories": ""}
    command = [server, "-D", str(home / "data"), *(f"--{name}={value}" for name, value in settings.items())]
    with running(command, port, **options):
        yield


@contextmanager
def mariadb(files: Files, port: int) -> Iterator[None]:
    server, home = program("mariadbd", "/usr/sbin/mariadbd"), files.folder / "db"
    (home / "mysql").mkdir(parents=True)
    command = [server, "--no-defaults", f"--datadir={home}", "--bind-address=127.0.0.1", f"--port={port}", f"--user={USER}"]
    command += [f"--socket={home}/socket", f"--pid-file={home}/pid", "--skip-grant-tables", "--skip-networking=0"]
    command += [f"--ssl-cert={files.chain}", f"--ssl-key={files.key}", f"--ssl-ca={files.ca}"]
    with running(command, port):
        yield


@contextmanager
def vsftpd(files: Files, port: int) -> Iterator[None]:
    server = program("vsftpd")
    if not ROOT:
        pytest.skip("vsftpd wants to be started by root")
    config = files.folder / "vsftpd.conf"
    config.write_text(f"""
background=NO
listen=YES
listen_address=127.0.0.1
listen_port={port}
anonymous_enable=YES
ssl_enable=YES
allow_anon_ssl=YES
rsa_cert_file={files.chain}
rsa_private_key_file={files.key}
secure_chroot_dir={files.folder}
seccomp_sandbox=NO
""")
    with running([server, str(config)], port):
        yield


@contextmanager
def aiosmtpd(files: Files, port: int) -> Iterator[None]:
    smtp = pytest.importorskip("aiosmtpd.smtp")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.chain, files.key)
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        make = lambda: smtp.SMTP(object(), tls_context=context, loop=loop)  # noqa: E731
        server = await loop.create_server(make, "127.0.0.1", port)
        ready.set()
        await ended.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(LIMIT)
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(LIMIT)
        loop.close()


SERVERS: dict[str, Callable[[Files, int], object]] = {
    "imap": lambda files, port: dovecot(files, port, "imap"),
    "pop3": lambda files, port: dovecot(files, port, "pop3"),
    "ldap": openldap,
    "xmpp": prosody,
    "postgres": postgresql,
    "mysql": mariadb,
    "ftp": vsftpd,
    "smtp": aiosmtpd,
}


def test_all_are_here() -> None:
    assert SERVERS.keys() == STARTTLS.keys()


@pytest.mark.parametrize("name", SERVERS)
def test_starttls(name: str, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with SERVERS[name](files, port):  # type: ignore[attr-defined]
        status = main(["connect", f"localhost:{port}", "--starttls", name, "--ca", str(files.ca), "--summary"])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    assert "verified: this is localhost" in shown.out
    assert "STARTTLS" in shown.out
