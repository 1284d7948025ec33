"""Configuration and wiring: the only room that names concrete classes."""
