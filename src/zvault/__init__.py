"""zvault: takes a Vault from a laptop set-up to a production one and back, and proves it."""

__version__ = "0.1.0"
