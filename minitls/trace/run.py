"""A run that is over: the recording, and what came of it.  Renderers draw it; :func:`save` and :func:`load` keep it in a file.

A saved run is JSON.  It has what went over the wire, so nothing that somebody on the way could not have kept, and what the messages
under keys said; the secrets are in it only if somebody asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minitls.crypto.groups import GROUPS
from minitls.errors import CertificateError, TLSError
from minitls.info import ConnectionInfo
from minitls.observe import AlertSeen, ChainVerified, ChangeCipherSpecSeen, Chosen, DataSeen, KeyInstalled, MessageSeen
from minitls.trace.recording import ClearSeen, Entry, Recording, TcpClosed, TcpOpened, WireSeen
from minitls.wire.hello import HelloRetryRequest, Message
from minitls.wire.messages import MESSAGES, read_message
from minitls.wire.messages12 import MESSAGES_12

FORMAT = "minitls-run/1"


@dataclass(frozen=True, slots=True)
class Run:
    """``connection``: what was agreed, as :func:`connection` says it; None where no handshake came to be.

    ``target``: what was asked for.  ``error``: as :func:`problem` says it.  Chains are DER, leaf first.
    """

    recording: Recording
    connection: Mapping[str, Any] | None = None
    peer_chain: tuple[bytes, ...] = ()
    verified_chain: tuple[bytes, ...] = ()
    target: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        recording: Recording,
        info: ConnectionInfo | None,
        *,
        target: Mapping[str, Any] | None = None,
        error: BaseException | None = None,
    ) -> Run:
        chain = info.peer_chain if info is not None else ()
        if not chain and isinstance(error, CertificateError):
            chain = error.chain
        return cls(
            recording,
            None if info is None else connection(info),
            chain,
            info.verified_chain if info is not None else (),
            target,
            None if error is None else problem(error),
        )


def connection(info: ConnectionInfo) -> dict[str, Any]:
    """What was agreed."""
    group = next((g for g in GROUPS.values() if g.name == info.group), None)
    return {
        "version": info.version,
        "cipher_suite": info.cipher_suite,
        "group": info.group,
        "post_quantum": group.post_quantum if group is not None else None,
        "signature_scheme": info.signature_scheme,
        "client_signature_scheme": info.client_signature_scheme,
        "alpn_protocol": info.alpn_protocol,
        "server_name": info.server_name,
        "verified": bool(info.verified_chain or info.peer_public_key),
        "peer_public_key": info.peer_public_key.hex() or None,
        "delegated": info.delegated,
        "client_delegated": info.client_delegated,
        "hello_retry": info.hello_retry,
        "resumed": info.resumed,
        "resumption": info.resumption,
        "authenticated": info.authenticated,
        "psk_identity": None if info.psk_identity is None else info.psk_identity.hex(),
        "early_data_accepted": info.early_data_accepted,
        "ech_accepted": info.ech_accepted,
        "ja3": info.client_hello.ja3 if info.client_hello_raw else None,
        "ja4": info.client_hello.ja4 if info.client_hello_raw else None,
        "handshake_seconds": info.timing.handshake,
    }


def problem(error: BaseException) -> dict[str, Any]:
    """An error: whose fault, the stable ``reason``, the rule, and the sentence."""
    found: dict[str, Any] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, TLSError):
        found.update(
            message=error.message,
            reason=error.reason,
            rule=error.rule or None,
            alert=error.alert.name if error.alert is not None else None,
        )
    if isinstance(error, CertificateError):
        found["remedy"] = error.remedy or None
    return found


# files ------------------------------------------------------------------------------------------------------------------

_ENTRIES: Mapping[str, type[Entry]] = {
    kind.__name__: kind
    for kind in (
        AlertSeen,
        ChainVerified,
        ChangeCipherSpecSeen,
        Chosen,
        ClearSeen,
        DataSeen,
        KeyInstalled,
        MessageSeen,
        TcpClosed,
        TcpOpened,
        WireSeen,
    )
}
_MESSAGES: Mapping[str, type[Message]] = {
    kind.__name__: kind for kind in (*MESSAGES.values(), *MESSAGES_12.values(), HelloRetryRequest)
}


def save(runs: Sequence[Run], *, secrets: bool = False) -> bytes:
    """The file's bytes; with the secrets that the recordings have only if asked."""
    return json.dumps({"format": FORMAT, "runs": [_saved(run, secrets) for run in runs]}, indent=1).encode("ascii")


