"""Results of ``zvault store`` as sentences and as JSON values.

What lives here: words and shapes (documented in ``docs/cli.md``). Pure.
"""

from dataclasses import asdict
from typing import Any

from zvault.offline.inspect import Inspection
from zvault.offline.report import VerifyReport
from zvault.storage.compare import Comparison, describe
from zvault.storage.copy import CopyReport

_NAMED = 20


def inspection_lines(found: Inspection) -> list[str]:
    """What ``inspect`` prints."""
    state = "initialised" if found.is_initialized else "NOT initialised"
    lines = [f"{found.store}: {state}, family {found.family}"]
    if found.seal is not None:
        lines.append(
            f"seal: {found.seal.type}, {found.seal.secret_threshold} of "
            f"{found.seal.secret_shares} shares"
        )
    elif found.seal_problem:
        lines.append(f"seal: {found.seal_problem}")
    lines.append(f"{found.entries} entries, {found.bytes} bytes of values")
    lines += [f"  {count:>8} {prefix}" for prefix, count in found.by_prefix.items()]
    terms = ", ".join(f"{term} ({count})" for term, count in sorted(found.terms.items()))
    lines.append(f"terms in record headers: {terms or 'none'}")
    shown = found.suspicions[:_NAMED]
    lines += [f"odd: {item.key or 'the store'}: {item.problem}" for item in shown]
    return lines + _more("odd", found.suspicions_count)


def verify_lines(report: VerifyReport) -> list[str]:
    """What ``verify`` prints."""
    counts = report.counts
    lines = [
        f"{report.store}: family {report.family}, {report.threshold} of {report.shares} shares, "
        f"active term {report.terms[-1]}",
        f"{report.entries} entries in {report.seconds:.2f} s "
        f"({report.entries_per_second:.0f} entries/s)",
        f"{counts.mounts} mounts, {counts.auth_methods} auth methods, {counts.policies} policies, "
        f"{counts.roles} roles, {counts.secret_ids} secret ids, {counts.tokens} tokens, "
        f"{counts.secrets} secrets, {counts.versions} versions",
    ]
    if report.is_live:
        lines.append(f"the store is live: {report.vanished} entries went while it was read")
    lines += [f"NOT OPENED {item.key}: {item.reason}" for item in report.unopened[:_NAMED]]
    lines += _more("NOT OPENED", report.unopened_count)
    shown = sorted(report.findings, key=lambda item: not item.is_loss)[:_NAMED]
    lines += [f"{'LOST' if f.is_loss else 'odd'} {f.key}: {f.problem}" for f in shown]
    lines += _more("LOST or odd", report.findings_count)
    return [*lines, _verdict(report)]


def _verdict(report: VerifyReport) -> str:
    if not report.ok:
        return report.describe()
    odd = report.findings_count
    return "every entry opens" + (f"; {odd} odd, none of them a loss" if odd else "")


def _more(word: str, total: int) -> list[str]:
    """What was left out of a list of ``total`` of which the first are shown."""
    return [f"{word}: {total - _NAMED} more"] if total > _NAMED else []


def comparison_json(found: Comparison, a: str, b: str) -> dict[str, Any]:
    """The documented shape of ``compare --json``."""
    return {"a": a, "b": b, "equal": found.equal, "proof": found.proof, **asdict(found)}


def comparison_lines(found: Comparison, a: str, b: str) -> list[str]:
    """What ``compare`` prints."""
    words = (
        ("missing in the second", found.missing_in_b),
        ("only in the second", found.extra_in_b),
        ("different", found.differing),
        ("no entry in the first", found.foreign_a),
        ("no entry in the second", found.foreign_b),
    )
    lines = [f"{a} and {b}: {describe(found)}, {found.skipped} skipped"]
    for word, keys in words:
        lines += [f"{word}: {key}" for key in keys[:_NAMED]] + _more(word, len(keys))
    return lines


def copy_json(report: CopyReport) -> dict[str, Any]:
    """The documented shape of ``copy --json``."""
    rate = report.entries / report.seconds if report.seconds > 0 else 0.0
    return {
        **asdict(report),
        "seconds": round(report.seconds, 3),
        "entries_per_second": round(rate),
        "equal": None if report.live else True,
    }


def copy_lines(report: CopyReport) -> list[str]:
    """What ``copy`` prints."""
    shape = copy_json(report)
    lines = [
        f"{report.source} -> {report.destination}: {report.entries} entries, {report.bytes} bytes "
        f"in {report.seconds:.2f} s ({shape['entries_per_second']} entries/s), "
        + ("each seen equal once by " if report.live else "proven equal by ")
        + report.proof,
        f"{report.skipped} skipped, {report.read_back} read back"
        + (", resumed" if report.resumed else ""),
    ]
    for word, keys in (
        ("not copied, no entry", report.foreign),
        ("copied, but looks like a leftover", report.leftovers),
    ):
        lines += [f"{word}: {key}" for key in keys[:_NAMED]] + _more(word, len(keys))
    return lines
