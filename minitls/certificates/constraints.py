"""Name constraints (RFC 5280 section 4.2.1.10): a CA may be for some names only.

1. They bind every certificate below, but for a CA's own renewals (self-issued, and not the leaf).
2. A name that is excluded is refused, whatever is permitted; a name of a kind for which something is permitted must be in it.
3. Hosts, addresses, directory names and mailboxes are compared here.  For any other kind, a constraint and a name of that kind
together are a reason to refuse; and so are the minimum and maximum that a subtree may have, and nobody uses.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from minitls.certificates.facts import Facts
from minitls.certificates.faults import Fault, called, printable
from minitls.errors import Alert

MAX_COMPARISONS = 2**16
"""Names times constraints of one path: a stranger writes both."""
_PERMITTED_VIOLATION, _EXCLUDED_VIOLATION, _SUBTREE_MINMAX, _UNSUPPORTED_CONSTRAINT = 47, 48, 49, 51  # OpenSSL's numbers


def check_constraints(path: Sequence[Facts]) -> None:
    """Every name in the path is one that the CAs above it may vouch for.  ``path``: leaf first.  Raises Fault."""
    comparisons = 0
    for height, ca in enumerate(path):
        constraints = ca.extension(x509.NameConstraints)
        if constraints is None:
            continue
        if height == 0:
            text = f"{ca} has name constraints, which only a CA may have"
            raise Fault("name_constraints", Alert.unsupported_certificate, _UNSUPPORTED_CONSTRAINT, text, "RFC 5280 4.2.1.10")
        permitted, excluded = list(constraints.permitted_subtrees or ()), list(constraints.excluded_subtrees or ())
        for below in path[:height]:
            if below is not path[0] and below.self_issued:
                continue
            for name in _names(below):
                comparisons += len(permitted) + len(excluded)
                if comparisons > MAX_COMPARISONS:
                    text = f"more than {MAX_COMPARISONS} names to compare with the constraints of {ca}"
                    raise Fault("too_complex", Alert.bad_certificate, 1, text)
                _check(name, permitted, excluded, ca, below)


def check_readable(path: Sequence[Facts]) -> None:
    """The constraints are as pyca/cryptography reads them: it passes over minimum and maximum of a subtree.  Raises Fault."""
    for ca in path:
        constraints = ca.extension(x509.NameConstraints)
        if constraints is not None and constraints.public_bytes() not in ca.tbs:
            text = f"{ca} has name constraints with more in them than names"
            raise Fault("name_constraints", Alert.unsupported_certificate, _SUBTREE_MINMAX, text, "RFC 5280 4.2.1.10")


def _names(of: Facts) -> Iterator[x509.GeneralName]:
    """What a certificate is for; a mailbox in its subject counts where it has no subjectAltName."""
    subject, names = of.certificate.subject, of.extension(x509.SubjectAlternativeName)
    if subject.rdns:
        yield x509.DirectoryName(subject)
    if names is not None:
        yield from names
    else:
        for attribute in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS):
            yield x509.RFC822Name(str(attribute.value))


def _check(
    name: x509.GeneralName,
    permitted: Sequence[x509.GeneralName],
    excluded: Sequence[x509.GeneralName],
    ca: Facts,
    below: Facts,
) -> None:
    allowing = [each.value for each in permitted if type(each) is type(name)]
    forbidding = [each.value for each in excluded if type(each) is type(name)]
    if not allowing and not forbidding:
        return
    within = _WITHIN.get(type(name))
    shown = called(name.value) if isinstance(name.value, x509.Name) else printable(str(name.value))
    if within is None:
        text = f"{ca} constrains names such as {shown} of {below}, and that kind is not supported"
        code = _UNSUPPORTED_CONSTRAINT
    elif any(within(name.value, tree, True) for tree in forbidding):
        text, code = f"{ca} may not vouch for {shown}: its name constraints exclude it", _EXCLUDED_VIOLATION
    elif allowing and not any(within(name.value, tree, False) for tree in allowing):
        text, code = f"{ca} may not vouch for {shown}: its name constraints are for other names", _PERMITTED_VIOLATION
    else:
        return
    raise Fault("name_constraints", Alert.bad_certificate, code, text, "RFC 5280 4.2.1.10")


def _host_within(name: str, tree: str, excluding: bool) -> bool:
    """``example.com`` has itself and all below; ``.example.com``, which the RFC does not have but CAs write, all below."""
    name, tree = name.lower(), tree.lower()
    wild = name.startswith("*.")
    base = name[2:] if wild else name
    if wild and excluding and f".{tree.removeprefix('.')}".endswith(f".{base}"):
        return True  # the wildcard covers hosts that are excluded
    if tree.startswith("."):
        return base.endswith(tree) or (wild and base == tree[1:])
    return tree in ("", base) or base.endswith(f".{tree}")


def _address_within(name: Any, tree: Any, excluding: bool) -> bool:
    return isinstance(name, (ipaddress.IPv4Address, ipaddress.IPv6Address)) and name in tree


def _directory_within(name: x509.Name, tree: x509.Name, excluding: bool) -> bool:
    return [*map(_folded, name.rdns[: len(tree.rdns)])] == [*map(_folded, tree.rdns)]


def _folded(rdn: x509.RelativeDistinguishedName) -> frozenset[tuple[x509.ObjectIdentifier, str | bytes]]:
    """For comparison: case and repeated spaces do not count (RFC 5280 section 7.1)."""
    return frozenset((attribute.oid, _plain(attribute.value)) for attribute in rdn)


def _plain(value: str | bytes) -> str | bytes:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split()) if isinstance(value, str) else value


def _mailbox_within(name: str, tree: str, excluding: bool) -> bool:
    """One mailbox, all of a host, or all below a domain; the part before the @ keeps its case (RFC 5280 section 7.5)."""
    local, _, host = name.rpartition("@")
    host, wanted = host.lower(), tree.rpartition("@")
    if wanted[1]:
        return (local, host) == (wanted[0], wanted[2].lower())
    return host.endswith(tree.lower()) if tree.startswith(".") else host == tree.lower()


_WITHIN: dict[type[x509.GeneralName], Any] = {
    x509.DNSName: _host_within,
    x509.IPAddress: _address_within,
    x509.DirectoryName: _directory_within,
    x509.RFC822Name: _mailbox_within,
}