def load(data: bytes) -> list[Run]:
    """The runs in a file, one at least.  Raises ValueError for what is none."""
    try:
        found = json.loads(data)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}, and not {FORMAT!r}")
        runs = [_loaded(each) for each in found["runs"]]
    except (KeyError, TypeError, AttributeError, RecursionError, TLSError) as error:
        raise ValueError(f"it is damaged: {error}") from None
    if not runs:
        raise ValueError("there is nothing in it")
    return runs


def _saved(run: Run, secrets: bool) -> dict[str, Any]:
    recording = run.recording
    return {
        "role": recording.role,
        "target": run.target,
        "connection": run.connection,
        "error": run.error,
        "peer_chain": [der.hex() for der in run.peer_chain],
        "verified_chain": [der.hex() for der in run.verified_chain],
        "timeline": [_saved_entry(entry) for entry in recording.timeline],
        "data": [[by_client, data.hex()] for by_client, data in recording.data],
        "fingerprints": recording.secrets,
        "key_log": recording.key_log if secrets else [],
    }


def _saved_entry(entry: Entry) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in entry.__slots__}
    for name, value in values.items():
        if isinstance(value, Message):
            values[name] = {"kind": type(value).__name__, "raw": value.raw.hex()}
        elif isinstance(value, bytes):
            values[name] = value.hex()
        elif isinstance(value, tuple):
            values[name] = [each.hex() for each in value]
    return {"entry": type(entry).__name__, **values}


def _loaded(saved: Mapping[str, Any]) -> Run:
    if saved["role"] not in ("client", "server"):
        raise ValueError(f"nobody has the role {saved['role']!r}")
    recording = Recording(saved["role"])
    recording.timeline += [_loaded_entry(dict(entry)) for entry in saved["timeline"]]
    recording.data += [(bool(by_client), bytes.fromhex(data)) for by_client, data in saved["data"]]
    recording.secrets |= {str(label): (int(length), str(sha)) for label, (length, sha) in saved["fingerprints"].items()}
    recording.key_log += map(_key_log_line, saved["key_log"])
    chains = (tuple(bytes.fromhex(der) for der in saved[name]) for name in ("peer_chain", "verified_chain"))
    maybe = {name: None if saved[name] is None else dict(saved[name]) for name in ("connection", "target", "error")}
    peer_chain, verified_chain = chains
    return Run(recording, maybe["connection"], peer_chain, verified_chain, maybe["target"], maybe["error"])


def _key_log_line(line: str) -> str:
    label, random, secret = line.split(" ")
    bytes.fromhex(random + secret)
    if not label.isascii():
        raise ValueError("its key log is damaged")
    return line


def _loaded_entry(saved: dict[str, Any]) -> Entry:
    kind = _ENTRIES[saved.pop("entry")]
    if kind is MessageSeen:
        message = saved["message"]
        saved["message"] = read_message(_MESSAGES[message["kind"]], bytes.fromhex(message["raw"]))
    elif kind is ChainVerified:
        saved["path"] = tuple(bytes.fromhex(der) for der in saved["path"])
    elif kind in (ClearSeen, WireSeen):
        saved["data"] = bytes.fromhex(saved["data"])
    entry = kind(**saved)
    for name, wanted in _TYPES.items():
        value = getattr(entry, name, None)
        if value is not None and not isinstance(value, wanted):
            raise ValueError(f"{name} is {value!r}")
    return entry


_TYPES: Mapping[str, Any] = {
    "at": (int, float),
    "sent": bool,
    "key": str,
    "code": int,
    "size": int,
    "cipher_suite": str,
    "what": str,
    "value": str,
    "why": str,
    "server_name": str,
    "local": str,
    "peer": str,
    "resolving": (int, float),
    "connecting": (int, float),
    "round_trip": (int, float),
}
"""What a person could have changed in the file, and renderers rely on."""
