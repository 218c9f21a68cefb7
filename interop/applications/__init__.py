"""Applications over ``minitls.ssl``: the libraries that people use, unchanged, with our context where theirs would be.

Every test is one text that runs four times: client and server each with the standard library's ``ssl`` and with ``minitls.ssl``.
That of ssl with ssl proves the test; that of ours with the standard library's, that we speak TLS and not just with ourselves.
A library that is there for one side only has the other side from Python's own ``http.server``, from Hypercorn (HTTP/2), or from the
server that it is made for.  ``async def`` tests run on asyncio's loop and on uvloop.

``python -m interop.applications`` runs them on every CPython that it finds (3.11 and later), each in a virtual environment with all
the libraries, in a cache outside this tree.  Where tests run by themselves, a library that is missing is a visible skip.
"""
