"""The HTML report: verdict, figures, picture, table. One file, no script, no outside resource."""

from collections.abc import Sequence
from html import escape

from demo.report.outcome import TABLE_HEAD, Outcome, steps_table
from demo.report.picture import draw, legend
from demo.report.programs import TABLE_HEAD as PROGRAMS_HEAD
from demo.report.programs import programs_table

_MOST_TOLD = 12
_NOUNS = {"secrets_kv1": "KV v1 secrets", "secrets_kv2": "KV v2 secrets"}
_STYLE = """
:root { --ink:#1c2430; --soft:#5b6675; --paper:#fbfbf9; --card:#fff; --line:#e3e5e8;
  --band:#f1f3f5; --good:#1a7f4b; --bad:#b3261e;
  --read:#3b7dd8; --write:#e08a1e; --token:#8250c4; --kill:#c62828; --rate:#b9c3cf; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e9ee; --soft:#98a3b3; --paper:#14181d;
  --card:#1b2026; --line:#2d343c; --band:#1a1f25; --good:#4cc38a; --bad:#ff7b72;
  --read:#6aa5f5; --write:#f0a94b; --token:#b38cf0; --kill:#ff6b60; --rate:#3c4753; } }
* { box-sizing: border-box }
body { margin:0; background:var(--paper); color:var(--ink);
  font:15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width:1240px; margin:0 auto; padding:34px 20px 60px }
h1 { font-size:27px; line-height:1.25; margin:0 0 4px; letter-spacing:-.01em }
h1.good { color:var(--good) } h1.bad { color:var(--bad) }
h2 { font-size:17px; margin:34px 0 10px }
p.lead { color:var(--soft); margin:0 0 22px; max-width:85ch }
ul.broken { color:var(--bad); padding-left:20px }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(115px,1fr)); gap:10px }
.tile { background:var(--card); border:1px solid var(--line); border-radius:8px; padding:11px 12px }
.tile b { display:block; font-size:20px; font-weight:600; white-space:nowrap;
  font-variant-numeric:tabular-nums }
.tile span { color:var(--soft); font-size:13px }
.tile.bad b { color:var(--bad) }
figure { margin:24px 0 0; background:var(--card); border:1px solid var(--line); border-radius:8px;
  padding:14px 10px 8px }
figcaption { color:var(--soft); font-size:13px; padding:0 8px 6px }
svg { display:block; width:100%; height:auto; font:12px system-ui, sans-serif }
.key { margin-right:16px; white-space:nowrap }
.key i { display:inline-block; width:9px; height:9px; border-radius:50%; margin-right:6px }
i.read { background:var(--read) } i.write { background:var(--write) }
i.token { background:var(--token) }
.band0 { fill:transparent } .band1 { fill:var(--band) }
.edge { stroke:var(--line) } .grid { stroke:var(--line); stroke-dasharray:2 4 }
.axis { fill:var(--soft) } .step { fill:var(--ink); font-weight:600 }
.dot { fill:none; stroke-linecap:round; stroke-width:3; stroke-opacity:.5 }
.dot.read { stroke:var(--read) } .dot.write { stroke:var(--write) }
.dot.token { stroke:var(--token) }
.failed { stroke:var(--bad); stroke-width:2.5; fill:none }
.kill { stroke:var(--kill); stroke-dasharray:5 4 } .killed { fill:var(--kill); font-weight:600 }
.ring { fill:none; stroke:var(--ink); stroke-width:1.5 } .worst { fill:var(--ink); font-weight:600 }
.held { fill:none; stroke:var(--ink); stroke-opacity:.45; stroke-width:1.5 }
.rate { fill:var(--rate) }
table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums }
th, td { text-align:right; padding:7px 10px; border-bottom:1px solid var(--line) }
th:first-child, td:first-child { text-align:left }
th { color:var(--soft); font-weight:500; font-size:13px }
.scroll { overflow-x:auto }
dl { display:grid; grid-template-columns:max-content 1fr; gap:5px 18px; margin:0 }
dt { color:var(--soft) } dd { margin:0 }
"""


def page(outcome: Outcome) -> str:
    """The whole document."""
    broken = outcome.broken_promises()
    told = outcome.to_json()
    head = "Nothing lost, nothing failed" if not broken else "A promise was broken"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>zvault demo: {escape(head)}</title><style>{_STYLE}</style></head>
