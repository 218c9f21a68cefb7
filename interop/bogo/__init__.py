"""BoGo: BoringSSL's conformance suite, played against minitls.

The suite's runner starts a *shim* for each of its cases, tells it by flags what to do, and plays a peer that lies.  Here::

    flags       the flags that we know, and what they say for each of a case's connections
    settings    the flags as minitls's own configuration
    later       a configuration whose answers take their time, for -async
    link        the engine over a blocking socket, or one byte at a time
<<<<<<< HEAD
    loop        the same by asyncio, for -minitls-asyncio
=======
    tickets     tickets that the suite can look into
>>>>>>> 3e727ab (BoGo: early data, tickets that the suite can rewrite, sessions and what is expected of them; seven choices of ours)
    expect      what the runner expects of a finished handshake
    resuming    what it expects of sessions and early data
    early       a client that speaks before the server has
    shim        a case: its connections, one after another
    nursery     a server that has imported all this, and forks a shim for each case
    __main__    the command: gets the runner, runs it, tells the result

There is no protocol here: what the suite finds is mended in minitls.
"""
