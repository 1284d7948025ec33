"""One file store, served by the engine and by a real OpenBao 2.6.2 in turn, part by part.

What lives here: the journey a store makes (``journey.py``), what each part of the API puts into it,
does at the other server and finds on its return (``parts_*.py``), one test a part and journey.
"""
