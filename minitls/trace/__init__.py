"""Renderers: what an observer was told (:mod:`minitls.observe`), made readable.

Each takes a list of observations, as ``config.observer`` gathers them with ``observations.append``, and gives text.  ``figure``
draws the RFC's message-flow figure of a run; the others tell the same with what the messages carried.
"""
