"""hvac's own integration suite against the embedded server, as ``make conformance`` runs it.

What lives here: which modules of the suite and how many tests of each must pass, the executable
that the suite takes for a Vault, and the run with its table. The suite comes from hvac's sdist,
pinned by hash, unpacked anew for every run; no test of it is edited or deselected.
"""
