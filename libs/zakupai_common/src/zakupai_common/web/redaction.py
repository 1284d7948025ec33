"""What must not be read in a log is taken out before it is written.

What lives here: the live secrets of a process and the shapes of secrets in general, and the text
without them. What never does: logging itself.
Invariant: a value that the process holds as a secret is cut out wherever it stands, also inside a
traceback; the shapes catch what it does not hold (a token out of somebody else's answer).
"""

import re
from collections.abc import Callable, Iterable

REDACTED = "<redacted>"
_REPEATED, _REMEMBERED = 64, 4096
_SHORTEST = 6
"""Shorter values (a port, "true") would cut up ordinary words; they are no secrets."""
_NAMES = (
    r"(?:[a-z0-9_.-]*(?:password|passwd|secret|token|api[_-]?key|pepper|authorization)[a-z0-9_.-]*)"
)
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host
    (re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@"), rf"\1:{REDACTED}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {REDACTED}"),
    (re.compile(r"\bhv[sbr]\.[A-Za-z0-9_-]{8,}"), REDACTED),
    (re.compile(r"\b[sbr]\.[A-Za-z0-9]{20,}"), REDACTED),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), REDACTED),
    (re.compile(r"\bzk_([A-Za-z0-9]+)_[A-Za-z0-9]+"), rf"zk_\1_{REDACTED}"),
    (re.compile(r"\bz[ri]_[A-Za-z0-9_-]{20,}"), REDACTED),  # refresh tokens and invitations
    (re.compile(r"\b\d{6,}:[A-Za-z0-9_-]{30,}"), REDACTED),  # a Telegram bot's token
    # password=…, "secret_id": "…", token: '…'
    (
        re.compile(rf"(?i)([\"']?{_NAMES}[\"']?\s*[=:]\s*)([\"'])(?:(?!\2).)*\2"),
        rf"\1\2{REDACTED}\2",
    ),
    (re.compile(rf"(?i)\b({_NAMES}=)[^\s&\"',;<]+"), rf"\1{REDACTED}"),
)


class Redactor:
    """``live`` gives the texts of all secrets the process holds now."""

    def __init__(self, live: Callable[[], Iterable[str]] = tuple) -> None:
        self._live = live
        self._clean: set[str] = set()

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        if text in self._clean:
            return text
        cut = self._cut(text)
        # Most lines repeat a few words. What passed once may pass again: a text that becomes a
        # secret later was written before it was one.
        if cut == text and len(text) <= _REPEATED:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.add(text)
        return cut

    def _cut(self, text: str) -> str:
        for value in sorted(self._live(), key=len, reverse=True):
            if len(value) >= _SHORTEST and value in text:
                text = text.replace(value, REDACTED)
        for shape, instead in _SHAPES:
            text = shape.sub(instead, text)
        return text
