"""The only place where ciphertext meets plaintext."""
