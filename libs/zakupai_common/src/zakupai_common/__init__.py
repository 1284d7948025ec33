"""What the services of ZakupAI share: secrets from Vault that stay present.

Invariant: nothing here knows of ``zvault``; any Vault-compatible server will do.
"""
