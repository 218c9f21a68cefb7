"""Answers that are not there at once, for -async: every callable and every store of a configuration, made async."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from minitls import ClientConfig, Credential, ServerConfig
from minitls.data import replace

C = TypeVar("C", ClientConfig, ServerConfig)

CALLABLES = ("verify", "trusted_keys", "psk", "select_credential", "select_config")
STORES = ("session_store", "session_cache", "tickets", "replay")


class Later:
    """Awaited, it says once that there is nothing yet."""

    def __await__(self) -> Any:
        yield


def later(function: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(*args: Any) -> Any:
        await Later()
        return function(*args)

    return answer


class Store:
    """A store whose methods take their time."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return later(found) if inspect.ismethod(found) else found


def unhurried_credential(credential: Credential) -> Credential:
    changed = copy.copy(credential)
    changed._signer = later(credential._signer)
    changed.delegations = tuple(map(unhurried_credential, credential.delegations))
    return changed


def unhurried(config: C) -> C:
    """The same configuration, whose answers all are to be awaited; its credentials were made so."""
    changes: dict[str, Any] = {}
    for name in CALLABLES:
        if callable(function := getattr(config, name, None)):
            changes[name] = later(function)
    for name in STORES:
        if (store := getattr(config, name, None)) is not None:
            changes[name] = Store(store)
    return replace(config, **changes)
