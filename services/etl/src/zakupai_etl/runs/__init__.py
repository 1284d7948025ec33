"""Runs: goszakup's records, page by page, into PostgreSQL."""
