"""What an operator does; sees a Vault only from outside."""
