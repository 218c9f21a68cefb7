"""What ``growth`` measures without a network: longer chains, more credentials.  All of it in files, that both processes read."""

from __future__ import annotations

import datetime
import ssl
import statistics
from collections.abc import Set
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from interop.bench.endpoints import Ssl
from interop.bench.identity import CHAIN, KEY, ROOT, write_key
from interop.bench.memory import handshake_ours, handshake_ssl
from interop.bench.stacks import Stack
from interop.bench.wire import NAME
from minitls.certificates.authority import Authority, private_pem

CHAINS = (1, 2, 3, 4, 5)
HOSTS = (1, 10, 100, 1000)
PLACE = "hosts"


def chain_folder(length: int) -> str:
    return f"chain-{length}"


def host(number: int) -> str:
    return f"host{number}.example"


def _signed(subject: str, key: Any, above: tuple[x509.Certificate, Any] | None, *, ca: bool) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    issuer, signer = (above[0].subject, above[1]) if above is not None else (name, key)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    builder = (
        x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def write_chains(folder: Path) -> None:
    """Each a folder like the identity's: a root, and so many certificates below it, the leaf among them."""
    for length in CHAINS:
        place = folder / chain_folder(length)
        place.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        chain = [_signed("minitls benchmark root", key, None, ca=True)]
        for number in range(length):
            last = number == length - 1
            below = ec.generate_private_key(ec.SECP256R1())
            chain.append(_signed(NAME if last else f"CA {number}", below, (chain[-1], key), ca=not last))
            key = below
        pems = [certificate.public_bytes(Encoding.PEM) for certificate in chain]
        (place / ROOT).write_bytes(pems[0])
        (place / CHAIN).write_bytes(b"".join(pems[:0:-1]))
        write_key(place / KEY, private_pem(key))


def write_hosts(folder: Path) -> None:
    """A root, and so many leaves, each with its intermediate and its key in a file."""
    place = folder / PLACE
    place.mkdir()
    authority = Authority.create("minitls benchmark CA")
    (place / ROOT).write_bytes(authority.root_pem())
    for number in range(HOSTS[-1]):
        issued = authority.issue(host(number))
        write_key(place / f"{host(number)}.pem", issued.chain_pem() + issued.key_pem())


def _files(folder: Path, size: int) -> list[Path]:
    return [folder / PLACE / f"{host(number)}.pem" for number in range(size)]


@cache
def _ours(folder: Path, size: int, way: str) -> tuple[Any, Any]:
    import minitls

    credentials = [minitls.Credential.from_files(file) for file in _files(folder, size)]
    trust = minitls.TrustStore.from_files(folder / PLACE / ROOT)
    client = minitls.ClientConfig(trust=trust, session_store=None)
    if way:
        store = minitls.CredentialStore({str(number): credential for number, credential in enumerate(credentials)})
        return client, minitls.ServerConfig(select_credential=store)
    return client, minitls.ServerConfig(credentials=tuple(credentials))


@cache
def _theirs(folder: Path, size: int, module: str) -> tuple[Any, Any]:
    contexts: dict[str, Any] = {}
    maker = Ssl(folder, module)
    for number, file in enumerate(_files(folder, size)):
        contexts[host(number)] = maker.bare_server_context()
        contexts[host(number)].load_cert_chain(file)
    first = contexts[host(0)]

    def choose(connection: Any, name: str | None, context: Any) -> None:
        connection.context = contexts.get(name or "", first)

    first.sni_callback = choose
    client = ssl.create_default_context(cafile=folder / PLACE / ROOT)
    return client, first


def credentials_cost(stack: Stack, folder: Path, size: int, way: str, count: int) -> dict[str, Any]:
    """The server's CPU microseconds of a full handshake, a median, with names spread over all that it has."""
    step = max(1, size // count) | 1  # odd: over a few rounds of 10 or 100 it meets them all
    names = islice((host(number * step % size) for number in cycle(range(size))), count + 1)
    if stack.kind == "minitls":
        runs = [handshake_ours(*_ours(folder, size, way), name)[0] for name in names]
    else:
        runs = [handshake_ssl(*_theirs(folder, size, stack.module), name)[0] for name in names]
    return {"value": statistics.median(spent.server for spent in runs[1:]) / 1000}


def write_scale(folder: Path, experiments: Set[str]) -> None:
    """The files that these experiments need."""
    if "chain" in experiments:
        write_chains(folder)
    if "credentials" in experiments:
        write_hosts(folder)
