"""The programs of ``services/`` living on the demo's Vault: ``make demo SERVICES=1``.

What lives here: their roles and secrets in that Vault, the requests at each of them through the
gateway, the proof after every step. Imported only when they are wanted: without them the demo needs
none of their packages.
"""
