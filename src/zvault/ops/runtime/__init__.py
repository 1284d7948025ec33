"""How a server runs."""
