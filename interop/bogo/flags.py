"""The runner's flags: which we know, and what they say for the first connection, for the resumed ones, and after a rejected 0-RTT.

A flag that is not here makes the case "unimplemented"; nothing is accepted and then passed over, but for what IGNORED says.
"""

from __future__ import annotations

import base64
import copy
import os
from collections.abc import Callable, Sequence
from typing import Any


class Unimplemented(Exception):
    """The case wants what minitls does not have, or what only makes sense in another library."""


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


IGNORED = {
    "implicit-handshake": "the first read or write makes the handshake; ours is made before",
    "no-op-extra-handshake": "a handshake that is complete can't be asked for again",
    "handshake-twice": "likewise",
    "false-start": "we never do (RFC 7918 lets a client); the cases that want it are disabled",
    "renegotiate-once": "we never do; the cases that want it are disabled",
    "renegotiate-freely": "likewise",
    "renegotiate-explicit": "likewise",
    "forbid-renegotiation-after-handshake": "as ever",
    "handshake-never-done": "at the end of a case that fails before",
    "use-old-client-cert-callback": "one way of giving a certificate among others",
    "partial-write": "what is written is taken as a whole",
    "expect-verify-result": "a handshake that is complete has come to a good verdict: there is no result beside it",
    "no-tls1": "we have none",
    "no-tls11": "we have none",
    "expect-not-resumable-across-names": "no session of ours is",
    "decline-alpn": "so does a server that has no protocols",
    "renew-ticket": "a server of TLS 1.2 always renews the ticket that it takes",
    "expect-cipher-no-aes": "the order of ciphers does not look at the machine: it is the one for machines with AES",
    "trust-cert": "the suite's application believes everybody, or nobody: BoringSSL's own shim ignores it, too",
}
"""Flags that change nothing for us, and why; those with a value are among VALUES, too."""

SWITCHES = [
    "minitls-asyncio",
    "async",
    "server",
    "ipv6",
    "fallback-scsv",
    "no-tls13",
    "no-tls12",
    "no-ticket",
    "no-legacy-server-connect",
    "require-any-client-certificate",
    "verify-peer",
    "verify-fail",
    "use-custom-verify-callback",
    "reverify-on-resume",
    "shim-writes-first",
    "shim-shuts-down",
    "check-close-notify",
    "send-alert",
    "key-update",
    "key-update-before-read",
    "write-different-record-sizes",
    "read-with-unfinished-write",
    "peek-then-read",
    "use-exporter-between-reads",
    "reject-alpn",
    "select-empty-alpn",
    "no-server-name-ack",
    "expect-session-miss",
    "expect-extended-master-secret",
    "expect-no-session",
    "expect-ticket-renewal",
    "expect-session-id",
    "expect-no-session-id",
    "expect-no-peer-cert",
    "expect-hrr",
    "expect-no-hrr",
    "expect-no-server-name",
    "expect-secure-renegotiation",
    "expect-no-secure-renegotiation",
    "renegotiate-ignore",
    "enable-early-data",
    "expect-ticket-supports-early-data",
    "expect-accept-early-data",
    "expect-reject-early-data",
    "expect-no-offer-early-data",
    "enable-ocsp-stapling",
    "enable-signed-cert-timestamps",
    "enable-grease",
    "permute-extensions",
    "no-key-shares",
    "server-preference",
    "fips-202205",
    "wpa-202304",
    "cnsa-202407",
    "cnsa1-202603",
    "cnsa2-202603",
    "tls-unique",
    "use-export-context",
    "export-traffic-secrets",
    "use-early-callback",
    "fail-early-callback",
    "fail-cert-callback",
    "install-ddos-callback",
    "fail-ddos-callback",
    "use-ticket-callback",
    "use-ticket-aead-callback",
    "skip-ticket",
    "use-ocsp-callback",
    "set-ocsp-in-callback",
    "decline-ocsp-callback",
    "fail-ocsp-callback",
    "install-cert-compression-algs",
    "must-match-issuer",
]

