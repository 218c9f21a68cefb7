"""How fast minitls is, beside asyncio's ssl, uvloop's, raw TCP, tlslite-ng and Go's crypto/tls.

    python -m interop.bench                                        the short pass, some two minutes
    python -m interop.bench --growth                               how cost grows, three more
    python -m interop.bench --full --json FILE --chart FILE.svg    everything: what the README shows, some twelve minutes
    python -m interop.bench --only 'download-*/minitls,ssl'        some metrics, some stacks; curves of --growth, too
    python -m interop.bench --read FILE --markdown FILE.md         measures nothing: other views of what --json has kept
    python -m interop.bench --list                                 what there is

How it measures.

1. A *stack* is a server and a client, each a process of its own, each pinned to a core of its own where there are two.  They
speak one small protocol (``wire``), whatever carries it, and do what the harness tells them, line by line, on their standard
input.  ``stacks`` has the table of stacks, ``metrics`` that of what is measured, ``goals`` what we want to come out.
2. Each metric is measured in *rounds*, and in each round once by every stack: A B C A B C.  What the machine does meanwhile
hits all alike.  Between two stacks the *paired* ratio counts: of the two figures of the same round; the median of these is
shown, with the lowest and the highest.  A ratio whose range spans 1 says nothing.
3. A first pass of each metric and stack warms it up, finds how much work fills the time that a sample should take, and is
not counted.
4. CPU seconds are each process's own, user and system (getrusage), and stand beside the wall time: where a side's CPU is at
its wall time, that side is the bottleneck; where neither is, the kernel or the other core was waited for.
5. All verify: a leaf and an intermediate with P-256 keys from minitls' own ``Authority``, by the root.  tlslite-ng alone
checks the handshake's signature and no chain, for it cannot; raw TCP has nothing to check.
6. A handshake counts once the client has asked something and has the answer: both sides are then done, and have dealt with
the tickets.  "known" is a client's second visit with the verdict of the first in minitls' trust store (the signature is
checked all the same); without it each connection gets a store that has seen nothing.  Nobody else keeps verdicts, so that
this is one thing for them.
7. asyncio has no argument for sessions.  Its client here resumes by an ``SSLContext`` whose ``wrap_bio`` is asked by asyncio and
uvloop, and hands over a session that an earlier connection left.  Each of the 32 at once has visited before, outside of the
clock, and with minitls and Go has its own store of sessions.  A sample with connections that were not resumed counts as failed.
8. A goal on bulk data or round trips stands beside the same ratio of raw TCP, which does nothing: where that is 3.2x, nobody who
encrypts and decrypts will be at 3.6x on this machine.
9. RSS per connection is the growth of a fresh process by 500 idle connections after a warm-up of ten, garbage collected.
The kernel's socket buffers are not in it.
10. Where the time goes (``breakdown``) and how cost grows (``growth``) are told in their modules.

What the numbers do not say.  Loopback has no distance and no loss: latency and congestion hide every difference of these on
a real network, where CPU per byte and per handshake remain.  Two cores, one connection (32 for handshakes): how thousands
share is told by ``--growth`` alone.  A CPython that was built without --enable-optimizations (the report says so) is slower at
Python, which is most of us and little of OpenSSL.  Each stack has its own defaults, suite and group included, and the report says
which were agreed: OpenSSL prefers AES-256, we and Go AES-128 (the AEAD itself is a tenth cheaper); the default group of ours and
Go's is the hybrid X25519MLKEM768, which OpenSSL has from 3.5 on: compare ``handshakes-32-x25519`` with an older one.  "malloc
tuned" sets glibc's thresholds so that asyncio's fresh 256 KiB reads do not fault in fresh pages each time: few do that, but it is
what ssl could do.
"""
