"""Renderers: what an observer was told (:mod:`minitls.observe`), made readable.

A :class:`~minitls.trace.recording.Recording` is an observer that keeps everything, of a client or a server; a
:class:`~minitls.trace.run.Run` is one that is over, with what came of it, and can be saved.  Every form is made of these two:

:mod:`figure`       the RFC's message-flow figure
:mod:`text`         the same with a clock: what messages carry, every field of them, or the key schedule
:mod:`story`        step by step, for newcomers (:mod:`words` has the words); :mod:`phases`: on a poster
:mod:`html`         a page with all of it (:mod:`html_wire`, :mod:`html_proofs`; :mod:`markup` is where text becomes markup)
:mod:`pcapng`       a capture file that Wireshark opens decrypted
:mod:`json`         everything, for programs (``schema.json``)

Below them, :mod:`fields` takes messages apart by the declared structures, :mod:`keys` follows the key schedule, :mod:`values` and
:mod:`cards` say what a value or a certificate means, :mod:`verdict` what came of a run.  What strangers have sent passes
:func:`~minitls.trace.values.safe` before anybody sees it.
"""