VALUES: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(
        [
            "port",
            "shim-id",
            "resume-count",
            "min-version",
            "max-version",
            "expect-version",
            "repeat-shim-initial-write",
            "resumption-delay",
            "read-size",
            "max-send-fragment",
            "max-cert-list",
            "export-keying-material",
            "expect-peer-signature-algorithm",
            "expect-curve-id",
            "expect-cipher",
            "expect-cipher-aes",
            "expect-cipher-no-aes",
            "expect-selected-credential",
            "expect-ticket-age-skew",
            "early-write-after-message",
            "expect-total-renegotiations",
            "expect-peer-certificate-type",
            "install-one-cert-compression-alg",
        ],
        int,
    ),
    **dict.fromkeys(
        [
            "cert-file",
            "key-file",
            "host-name",
            "expect-server-name",
            "trust-cert",
            "cipher",
            "expect-peer-cert-file",
            "expect-msg-callback",
            "use-client-ca-list",
            "expect-client-ca-list",
            "expect-early-data-reason",
            "export-label",
        ],
        str,
    ),
    **dict.fromkeys(
        [
            "advertise-alpn",
            "expect-alpn",
            "expect-advertised-alpn",
            "select-alpn",
            "psk",
            "psk-identity",
            "shim-initial-write",
            "export-context",
        ],
        os.fsencode,
    ),
    **dict.fromkeys(
        [
            "ocsp-response",
            "signed-cert-timestamps",
            "expect-ocsp-response",
            "expect-signed-cert-timestamps",
            "ticket-key",
            "expect-certificate-types",
            "expect-peer-rpk-sha256",
            "psk-importer-key",
            "psk-importer-identity",
            "psk-importer-context",
        ],
        _base64,
    ),
}

LISTS = [
    "curves",
    "curves-flags",
    "key-shares",
    "server-supported-groups-hint",
    "signing-prefs",
    "verify-prefs",
    "expect-peer-verify-pref",
    "accepted-peer-cert-types",
    "available-client-cert-types",
]
"""Numbers, each by a flag of its own."""

CREDENTIALS = {
    "new-x509-credential": "x509",
    "new-rpk-credential": "rpk",
    "new-psk-credential": "psk",
}
"""Each begins a credential, which the flags of OF_CREDENTIAL are about from then on."""

OF_CREDENTIAL = frozenset(
    [
        "cert-file",
        "key-file",
        "signing-prefs",
        "ocsp-response",
        "signed-cert-timestamps",
        "must-match-issuer",
        "psk-importer-key",
        "psk-importer-identity",
        "psk-importer-context",
        "psk-importer-sha256",
        "psk-importer-sha384",
    ]
)
HASHES = {"psk-importer-sha256": "sha256", "psk-importer-sha384": "sha384"}


class Settings:
    """What the flags say, by their names with underscores; None, False or [] for what was not said."""

    def __init__(self, kind: str = "") -> None:
        self.kind = kind
        self.credentials: list[Settings] = []
        self.said: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        flag = name.rstrip("_").replace("_", "-")
        if flag in self.said:
            return self.said[flag]
        if flag in SWITCHES:
            return False
        if flag in LISTS:
            return []
        if flag in VALUES or flag == "psk-importer-hash":
            return None
        raise AttributeError(name)

    def say(self, flag: str, value: Any) -> None:
        target = self.credentials[-1] if self.credentials and flag in OF_CREDENTIAL else self
        if flag in CREDENTIALS:
            self.credentials.append(Settings(CREDENTIALS[flag]))
        elif flag in HASHES:
            target.said["psk-importer-hash"] = HASHES[flag]
        elif flag in LISTS:
            target.said.setdefault(flag, []).append(value)
        else:
            target.said[flag] = value


def parse(argv: Sequence[str]) -> tuple[Settings, Settings, Settings]:
    """The settings of the first connection, of resumed ones, and after rejected 0-RTT.  Raises Unimplemented."""
    first, resumed, retried = Settings(), Settings(), Settings()
    only = {"-on-initial": first, "-on-resume": resumed, "-on-retry": retried}
    words = iter(argv)
    for word in words:
        targets, name = [first, resumed, retried], word
        for prefix, target in only.items():
            if name.startswith(f"{prefix}-"):
                targets, name = [target], name[len(prefix) :]
        flag = name.removeprefix("-")
        value: Any = True
        if flag in VALUES:
            value = VALUES[flag](next(words))
        elif flag in LISTS:
            value = int(next(words))
        elif flag not in SWITCHES and flag not in CREDENTIALS and flag not in HASHES and flag not in IGNORED:
            raise Unimplemented(word)
        for target in targets:
            target.say(flag, copy.copy(value))
    return first, resumed, retried
