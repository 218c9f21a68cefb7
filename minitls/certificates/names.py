"""Host names: what is asked for, in the form that certificates have (RFC 9525, RFC 6066 section 3)."""

from __future__ import annotations

import ipaddress

from minitls.errors import Misuse


def is_address(name: str) -> bool:
    """Whether this is an IP address: it is verified against the certificate's addresses, and never sent (RFC 6066 section 3)."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def normalise(name: str) -> str:
    """The name in lower-case A-labels without its trailing dot, or the address without brackets.

    Raises Misuse, in one sentence, for what can be neither in a certificate nor in server_name.
    """
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if is_address(bare):
        return str(ipaddress.ip_address(bare))
    host = name.removesuffix(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise Misuse(f"{name!r} is no host name: {error}", reason="bad_host_name") from None
    host = host.lower()
    if problem := _problem(host):
        raise Misuse(f"{name!r} is no host name: {problem}", rule="RFC 9525 2", reason="bad_host_name")
    return host


def _problem(host: str) -> str:
    if not 1 <= len(host) <= 253:
        return "it is empty" if not host else "it has more than 253 characters"
    for label in host.split("."):
        if not 1 <= len(label) <= 63:
            return "one of its labels is empty" if not label else f"the label {label[:8]}... has more than 63 characters"
        if "_" in label:
            return f"the label {label!r} has an underscore, which no certificate for a host may have"
        if not all(c.isalnum() or c == "-" for c in label) or label[0] == "-" or label[-1] == "-":
            return f"the label {label!r} is not made of letters, digits and inner hyphens"
    return ""


def matches(pattern: str, name: str) -> bool:
    """Whether a certificate's name covers a host's (RFC 9525 section 6.3): a wildcard is the whole of the leftmost label."""
    pattern = pattern.lower()
    if pattern.startswith("*."):
        return "." in name and not is_address(name) and pattern[2:] == name.partition(".")[2]
    return pattern == name
