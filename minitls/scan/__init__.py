"""What a server supports, and what is wrong with it: the part of ``minitls scan`` that knows TLS.

A scan is a series of small conversations.  Most are one hand-made hello (:mod:`minitls.scan.hello`), of which any number that IANA
has given away can be a part, and the first words of the answer (:mod:`minitls.scan.answer`): a ServerHello says what the server
takes, an alert what it does not, and the connection is closed.  So old versions and broken ciphers are reported, and never spoken.
What a hello cannot find out (resumption, 0-RTT, KeyUpdate, what is encrypted) is done with minitls' own engine.

``prober`` opens the connections, a few at once and not too many in a second; the probes (``versions``, ``suites``, ``groups``,
``signatures``, ``identity``, ``features``, ``sessions``, ``tolerance``, ``web``) fill in ``facts``; ``findings`` judges the facts
and asks nobody; ``report`` is both as JSON, and describes its schema; ``survey`` says in which order all this happens.

Rules.  A question has one meaning: what else the hello offers must not decide.  What was not found out is None, and no finding is
made of it.  Nothing that the server sends is believed to be of any shape: whatever comes is an answer of some kind, no exception.
No probe exploits anything, and none sends what a server that follows the RFCs would have to choke on.
"""
