"""What is counted and timed, under Vault's names.

What never lives here: who may read it, HTTP.
"""
