"""``sys/``: the server about itself. One module a group of paths; ``backend.py`` joins them."""
