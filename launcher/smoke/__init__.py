"""``python -m launcher smoke``: a person's requests through everything that ``up`` started.

Each check proves a property (the row was read back, the sample has the value that the requests make
true), never that something ran. A check that cannot be made is named, not counted as passed.
"""
