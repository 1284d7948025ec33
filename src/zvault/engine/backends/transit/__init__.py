"""Transit: encryption, signatures and HMACs with keys that stay in the store."""