<body><main>
<h1 class="{"bad" if broken else "good"}">{escape(head)}</h1>
<p class="lead">{escape(_lead(outcome))}</p>
{_broken(broken)}
<div class="tiles">{"".join(_tiles(told))}</div>
<figure><figcaption>Every operation is one dot: when it began, how long its client waited.
A line shows a wait of more than 0.4 s from begin to end. &nbsp; {legend()}</figcaption>
{draw(outcome.steps, outcome.operations, outcome.kills)}
<figcaption>Below: operations completed per second.</figcaption></figure>
<h2>Step by step</h2>
<div class="scroll"><table>{_table(TABLE_HEAD, steps_table(outcome))}</table></div>
{_programs(outcome)}<h2>How it was checked</h2>
<dl>{"".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in checks(outcome))}</dl>
</main></body></html>
"""


def checks(outcome: Outcome) -> list[tuple[str, str]]:
    """What stands behind the verdict, in words."""
    found = [
        ("started from", outcome.store),
        ("S3", outcome.s3),
        (
            "the load",
            "five services and an operator, each a process with its own hvac client; "
            "nothing is retried; every read is compared with what was written before",
        ),
    ]
    if outcome.programs is not None:
        found.append(
            (
                "the services",
                f"{', '.join(outcome.programs.services)} ask Vault with tokens that live 20 s; "
                "requests go through the gateway to each of them and into PostgreSQL; after every "
                "step each was seen to use what had just been written into Vault",
            )
        )
    if outcome.offline is not None:
        told = ", ".join(
            f"{value:,} {_NOUNS.get(key, key)}" for key, value in outcome.offline.items()
        )
        found.append(("offline", f"every entry of the final store decrypts: {told}"))
    witness = outcome.witness
    if witness is not None:
        found.append(
            (
                "OpenBao",
                f"{witness.version} opened a copy of the final store with the original shares and "
                f"found the same {witness.secrets} secrets, {witness.versions} versions and "
                f"{witness.tokens} tokens",
            )
        )
    leaks = outcome.leaks
    if leaks is not None:
        found.append(
            (
                "leaks",
                f"{leaks.secrets} secrets in every spelling, looked for in {leaks.files} files, "
                f"{leaks.archive_members} packed ones ({leaks.megabytes:.0f} MB) and in arguments "
                f"and environment of {leaks.processes} processes: {len(leaks.leaks)} found; "
                + (
                    "the planted canaries were"
                    if not leaks.canaries_missed
                    else "canaries were NOT"
                ),
            )
        )
    return found


def _lead(outcome: Outcome) -> str:
    store = outcome.store[:1].upper() + outcome.store[1:]
    return (
        f"{store} went from Stage 7 to 8 to 9 and back to 8 and 7, while five services "
        f"worked with it: {len(outcome.operations):,} operations."
    )


def _broken(broken: list[str]) -> str:
    if not broken:
        return ""
    told = broken[:_MOST_TOLD]
    if len(broken) > len(told):
        told = [*told, f"and {len(broken) - len(told)} more: demo-report.json has them all"]
    items = "".join(f"<li>{escape(text)}</li>" for text in told)
    return f'<ul class="broken">{items}</ul>'


def _tiles(told: dict[str, object]) -> list[str]:
    kills = told["unseal_after_kill_ms"]
    slowest = max((ms for times in kills.values() for ms in times), default=0)  # type: ignore[attr-defined]
    zeros = ("failed_operations", "secrets_lost", "secrets_differing", "resurrected", "tokens_lost")
    tiles = [("operations", f"{told['operations']:,}", False)]
    tiles += [(name.replace("_", " "), str(told[name]), bool(told[name])) for name in zeros]
    tiles += [
        ("replayed at a kill", str(told["replayed"]), False),
        ("longest stall", f"{told['longest_stall_ms']:,.0f} ms", False),
        ("unsealed after kill -9", f"{slowest:,.0f} ms", False),
    ]
    return [
        f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b>'
        f"<span>{escape(name)}</span></div>"
        for name, value, bad in tiles
    ]


def _programs(outcome: Outcome) -> str:
    if outcome.programs is None:
        return ""
    table = _table(PROGRAMS_HEAD, programs_table(outcome.programs))
    return f"""<h2>The services, all the way through</h2>
<div class="scroll"><table>{table}</table></div>
"""


def _table(names: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells
    )
    return f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
