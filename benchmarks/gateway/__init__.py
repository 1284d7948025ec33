"""The gateway's cost, beside proxies that do nothing but pass on.

What lives here: the bench of ``services/gateway``; ``python -m benchmarks.gateway``.
"""
