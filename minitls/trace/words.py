"""What :mod:`minitls.trace.story` says at each step: a title and paragraphs, in plain words; the run fills in ``{...}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Words(NamedTuple):
    title: str
    text: tuple[str, ...]


def _words(title: str, *paragraphs: str) -> Words:
    return Words(title, tuple(" ".join(paragraph.split()) for paragraph in paragraphs))


STEPS: Mapping[str, Words] = {
    "tcp": _words(
        "Two computers find each other",
        """Before any encryption there is a plain TCP connection. Three small packets open it: SYN (“can you hear me?”),
        SYN-ACK (“yes; can you hear me?”), ACK (“yes”). From then on bytes arrive whole and in their order. But everybody
        on the way can read them, change them, or answer in the other's name. Against that, there is TLS.""",
    ),
    "client_hello": _words(
        "The client says hello, and what it can do",
        """ClientHello makes all offers at once: versions, ciphers, ways to agree on a key, best first. And it makes a
        guess: to save a round trip, it already has the client's half of the key exchange (a key share), for the way that
        the server will most likely take.""",
        "None of this is secret. Whoever watches can read it, the name of the site included.",
    ),
    "client_hello_12": _words(
        "The client says hello, and what it can do",
        "ClientHello makes all offers at once: versions, ciphers, ways to agree on a key, best first.",
        "None of this is secret. Whoever watches can read it, the name of the site included.",
    ),
    "psk_ticket": _words(
        "The client has been here before",
        """At the end of its hello, in pre_shared_key, the client shows a ticket. The server gave it out the last time: its own
        memory of that conversation, sealed so that only the server can open it. And both have kept a secret from that
        conversation, which never travelled.""",
        """The binder beside the ticket is a fingerprint of this hello, made with that secret: who has only copied the ticket
        cannot make it, nor move it into a hello of their own. The age of the ticket is there, too, hidden behind a number
        that came with the ticket, so that nobody on the way can tell by it who has returned.""",
    ),
    "psk_external": _words(
        "The client names a key that both have",
        """Somebody gave the same key to both sides before they ever talked, as is done for machines that belong together.
        pre_shared_key has the key's name, which everybody can read, and not the key.""",
        "The binder beside it is a fingerprint of this hello, made with the key: who does not have it cannot make it.",
    ),
    "early_data": _words(
        "The client does not wait for an answer",
        """The secret of the last visit gives a key at once, so data can go out together with the hello, before the server has
        said a word. That is called 0-RTT, and it saves a whole round trip.""",
        """It has a price. This key comes from the old secret alone: there is no forward secrecy. And who has recorded these
        packets can send them again, word for word, and they would still be good. So only what does no harm when it is done
        twice belongs here: “show me the page”, but not “buy it”.""",
        """A careful server takes early data only with a ticket that it sees for the first time, and only if the age that the
        client tells is the ticket's age right now, give or take some seconds. What it does not take it drops, and the client
        says it again later.""",
    ),
    "hello_again": _words(
        "The client says hello again",
        "The same hello, now with the half of the key exchange that the server has asked for.",
    ),
    "retry": _words(
        "The server asks again",
        "HelloRetryRequest asks {asks}, and the client has to say hello once more. It costs one round trip.",
    ),
    "server_hello": _words(
        "The server chooses",
        """From each list the server takes one, and answers with its own half of the key exchange. One round trip is over,
        and both have what they need to compute a secret.""",
    ),
    "psk_taken": _words(
        "No certificate this time",
        """The server could open the ticket, and says so in its answer. It will show no certificate and sign nothing: that saves
        some thousand bytes, and the most expensive computations. How does the client know who it talks to? The keys are made
        of the old secret, too, and only the two of the last visit have that: who it was then, it is now. Nobody else could
        make the Finished that comes.""",
        """Trust does not outlive what it was built on: a client of minitls verifies the certificates of the last visit once
        more, by today's date, before it returns, and after seven days they have to be shown again.""",
    ),
    "psk_known": _words(
        "The server has the same key",
        """It says so in its answer. Nobody shows a certificate: who can make the Finished that comes has the key, and that is
        all the proof that there is. So a key like this belongs to two, and is as hard to guess as any other.""",
    ),
    "psk_declined": _words(
        "The server does not take it",
        """There is no pre_shared_key in its answer: perhaps the server does not know it, has changed its own keys meanwhile, or
        finds the ticket too old. It does no harm. The handshake goes on as with a stranger, with a certificate and a signature.""",
    ),
    "shared_secret": _words("Both compute the same secret, and it never travelled"),
    "hybrid": _words("", "{name} is two key exchanges side by side: a listener would have to break both."),
    "diffie_hellman": _words(
        "",
        """{name} is a Diffie-Hellman exchange. Each side has made up a secret number, and sent a public one computed from
        it {where}: its share. Each combines its own secret number with the other's public one, and the mathematics makes
        both results the same. A listener has only the two public numbers, and no computer of today
        gets from these to the result.""",
    ),
    "ml_kem": _words(
        "",
        """{name} is there for the day on which a quantum computer can undo the first. The client's share also holds an
        open padlock; the server locked a random secret with it and sent that back ({size} bytes of its share). Only the
        client has the key to the padlock.""",
    ),
    "ml_kem_alone": _words(
        "",
        """{name} holds against quantum computers, too. The client's share is an open padlock; the server locked a random
        secret with it and sent that back ({size} bytes). Only the client has the key to the padlock.""",
    ),
    "change_cipher_spec": _words(
        "A message that means nothing",
        """Up to TLS 1.2, ChangeCipherSpec had a meaning. Some firewalls cut connections in which they miss it, so TLS 1.3
        still sends one as a dummy: a single byte, which the other side drops.""",
    ),
    "encrypted_extensions": _words(
        "From here on it is encrypted",
        """Both sides have made keys from that secret, and everything is under them now. The first message,
        EncryptedExtensions, settles what strangers need not know, such as the protocol to be spoken inside.""",
    ),
    "certificate_request": _words(
        "The server asks who the client is",
        "Most servers do not care, or ask for a password later. This one wants a certificate of the client too.",
    ),
    "certificate": _words(
        "The server shows who it is",
        """A secret, but shared with whom? So far the server could be anybody. Its certificate says that a public key
        belongs to a name, and somebody has signed that. The signer has a certificate too, and so on, up to a root that
        the client has trusted all along.""",
    ),
    "certificate_verify": _words(
        "… and proves it",
        """Certificates are public: anybody can send a copy. So the server signs all that was said so far with the private
        key that belongs to it, and the client checks that with the public key in the certificate. The random numbers make
        this conversation unlike any other: an old signature would not fit.""",
    ),
    "client_certificate": _words("The client shows who it is", "The same, the other way round: a certificate, and the proof."),
    "no_client_certificate": _words(
        "The client has no certificate to show",
        "It says so with an empty message. The server decides what that means.",
    ),
    "end_of_early_data": _words(
        "That was all of the early data",
        """EndOfEarlyData is the last thing under the early key: nothing has been cut off, and what comes now is under the
        handshake's.""",
    ),
    "finished": _words(
        "Both compare what they have heard",
        """Finished is a fingerprint of the whole conversation, made with a key from the shared secret. Had anybody
        changed a word on the way, or crossed out the best offer in the hello, the fingerprints would not fit, and the
        connection would end here.""",
    ),
    "session_keys": _words(
        "New keys, for the data",
        """From the secret and the whole conversation, each direction gets its final key. The handshake's keys are thrown
        away, and so are the private halves of the key shares: who steals the server's private key next year still cannot
        read what was recorded today. That is called forward secrecy.""",
    ),
    "session_keys_psk_ke": _words(
        "New keys, for the data",
        """From the old secret and the whole conversation, each direction gets its final key. There was no key exchange (psk_ke),
        so there is no forward secrecy: who learns the old secret some day can read what was recorded today.""",
    ),
    "tickets": _words(
        "A ticket for the next visit",
        """A ticket is the server's memory of this conversation, sealed so that only the server can open it, for the client to
        keep. To each belongs a key of its own, which both compute from the conversation's secrets.""",
        """Who comes back with one needs no certificate, and can even send data along with the hello (0-RTT) if the ticket
        allows it. Each serves once: nobody on the way shall see the same ticket twice.""",
    ),
    "client_authentication": _words(
        "The server asks who the client is, after all",
        """A server can wait until it has to know. Now it wants a certificate of the client, in the middle of the conversation;
        the client has said in its hello that it may.""",
        """Finished closes the answer. It is made from the whole handshake and this question, so that no answer fits another
        conversation.""",
    ),
    "key_update": _words(
        "The next key",
        "A key that has encrypted much is replaced by the next one, which is computed from it. There is no way back.",
    ),
    "data": _words(
        "Now the data, for their eyes only",
        "The keys are at work. The other side, and nobody else, turns the noise back into words.",
    ),
    "records": _words(
        "",
        """Each record begins with five bytes that everybody can read: the type (17, always “application data”), a version
        of old (03 03) and the length. The rest looks like noise. The last bytes are the seal: change a single bit, and it
        breaks.""",
    ),
    "server_hello_12": _words(
        "The server chooses",
        """From each list the server takes one: this is TLS 1.2, where nothing of the key exchange is in the hellos yet. What
        the hellos do have are two random numbers, one of each side. The keys will depend on both, so that no recorded
        conversation can be played again.""",
    ),
    "certificate_12": _words(
        "The server shows who it is, for all to see",
        """Its certificate says that a public key belongs to a name, and somebody has signed that. The signer has a
        certificate too, and so on, up to a root that the client has trusted all along. In TLS 1.2 all of this travels in
        the clear.""",
    ),
    "server_key_exchange": _words(
        "The server's half of the key exchange, signed",
        """The server makes up a secret number for this conversation alone, and sends the public number that belongs to it. It
        signs it, together with both random numbers, with the private key that belongs to the certificate: so the client
        knows that this half is the server's, and fresh.""",
    ),
    "server_key_exchange_psk": _words(
        "The server's half of the key exchange",
        """Nobody signs it here: who does not have the shared key cannot go on anyway. There may also be a hint of whose key
        is wanted.""",
    ),
    "server_hello_done": _words(
        "The server has said what it had to say",
        "ServerHelloDone is an empty message: now it is the client's turn.",
    ),
    "premaster_rsa": _words(
        "The premaster secret, encrypted with the server's public key",
        """The client makes up 48 bytes, the premaster secret, and encrypts them with the public key in the server's
        certificate. Only who has the private key can decrypt them: that is all the proof there is that the server is who it
        says. This is the handshake that the oldest textbooks draw.""",
        """It has a flaw, and for it TLS 1.3 has dropped it and RFC 10015 forbids it: there is no forward secrecy. Who records
        this conversation today, and gets hold of the server's private key in some years, can decrypt all of it.""",
    ),
    "premaster_dh": _words(
        "The client's half, and a premaster secret that never travelled",
        """The client makes up a secret number too, and sends its public half. Each combines its own secret number with the
        other's public one, and both come to the same result: that is the premaster secret. A listener has the two public
        numbers, and cannot get from them to the result. Both throw their secret numbers away afterwards (forward
        secrecy).""",
    ),
    "premaster_psk": _words(
        "Who the client is, and a secret that both had before",
        """The client says which shared key it means, and nothing else: the premaster secret is made of that key. Who learns
        the key can read every conversation made with it.""",
    ),
    "client_proof_12": _words("… and proves it", "A signature over all that was said so far, with the client's private key."),
    "master_secret": _words(
        "From the premaster secret to the session keys",
        """Both sides mix the premaster secret with what was said in this conversation, the two random numbers among it, in a
        function that cannot be undone. The result is the master secret, 48 bytes. Mixed with the randoms once more it gives
        the session keys: one for each direction, and both sides have computed them without sending them.""",
    ),
    "resumed_12": _words(
        "The secret of the last visit",
        """The client came back with a session that the server remembers: no certificate and no key exchange this time. New
        session keys are made of the old master secret and the two new random numbers. So there is no forward secrecy between
        the visits: who learns the old secret can read them all.""",
    ),
    "ticket_12": _words(
        "A ticket for the next visit",
        """The server's memory of this session, sealed so that only the server can read it, for the client to keep. Who comes
        back with it saves a round trip, and both save the expensive computations.""",
    ),
    "change_cipher_spec_12": _words(
        "From now on, encrypted",
        """ChangeCipherSpec is the moment of the change: everything that this side sends after it is under the session
        keys.""",
    ),
    "goodbye": _words(
        "Goodbye",
        """close_notify says: that was all. It is sealed like everything else, so that nobody can cut the conversation
        short and make it pass for whole. Then TCP is closed in its own way, with a FIN from each side.""",
    ),
    "alert": _words(
        "The {who} ends it",
        "An alert says that the {who} cannot go on, and why. Nothing more is sent.",
    ),
}

SUITES: Mapping[str, str] = {
    "TLS_AES_128_GCM_SHA256": "AES-GCM, with a 128-bit key, encrypts and seals the data; SHA-256 makes the fingerprints",
    "TLS_AES_256_GCM_SHA384": "AES-GCM, with a 256-bit key, encrypts and seals the data; SHA-384 makes the fingerprints",
    "TLS_CHACHA20_POLY1305_SHA256": "ChaCha20, with a 256-bit key, encrypts, Poly1305 seals; SHA-256 makes the fingerprints",
    "TLS_AES_128_CCM_SHA256": "AES-CCM, with a 128-bit key, encrypts and seals the data; SHA-256 makes the fingerprints",
    "TLS_AES_128_CCM_8_SHA256": "AES-CCM, with a seal of only 8 bytes, for the smallest of devices",
}

GREASE = "some made-up values that servers have to ignore: it keeps them ready for what is new"
FROM_WHAT = (
    "{secrets} and the hellos make the handshake's secrets; these, and everything up to the server's Finished, make the ones above"
)
EXPOSED = "no: who records this today could read it once there are large quantum computers"
