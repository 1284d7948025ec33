"""Renders, starts, watches the proxy."""
