"""Pure cryptography and Shamir; no I/O, no Vault paths."""
