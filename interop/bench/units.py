"""What one cryptographic operation costs, in microseconds of CPU: measured in a stack's own client process, for ``breakdown``.

Each figure is the least of a few, for these operations always do the same: what takes longer was disturbed.  With OpenSSL behind
``ssl``, sealing and opening are SSLObject.write and read in memory, its record layer included: Python cannot ask for less.  Its
signatures and key exchange are pyca/cryptography's here, whose OpenSSL is another: see the report's versions.
"""

from __future__ import annotations

import hmac
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from interop.bench.endpoints import Ssl
from interop.bench.stacks import Stack
from interop.bench.wire import MESSAGE, NAME
from minitls.crypto.groups import GROUPS
from minitls.wire.numbers import NamedGroup

FULL = 2**14
SIZES = {"small": len(MESSAGE), "kib": 1024, "full": FULL}
"""Of what is sealed and opened: a message, a piece of 1 KiB, a full record."""
TRIES, SECONDS = 5, 0.005


def cost(work: Callable[[], object], times: int = 1) -> float:
    """Microseconds for each of ``times`` operations that ``work`` does."""
    work()
    rounds, best = 1, float("inf")
    for _ in range(TRIES):
        while True:
            start = time.process_time()
            for _ in range(rounds):
                work()
            spent = time.process_time() - start
            if spent >= SECONDS:
                break
            rounds *= 4
        best = min(best, spent / rounds)
    return best * 1e6 / times


def _aead(suite: str) -> dict[str, float]:
    """pyca/cryptography's, as ``record.protection`` calls it."""
    cipher: Any = ChaCha20Poly1305(bytes(32)) if "CHACHA20" in suite else AESGCM(bytes(32 if "256" in suite else 16))
    nonce, header = bytes(12), bytes(5)
    made = {}
    for name, size in SIZES.items():
        plain, sealed, opened = bytes(size), bytearray(size + 16), bytearray(size)
        made[f"seal_{name}"] = cost(lambda: cipher.encrypt_into(nonce, plain, header, sealed))  # noqa: B023
        made[f"open_{name}"] = cost(lambda: cipher.decrypt_into(nonce, sealed, header, opened))  # noqa: B023
    return made


def _openssl_records(folder: Path) -> dict[str, float]:
    """Both halves of one connection in memory; the copying between the two is outside of the clock."""
    contexts = Ssl(folder, "ssl")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contexts.client_context("default", "known").wrap_bio(to_client, to_server, server_hostname=NAME)
    server = contexts.server_context("default").wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    made = {}
    for name, size in SIZES.items():
        data, times = bytes(size), 64
        sealing, opening = [], []
        for _ in range(TRIES * 4):
            begin = time.process_time()
            for _ in range(times):
                server.write(data)
            middle = time.process_time()
            left = times * size
            while left:  # the first time the tickets are in it, too
                left -= len(client.read(size))
            sealing.append(middle - begin)
            opening.append(time.process_time() - middle)
        made[f"seal_{name}"] = min(sealing) * 1e6 / times
        made[f"open_{name}"] = min(opening) * 1e6 / times
    return made


def measure(stack: Stack, folder: Path, suite: str, group: str) -> dict[str, float]:
    """``suite``, ``group``: what was agreed on."""
    agreed = GROUPS[NamedGroup[group]]
    key = ec.generate_private_key(ec.SECP256R1())
    public, algorithm = key.public_key(), ec.ECDSA(hashes.SHA256())
    signature = key.sign(MESSAGE, algorithm)
    offered = agreed.generate()
    answered, _ = agreed.encapsulate(offered.public)
    return {
        **(_openssl_records(folder) if not stack.ours else _aead(suite)),
        "sign": cost(lambda: key.sign(MESSAGE, algorithm)),
        "verify": cost(lambda: public.verify(signature, MESSAGE, algorithm)),
        "share": cost(agreed.generate) + cost(lambda: offered.exchange(answered)),
        "answer": cost(lambda: agreed.encapsulate(offered.public)),
        "mac": cost(lambda: hmac.digest(bytes(32), MESSAGE, "sha384" if "384" in suite else "sha256")),
    }
