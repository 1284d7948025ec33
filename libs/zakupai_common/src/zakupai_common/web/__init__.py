"""Pieces of an HTTP service: the app, health, errors, logs, identity, limits, metrics.

What lives here: ASGI middlewares that know no framework, and what ties them to FastAPI
(``service.py``, ``errors.py``). What never does: what a service computes.
"""
