"""The same requests over HTTP to the embedded server and to a real OpenBao 2.6.2, both fresh.

What lives here: the two sides, the scripted and the generated requests, and the one list of
differences that are accepted (``accepted.toml``): at most 25, each with its reason, none about
who may do what.
"""
