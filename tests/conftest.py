"""What tests share: a development PKI made in memory, configurations around it, and the event loops of asyncio and uvloop."""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from minitls import ClientAuth, ClientConfig, Danger, Policy, ServerConfig
from minitls.certificates.authority import Authority, Issued, self_signed
from minitls.certificates.credentials import Credential
from minitls.certificates.trust import TrustStore
from tests import raised

NAME = "localhost"
NOW = datetime.datetime.now(datetime.UTC)

settings.register_profile(
    "minitls",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("minitls")


@dataclass
class Pki:
    """A CA, another that nobody trusts, and what they issued; each is made when somebody asks for it."""

    authority: Authority = field(default_factory=Authority.create)
    _issued: dict[tuple[Any, ...], Issued] = field(default_factory=dict)

    @cached_property
    def trust(self) -> TrustStore:
        return self.authority.trust()

    @cached_property
    def strangers(self) -> Authority:
        return Authority.create("somebody else's CA")

    def issue(self, *names: str, key: str = "p256", client: bool = False, **how: Any) -> Issued:
        """A leaf for these names; the same one each time."""
        asked = (names, key, client, *sorted(how.items()))
        if asked not in self._issued:
            self._issued[asked] = self.authority.issue(*names, key=key, client=client, **how)
        return self._issued[asked]

    def server(self, key: str = "p256", *names: str) -> Credential:
        return self.issue(*(names or (NAME, "127.0.0.1", "::1")), key=key).credential()

    @cached_property
    def stapled(self) -> Credential:
        """The server's, with a good OCSP response."""
        issued = self.issue(NAME, "127.0.0.1", "::1")
        return issued.credential().stapled(ocsp_response=self.authority.ocsp_response(issued))

    def client(self, key: str = "p256") -> Credential:
        return self.issue("client", key=key, client=True).credential()

    @cached_property
    def expired(self) -> Credential:
        day = datetime.timedelta(days=1)
        return self.authority.issue(NAME, valid_from=NOW - 9 * day, valid_until=NOW - day).credential()

    @cached_property
    def untrusted(self) -> Credential:
        return self.strangers.issue(NAME).credential()

    @cached_property
    def self_signed(self) -> Credential:
        return self_signed(NAME).credential()

    @cached_property
    def small(self) -> Authority:
        """A CA without an intermediate, whose signatures have a fixed length."""
        return Authority.create("small CA", key="ed25519", intermediate=False)

    @cached_property
    def quick(self) -> tuple[ClientConfig, ServerConfig]:
        """Configurations whose handshakes are fast and always of the same length, with client authentication."""
        policy = Policy(groups=("x25519",))
        trust = self.small.trust()
        client, server = (self.small.issue(NAME, key="ed25519", client=client).credential() for client in (True, False))
        return (
            ClientConfig(policy=policy, trust=trust, credential=client, session_store=None),
            ServerConfig(policy=policy, trust=trust, credentials=(server,), client_auth=ClientAuth.require),
        )

    def client_config(self, **fields: Any) -> ClientConfig:
        """A client that trusts the CA and remembers nothing: each test begins anew.  With these fields otherwise."""
        if fields.get("verify") is not Danger.accept_any_certificate:
            fields.setdefault("trust", self.trust)
        fields.setdefault("session_store", None)
        return ClientConfig(**fields)

    def server_config(self, **fields: Any) -> ServerConfig:
        """A server with a certificate for localhost, with these fields otherwise."""
        fields.setdefault("credentials", (self.server(),))
        return ServerConfig(**fields)


@pytest.fixture(scope="session")
def pki() -> Pki:
    return Pki()


@pytest.fixture(scope="session")
def client_config(pki: Pki) -> Callable[..., ClientConfig]:
    """``client_config(alpn=("h2",))``: trusts the development CA."""
    return pki.client_config


@pytest.fixture(scope="session")
def server_config(pki: Pki) -> Callable[..., ServerConfig]:
    """``server_config(client_auth=...)``: has the development CA's certificate for localhost."""
    return pki.server_config


raised.watch()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """tests/test_rules.py looks back at the session: it comes last."""
    items.sort(key=lambda item: item.path.name == "test_rules.py")
    config.stash[raised.WHOLE] = {item.path for item in items} >= set(Path(__file__).parent.rglob("test_*.py"))


def pytest_deselected(items: list[pytest.Item]) -> None:
    items[0].config.stash[raised.WHOLE] = False


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every ``async def`` test runs twice: on asyncio's own loop, and on uvloop's where there is one."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if sys.platform != "win32":
        import uvloop

        loops["uvloop"] = uvloop.new_event_loop
    return loops
