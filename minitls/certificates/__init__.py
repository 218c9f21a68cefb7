"""Who is who: credentials, trust, verification, and a development CA.

Verification goes two ways.  ``x509.verification`` of pyca/cryptography decides first: it is fast, and right for the web's
PKI.  What it refuses is looked at once more by ``path``, a small path builder of our own, because private PKIs do what the
web's may not (a pinned self-signed leaf, roots without keyUsage, leaves without an authority key identifier, Ed25519, Ed448
and ML-DSA authorities, client certificates without names), and because a refusal must say which certificate, which rule, and
what to do.  What ``path`` does not know, such as a critical extension or a kind of name constraint, is a reason to refuse.

Then, for both, what neither the web's rules nor the verifier have: the leaf's key must be one that TLS can use, of a size
worth having (``keys``), and meant for signing; its name is matched by one function (``names``).

A peer may also show a key without a certificate, believed because somebody listed it (``raw``), or sign with one that its
certificate's key has signed (``delegated``).

Verdicts are cached by chain, name and store; the validity period is checked each time.
"""
