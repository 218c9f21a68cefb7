"""Host names: what is asked for, in the form that certificates have (RFC 9525, RFC 6066 section 3)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from minitls.errors import Misuse


@lru_cache(1024)
def is_address(name: str) -> bool:
    """Whether this is an IP address: it is verified against the certificate's addresses, and never sent (RFC 6066 section 3)."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(1024)
def normalise(name: str) -> str:
    """The name in lower-case A-labels without its trailing dot, or the address without brackets.

    Raises Misuse, in one sentence, for what can be neither in a certificate nor in server_name.
    """
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if is_address(bare):
        return str(ipaddress.ip_address(bare.partition("%")[0]))  # a certificate knows no zone, as in fe80::1%eth0
    try:
        host = to_ascii(name)
    except UnicodeError as error:
        raise Misuse(f"{name!r} is no host name: {error}", reason="bad_host_name") from None
    host = host.removesuffix(".").lower()
    if problem := host_problem(host):
        raise Misuse(f"{name!r} is no host name: {problem}", rule="RFC 9525 2", reason="bad_host_name")
    return host


def to_ascii(name: str) -> str:
    """U-labels as A-labels, the way in which Python's resolver sends them (RFC 3490).  Raises UnicodeError."""
    return name if name.isascii() else name.encode("idna").decode("ascii")


def host_problem(host: str) -> str:
    """Why this, in ASCII, is no host name; "" if it is one."""
    if not 1 <= len(host) <= 253:
        return "it is empty" if not host else "it has more than 253 characters"
    labels = host.split(".")
    for label in labels:
        if not 1 <= len(label) <= 63:
            return "one of its labels is empty" if not label else f"the label {label[:8]}... has more than 63 characters"
        if "_" in label:
            return f"the label {label!r} has an underscore, which no certificate for a host may have"
        if not all(c.isalnum() or c == "-" for c in label) or label[0] == "-" or label[-1] == "-":
            return f"the label {label!r} is not made of letters, digits and inner hyphens"
    # What looks like an address and is none, such as 127.1, would be resolved as one and verified as a name (RFC 1123 2.1).
    return "its last label is a number" if labels[-1].isdigit() else ""


def patterns_for(host: str) -> tuple[str, ...]:
    """What a certificate for this host may have: its own name, and the wildcard that covers it (see :func:`matches`)."""
    host = host.lower()
    first, _, parent = host.partition(".")
    return (host, f"*.{parent}") if first and "." in parent and not is_address(host) else (host,)


def matches(pattern: str, name: str) -> bool:
    """Whether a certificate's name covers a host's (RFC 9525 section 6.3); case does not matter.

    A wildcard is the whole of the leftmost label, and stands for one label.  Two have to follow it, as for OpenSSL: ``*.com``
    would cover all of a registry's customers.
    """
    pattern, name = pattern.lower(), name.lower()
    if pattern.startswith("*."):
        first, _, parent = name.partition(".")
        return first != "" and "." in parent and pattern[2:] == parent and not is_address(name)
    return pattern == name


@lru_cache(1024)
def any_matches(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of them does: of a certificate that is shown again and again."""
    return any(matches(pattern, name) for pattern in patterns)
