"""The picture: the latency of every operation over time, as SVG without a script or a font. Pure.

What lives here: scales, dots, bands, labels. Every operation is one dot; nothing is averaged away.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from demo.load.ledger import Operation
from demo.report.figures import Kill, Step

WIDTH, TOP, LEFT, RIGHT = 1200, 58, 62, 18
PLOT_HEIGHT, GAP, STRIP_HEIGHT, BOTTOM = 400, 26, 70, 34
HEIGHT = TOP + PLOT_HEIGHT + GAP + STRIP_HEIGHT + BOTTOM
_FAMILIES = (
    (
        "read",
        "reads",
        ("kv.read", "kv.list", "kv.metadata", "kv.shared", "kv1.read", "cubbyhole.r"),
    ),
    ("write", "writes", ("kv.", "kv1.write", "cubbyhole.w")),
    ("token", "logins and tokens", ("login", "token.", "secret-id", "denied", "policy", "role")),
)
_LETTER = 6.8
_HELD_SECONDS = 0.4
_MARGIN_SECONDS = 0.5
_TICKS_MS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


def family(kind: str) -> str:
    """To which colour an operation belongs."""
    return next(
        name for name, _, starts in (*_FAMILIES, ("write", "", ("",))) if kind.startswith(starts)
    )


class Scales:
    """Seconds to x, milliseconds to y (logarithmic)."""

    def __init__(self, begin: float, end: float, longest_ms: float) -> None:
        self.begin, self.end = begin, max(end, begin + 1)
        self._low = 0.5
        self._high = max(longest_ms * 1.5, 100.0)

    def x(self, moment: float) -> float:
        share = (moment - self.begin) / (self.end - self.begin)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, milliseconds: float) -> float:
        bounded = min(max(milliseconds, self._low), self._high)
        share = math.log(bounded / self._low) / math.log(self._high / self._low)
        return TOP + PLOT_HEIGHT * (1 - share)

    def ticks(self) -> list[float]:
        return [tick for tick in _TICKS_MS if self._low < tick < self._high]


def draw(steps: Sequence[Step], operations: Sequence[Operation], kills: Sequence[Kill]) -> str:
    """The whole picture as one ``<svg>``, from the first operation to the last."""
    begin = min((op.started for op in operations), default=0.0) - _MARGIN_SECONDS
    end = max((op.ended or op.started for op in operations), default=1.0) + _MARGIN_SECONDS
    longest = max((op.seconds * 1000 for op in operations), default=1.0)
    scales = Scales(begin, end, longest)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="latency of every operation over time">',
        *_bands([step for step in steps if step.ended > begin and step.started < end], scales),
        *_grid(scales),
        *_kill_lines(kills, scales),
        *_dots(operations, scales),
        *_waits(operations, scales),
        *_failures(operations, scales),
        *_kill_labels(kills, scales),
        *_longest(operations, scales),
        *_strip(operations, scales),
        *_time_axis(scales),
        "</svg>",
    ]
    return "\n".join(parts)


def legend() -> str:
    """The colours, as HTML."""
    return "".join(
        f'<span class="key"><i class="{name}"></i>{escape(words)}</span>'
        for name, words, _ in _FAMILIES
    )


def _bands(steps: Sequence[Step], scales: Scales) -> Iterable[str]:
    bottom = TOP + PLOT_HEIGHT + GAP + STRIP_HEIGHT
    row_ends = [-1e9, -1e9]
    for number, step in enumerate(steps):
        left = scales.x(max(step.started, scales.begin))
        right = scales.x(min(step.ended, scales.end))
        yield (
            f'<rect class="band{number % 2}" x="{left:.1f}" y="{TOP}" '
            f'width="{max(right - left, 0.5):.1f}" height="{bottom - TOP}"/>'
        )
        yield f'<line class="edge" x1="{left:.1f}" x2="{left:.1f}" y1="{TOP - 6}" y2="{bottom}"/>'
        # A label too wide for its band goes to the row above.
        half = _LETTER * len(step.short) / 2
        middle = min((left + right) / 2, WIDTH - RIGHT - half)
        row = 0 if middle - half >= row_ends[0] else 1
        row_ends[row] = middle + half + _LETTER
        yield (
            f'<text class="step" x="{middle:.1f}" y="{TOP - 12 - 18 * row}" '
            f'text-anchor="middle">{escape(step.short)}</text>'
        )


def _grid(scales: Scales) -> Iterable[str]:
    for tick in scales.ticks():
        y = scales.y(tick)
        words = f"{tick:g} ms" if tick < 1000 else f"{tick / 1000:g} s"
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{words}</text>'


def _dots(operations: Sequence[Operation], scales: Scales) -> Iterable[str]:
    """One path a colour: a zero-length line with a round cap is a dot."""
    moves: dict[str, list[str]] = {name: [] for name, _, _ in _FAMILIES}
    for op in operations:
        if op.ok:
            place = f"M{scales.x(op.started):.1f} {scales.y(op.seconds * 1000):.1f}h0"
            moves[family(op.kind)].append(place)
    for name, places in moves.items():
        yield f'<path class="dot {name}" d="{"".join(places)}"/>'


def _failures(operations: Sequence[Operation], scales: Scales) -> Iterable[str]:
    for op in operations:
        if not op.ok:
            x, y = scales.x(op.started), scales.y(op.seconds * 1000)
            yield (
                f'<path class="failed" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10">'
                f"<title>{escape(op.kind)}: {escape(op.error)}</title></path>"
            )


def _waits(operations: Sequence[Operation], scales: Scales) -> Iterable[str]:
    """How long an operation was held, for those that were: a line from its begin to its end."""
    moves = [
        f"M{scales.x(op.started):.1f} {scales.y(op.seconds * 1000):.1f}"
        f"H{scales.x(op.ended or scales.end):.1f}"
        for op in operations
        if op.seconds > _HELD_SECONDS
    ]
    yield f'<path class="held" d="{"".join(moves)}"/>'


def _kill_lines(kills: Sequence[Kill], scales: Scales) -> Iterable[str]:
    bottom = TOP + PLOT_HEIGHT + GAP + STRIP_HEIGHT
    for kill in kills:
        x = scales.x(kill.at)
        yield f'<line class="kill" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'


def _kill_labels(kills: Sequence[Kill], scales: Scales) -> Iterable[str]:
    """Below the dots, where it is empty; two close ones stand one above the other."""
    row_end, row = -1e9, 0
    for kill in kills:
        x = scales.x(kill.at) + 4
        row = row + 1 if x < row_end else 0
        row_end = x + _LETTER * 17
        yield (
            f'<text class="killed" x="{x:.1f}" y="{TOP + PLOT_HEIGHT - 6 - 15 * row}">'
            f"kill -9: {kill.unsealed_after_ms / 1000:.2f} s</text>"
        )


def _longest(operations: Sequence[Operation], scales: Scales) -> Iterable[str]:
    worst = max(operations, key=lambda op: op.seconds, default=None)
    if worst is None:
        return
    x, y = scales.x(worst.started), scales.y(worst.seconds * 1000)
    yield f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    yield (
        f'<text class="worst" x="{x - 10:.1f}" y="{y + 4:.1f}" '
        f'text-anchor="end">longest wait {worst.seconds * 1000:,.0f} ms</text>'
    )


def _strip(operations: Sequence[Operation], scales: Scales) -> Iterable[str]:
    """Operations that ended, per half second, below the dots."""
    width = 0.5
    bins = [0] * (int((scales.end - scales.begin) / width) + 1)
    for op in operations:
        if op.ended is not None and scales.begin <= op.ended < scales.end:
            bins[int((op.ended - scales.begin) / width)] += 1
    most = max(max(bins), 1)
    floor = TOP + PLOT_HEIGHT + GAP + STRIP_HEIGHT
    points = [f"M{LEFT} {floor}"]
    for number, count in enumerate(bins):
        x = scales.x(min(scales.begin + number * width, scales.end))
        right = scales.x(min(scales.begin + (number + 1) * width, scales.end))
        y = floor - STRIP_HEIGHT * count / most
        points.append(f"L{x:.1f} {y:.1f}H{right:.1f}")
    points.append(f"V{floor}Z")
    yield f'<path class="rate" d="{"".join(points)}"/>'
    yield (
        f'<text class="axis" x="{LEFT - 8}" y="{floor - STRIP_HEIGHT + 10}" '
        f'text-anchor="end">{most / width:.0f}/s</text>'
    )
    yield f'<text class="axis" x="{LEFT - 8}" y="{floor}" text-anchor="end">0</text>'


def _time_axis(scales: Scales) -> Iterable[str]:
    floor = TOP + PLOT_HEIGHT + GAP + STRIP_HEIGHT
    length = scales.end - scales.begin
    step = next(s for s in (5, 10, 15, 30, 60, 120, 300, 600, 1800, 10**9) if length / s <= 14)
    for number in range(int(length / step) + 1):
        seconds = number * step
        x = scales.x(scales.begin + seconds)
        words = f"{seconds // 60}:{seconds % 60:02d}"
        yield f'<text class="axis" x="{x:.1f}" y="{floor + 20}" text-anchor="middle">{words}</text>'
