"""Tokens that are being revoked: dead in memory before they are gone from storage.

What lives here: the marks, counted, and how they meet tokens that are just being made. What never
does: storage. Invariant: a mark stays until the last revocation of the token is through and until
every child that was being made meanwhile has been judged by it.
"""

from collections import Counter


class Doomed:
    """Inner ids of tokens that are dead whatever storage says."""

    def __init__(self) -> None:
        self._marks: Counter[str] = Counter()
        self._making: Counter[str] = Counter()
        self._ids: set[str] = set()

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def mark(self, token: str) -> None:
        """A revocation has begun."""
        self._marks[token] += 1
        self._ids.add(token)

    def unmark(self, token: str) -> None:
        """A revocation is through, or has failed."""
        self._marks[token] -= 1
        if not self._marks[token]:
            del self._marks[token]
            self._release(token)

    def child_begins(self, parent: str) -> None:
        """A child of ``parent`` is being made."""
        self._making[parent] += 1

    def child_done(self, parent: str) -> None:
        """It is there or it is not."""
        self._making[parent] -= 1
        if not self._making[parent]:
            del self._making[parent]
            self._release(parent)

    def _release(self, token: str) -> None:
        if token not in self._marks and token not in self._making:
            self._ids.discard(token)
