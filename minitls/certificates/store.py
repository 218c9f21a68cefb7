"""Several credentials, found by the client's hello, and changed while the server runs.

``ServerConfig(select_credential=CredentialStore.watch(("a.pem", "a.key"), ("b.pem", "b.key")))`` is a server with two
certificates that follows its files.  How it stays out of the way:

1. What is there stands in one immutable :class:`_Shelf`.  A change makes another and puts it in the place of the first, in one
   assignment: a handshake, in whichever thread, takes one credential from one shelf, and keeps it to its end.
2. Hosts are found in a dictionary, by their name and by the wildcard that would cover it; nothing goes through all of them.
3. There is no thread and no timer.  A hello makes the store look at the files of its own host, and at as many others as
   ``BUDGET`` allows, each at most every ``interval`` seconds; a look is a ``stat``.  Of several threads one looks, and the others
   take what is there.
4. What is refused changes nothing: see :mod:`minitls.certificates.watch`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from minitls.certificates.credentials import Credential
from minitls.certificates.names import patterns_for
from minitls.certificates.watch import CredentialFiles, Source, Watched
from minitls.crypto.suites12 import SUITES_12
from minitls.data import dataclass, field
from minitls.errors import Misuse
from minitls.wire.hello import ClientHello
from minitls.wire.numbers import ExtensionType as X
from minitls.wire.numbers import ProtocolVersion

log = logging.getLogger("minitls")

BUDGET = 0.001
"""Seconds that a hello spends on looking at its own host's files, and as many on those of others."""


class _Entry(NamedTuple):
    """``place``: which came first; ``watched``: None for what is in memory only."""

    place: int
    label: str
    credential: Credential
    watched: Watched | None

    @property
    def names(self) -> set[str]:
        return {name.lower() for name in self.credential.names}


@dataclass(frozen=True)
class _Shelf:
    """What a store has, by label, and by the names in the certificates; never changed once it can be seen."""

    entries: dict[str, _Entry] = field(default_factory=dict)
    hosts: dict[str, tuple[_Entry, ...]] = field(default_factory=dict)

    def changed(self, changes: Iterable[tuple[_Entry | None, _Entry | None]]) -> _Shelf:
        """Another, with the first of each pair replaced by the second."""
        shelf = _Shelf(dict(self.entries), dict(self.hosts))
        for old, new in changes:
            for name in (old.names if old else set()) | (new.names if new else set()):
                there = [entry for entry in shelf.hosts.pop(name, ()) if entry is not old]
                if new is not None and name in new.names:
                    there = sorted((*there, new), key=lambda entry: entry.place)
                if there:
                    shelf.hosts[name] = tuple(there)
            if new is not None:
                shelf.entries[new.label] = new
            elif old is not None:
                del shelf.entries[old.label]
        return shelf

    def find(self, host: str) -> tuple[_Entry, ...]:
        """Those for a host in lower case, by its own name before those by a wildcard (RFC 9525 section 6.3)."""
        exact, *wild = (self.hosts.get(pattern, ()) for pattern in patterns_for(host))
        return (*exact, *(entry for entry in wild[0] if entry not in exact)) if wild else exact

    @cached_property
    def default(self) -> tuple[_Entry, ...]:
        """The first of each kind of key."""
        kinds: dict[tuple[int, ...], _Entry] = {}
        for entry in self.entries.values():
            kinds.setdefault(entry.credential.schemes, entry)
        return tuple(kinds.values())


