"""The operator's client to any Vault (hvac)."""
