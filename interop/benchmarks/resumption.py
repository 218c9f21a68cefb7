"""What a resumed handshake costs a client beside a full one: CPU microseconds, in memory, medians of interleaved runs.

    python interop/benchmarks/resumption.py [ROUNDS]

"full, first visit" verifies the chain; "full, known chain" finds the verdict in the trust store's cache.  The server's work is
not counted.  All verify, all get tickets.
"""

from __future__ import annotations

import statistics
import sys
import time

from minitls import ClientConfig, ClientConnection, Policy, ServerConfig, ServerConnection, TrustStore
from minitls.certificates.authority import Authority
from minitls.sessions.session import Session
from minitls.sessions.store import MemoryStore

GROUPS = ("X25519MLKEM768", "x25519")


class Forgetful(MemoryStore):
    """Keeps sessions, as every client does, and finds none."""

    def take(self, key: str) -> Session | None:
        return None


def client_cpu(client_config: ClientConfig, server_config: ServerConfig) -> tuple[float, bool]:
    """Microseconds of one handshake with its tickets, and whether it was resumed."""
    clock = time.process_time_ns
    start = clock()
    client = ClientConnection(client_config, server_hostname="localhost")
    out = client.data_to_send()
    spent = clock() - start
    server = ServerConnection(server_config)
    while out:
        server.receive_data(out)
        back = server.data_to_send()
        start = clock()
        client.receive_data(back)
        out = client.data_to_send()
        spent += clock() - start
    assert client.handshake_completed
    return spent / 1000, client.info.resumed


def main(rounds: int) -> None:
    authority = Authority.create()
    pem = authority.root_pem()
    credential = authority.issue("localhost").credential()
    print(f"{'group':<16}{'full, first visit':>18}{'full, known chain':>18}{'resumed':>10}{'of first':>10}{'of known':>10}")
    for group in GROUPS:
        policy = Policy.intermediate.replace(groups=(group,))
        server_config = ServerConfig(credentials=(credential,), policy=policy)
        known = ClientConfig(trust=authority.trust(), policy=policy, session_store=Forgetful())
        returning = ClientConfig(trust=authority.trust(), policy=policy)
        times: dict[str, list[float]] = {"first": [], "known": [], "resumed": []}
        for turn in range(rounds):
            fresh = TrustStore.from_pem(pem)
            assert fresh.subjects  # parsed before the clock runs
            for name, config in (
                ("first", ClientConfig(trust=fresh, policy=policy, session_store=Forgetful())),
                ("known", known),
                ("resumed", returning),
            ):
                spent, resumed = client_cpu(config, server_config)
                assert resumed is (name == "resumed" and turn > 0)
                if turn > 0:
                    times[name].append(spent)
        first, again, resumed_time = (statistics.median(times[name]) for name in ("first", "known", "resumed"))
        print(
            f"{group:<16}{first:>15.0f} us{again:>15.0f} us{resumed_time:>7.0f} us"
            f"{resumed_time / first:>10.2f}{resumed_time / again:>10.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