class CredentialStore:
    """Credentials by label, for ``ServerConfig(select_credential=store)``; may be shared by threads and event loops.

    ``credentials``: each a :class:`Credential`, or the files of one, which are then watched: a path, a pair of certificate and key,
    or :class:`CredentialFiles`.  ``interval``: seconds between two looks at a file; ``math.inf``: only :meth:`reload` looks, as
    where a ``stat`` may take long.  ``default``: whether clients that name no host, or one that is not here, get the first whose
    key they can verify; otherwise ``ServerConfig.credentials`` are asked, and where there are none the handshake ends with
    unrecognized_name.  ``on_problem``: called with a label and what is wrong with its files, which is also logged.
    ``clock``: seconds since the epoch, by which certificates expire.  Raises Misuse and OSError: to begin with, all must be good.
    """

    def __init__(
        self,
        credentials: Mapping[str, Credential | Source] | None = None,
        *,
        interval: float = 1.0,
        default: bool = True,
        on_problem: Callable[[str, Misuse], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._interval = interval
        self._default = default
        self._on_problem = on_problem
        self._clock = clock
        self._lock = threading.Lock()  # held by who changes the shelf, or looks whether to
        self._round: list[str] = []  # labels that are still to be looked at, the next one last
        self._next_round = time.monotonic() + interval
        self._places = 0
        entries = [self._entry(label, source) for label, source in (credentials or {}).items()]
        self._shelf = _Shelf().changed((None, entry) for entry in entries)

    def __repr__(self) -> str:
        return f"<CredentialStore of {len(self)}>"

    @classmethod
    def watch(
        cls,
        *sources: Source,
        interval: float = 1.0,
        default: bool = True,
        on_problem: Callable[[str, Misuse], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> CredentialStore:
        """Of files alone, labelled by the certificate's path.  Raises Misuse and OSError."""
        labelled = {str(files.cert): files for files in map(CredentialFiles.of, sources)}
        if len(labelled) < len(sources):
            raise Misuse("one certificate file is given twice")
        return cls(labelled, interval=interval, default=default, on_problem=on_problem, clock=clock)

    def __call__(self, client_hello: ClientHello) -> Credential | None:
        """The credential that fits a client best; None if there is none for it, which never happens with ``default``."""
        name = (client_hello.server_name or "").lower()
        self._look_around(name)
        shelf = self._shelf
        found = shelf.find(name) or (shelf.default if self._default else ())
        return choose([entry.credential for entry in found], client_hello) if found else None

    def __len__(self) -> int:
        return len(self._shelf.entries)

    @property
    def credentials(self) -> dict[str, Credential]:
        """What is shown now, by label; a copy."""
        return {label: entry.credential for label, entry in self._shelf.entries.items()}

    @property
    def problems(self) -> dict[str, Misuse]:
        """What is wrong with the files as they are now, by label."""
        watched = ((label, entry.watched) for label, entry in self._shelf.entries.items())
        return {label: each.problem for label, each in watched if each is not None and each.problem is not None}

    @property
    def last_error(self) -> Misuse | None:
        """One of ``problems``; None while all is well."""
        return next(iter(self.problems.values()), None)

    def put(self, label: str, credential: Credential | Source) -> None:
        """Add one, or replace the one with this label.  Raises Misuse and OSError, and then nothing has changed."""
        with self._lock:
            old = self._shelf.entries.get(label)
            new = self._entry(label, credential)
            self._shelf = self._shelf.changed([(old, new if old is None else new._replace(place=old.place))])

    def remove(self, label: str) -> None:
        """Raises KeyError."""
        with self._lock:
            self._shelf = self._shelf.changed([(self._shelf.entries[label], None)])

    def reload(self) -> None:
        """Read all files now; what is good is taken.  Raises Misuse if something is wrong, the first of ``problems``."""
        with self._lock:
            new = self._look(list(self._shelf.entries), thoroughly=True)
        self._tell(new)
        if problems := self.problems:
            first, more = next(iter(problems.values())), len(problems) - 1
            raise Misuse(f"{first.message} (and {more} more)" if more else first.message, reason=first.reason)

    # looking ----------------------------------------------------------------------------------------------------------

    def _entry(self, label: str, source: Credential | Source) -> _Entry:
        self._places += 1
        if isinstance(source, Credential):
            return _Entry(self._places, label, source, None)
        watched = Watched(CredentialFiles.of(source), self._clock)
        credential = watched.load()
        watched.looked_at = time.monotonic()
        if watched.problem is not None:
            log.warning("%s", watched.problem)
        return _Entry(self._places, label, credential, watched)

    def _look_around(self, name: str) -> None:
        """At the files of this host, and at some others', where it is time to."""
        now = time.monotonic()
        due = now - self._interval
        own = [entry.label for entry in self._shelf.find(name) if entry.watched is not None and entry.watched.looked_at <= due]
        others = self._round or now >= self._next_round
        if not (own or others) or not self._lock.acquire(blocking=False):
            return
        try:
            problems = self._look(own, until=now + BUDGET)
            if others:
                if not self._round:
                    self._round, self._next_round = [*reversed(self._shelf.entries)], now + self._interval
                problems += self._look(self._rest_of_round(), until=now + BUDGET)
        finally:
            self._lock.release()
        self._tell(problems)

    def _rest_of_round(self) -> Iterator[str]:
        while self._round:
            yield self._round.pop()

    def _look(self, labels: Iterable[str], *, thoroughly: bool = False, until: float = math.inf) -> list[tuple[str, Misuse]]:
        """Take what is new and good.  Gives the problems that are new.

        ``until``: by ``time.monotonic``; one is looked at anyway.
        """
        changes: list[tuple[_Entry, _Entry]] = []
        problems: list[tuple[str, Misuse]] = []
        for label in labels:
            entry = self._shelf.entries.get(label)
            if entry is None or (watched := entry.watched) is None:
                continue
            known = watched.problem
            credential = watched.look(entry.credential, thoroughly=thoroughly)
            watched.looked_at = time.monotonic()
            if credential is not None:
                changes.append((entry, entry._replace(credential=credential)))
            if watched.problem is not None and watched.problem is not known:
                problems.append((label, watched.problem))
            if watched.looked_at > until:
                break
        if changes:
            self._shelf = self._shelf.changed(changes)
        for _, new in changes:
            log.info("%s: a new certificate, valid until %s", new.label, new.credential.leaf.not_valid_after_utc)
        return problems

    def _tell(self, problems: Sequence[tuple[str, Misuse]]) -> None:
        for label, problem in problems:
            log.warning("%s", problem)
            try:
                if self._on_problem is not None:
                    self._on_problem(label, problem)
            except Exception:
                log.exception("on_problem of a CredentialStore failed")  # which is no reason to refuse a client


def choose(credentials: Sequence[Credential], hello: ClientHello) -> Credential:
    """The one that fits a client best (RFC 8446 section 4.4.2.2), the first of several; the first of all where none does.

    Its key can sign in each version that the client offers, or else in one; then the client can verify the whole chain; then
    it knows one of the issuers.  The server's policy is not known here.
    """
    if len(credentials) == 1:
        return credentials[0]
    extensions = hello.extensions
    accepted: tuple[int, ...] = extensions.get(X.signature_algorithms, ())
    fits = [(credential, [*_fits(credential, hello, accepted)]) for credential in credentials]
    usable = [c for c, how in fits if all(how)] or [c for c, how in fits if any(how)] or credentials
    authorities = extensions.get(X.certificate_authorities, ())
    usable = [c for c in usable if not c.must_match_issuer or c.issued_by(authorities)] or usable
    in_certificates = extensions.get(X.signature_algorithms_cert, accepted)
    usable = [c for c in usable if c.signed_within(in_certificates)] or usable
    return next((c for c in usable if authorities and c.issued_by(authorities)), usable[0])


def _fits(credential: Credential, hello: ClientHello, accepted: Sequence[int]) -> Iterator[bool]:
    """Whether its key can sign for this client, in each version of TLS that both know."""
    if ProtocolVersion.TLSv1_3 in hello.versions:
        yield any(scheme in accepted for scheme in credential.schemes)
    if ProtocolVersion.TLSv1_2 in hello.versions:
        kind = "RSA" if credential.is_rsa else "ECDSA"
        suites = [SUITES_12[code] for code in hello.cipher_suites if code in SUITES_12]
        signs = any(suite.authentication == kind and suite.key_exchange in ("ECDHE", "DHE") for suite in suites)
        on_curve = credential.curve is None or credential.curve in hello.extensions.get(X.supported_groups, (credential.curve,))
        yield signs and on_curve and any(scheme in accepted for scheme in credential.schemes12)
