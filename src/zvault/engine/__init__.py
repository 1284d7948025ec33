"""The embedded server; no HTTP inside."""
