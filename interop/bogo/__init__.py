"""BoGo: BoringSSL's conformance suite, played against minitls.

The suite's runner starts a *shim* for each of its cases, tells it by flags what to do, and plays a peer that lies.  Here::

    flags       the flags that we know, and what they say for each of a case's connections
    settings    the flags as minitls's own configuration
    answers     what the suite's application answers when it is asked: whom it believes, what it shows
    tickets     tickets that the suite can look into
    later       a configuration whose answers take their time, for -async
    link        the engine over a blocking socket, or one byte at a time
    loop        the same by asyncio, for -minitls-asyncio
    early       a client that speaks before the server has
    expect      what the runner expects of a finished handshake
    resuming    what it expects of sessions and early data
    shim        a case: its connections, one after another
    nursery     a server that has imported all this, and forks a shim for each case
    runner      where the suite's runner comes from, and a run of it
    families    the cases by what they are about
    summary     what a run came to, family by family
    __main__    the command: runs the suite, tells the result

There is no protocol here: what the suite finds is mended in minitls.
"""
