"""Style: the CSS of the HTML report, light and dark, without anything from outside."""

from __future__ import annotations

from typing import Final

CSS: Final = """
:root {
  color-scheme: light dark;
  --page: #f7f6f3; --card: #ffffff; --ink: #24231f; --quiet: #77736a; --rule: #e6e3dc;
  --soft: #f1efea;
  --c1: #2f6f8f; --c2: #4d9a83; --c3: #d08a45; --c4: #8a70ad; --c5: #bf5b52; --c6: #b39c3d;
  --c7: #7d8894; --c8: #b0708f;
  --useful: #4d9a83; --failed_run: #bf5b52; --compensation: #b0708f; --failed_attempt: #d08a45;
  --lost: #b39c3d;
  --superseded: #7d8894; --escalation: #8a70ad; --exploration: #2f6f8f; --unsettled: #c9c5bb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --card: #1c1f23; --ink: #e6e3dc; --quiet: #98958d; --rule: #2e3237;
    --soft: #24282d;
    --c1: #6fb0cf; --c2: #6cbda4; --c3: #dfa367; --c4: #ab94cd; --c5: #d97d74; --c6: #cdb85f;
    --c7: #97a2ae; --c8: #cc92ad;
    --useful: #4f9c85; --failed_run: #c96a61; --compensation: #b87a98; --failed_attempt: #d0935a;
    --lost: #b8a450;
    --superseded: #818c98; --escalation: #957dba; --exploration: #4b8fb0; --unsettled: #4a4f55;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Inter, Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased;
}
main { max-width: 1160px; margin: 0 auto; padding: 44px 24px 56px; }
header { margin-bottom: 28px; }
h1 {
  font-size: 28px;
  line-height: 1.2;
  font-weight: 640;
  letter-spacing: -0.015em;
  margin: 0 0 6px;
}
h2 { font-size: 13px; font-weight: 640; margin: 0 0 2px; }
section > h2.part { font-size: 18px; letter-spacing: -0.01em; margin: 40px 0 14px; }
p { margin: 0; }
.quiet, .note { color: var(--quiet); }
.note { font-size: 12.5px; }
.card {
  background: var(--card);
  border: 1px solid var(--rule);
  border-radius: 12px;
  padding: 18px 20px;
  min-width: 0;
}
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(168px, 1fr)); gap: 12px; }
.tile { padding: 15px 16px 13px; display: flex; flex-direction: column; }
.tile b {
  display: block;
  font-size: 23px;
  line-height: 1.25;
  font-weight: 620;
  letter-spacing: -0.02em;
  margin: 1px 0;
  white-space: nowrap;
}
.tile b.none { font-size: 18px; font-weight: 450; color: var(--quiet); line-height: 30px; }
.tile .spark { margin-top: auto; padding-top: 8px; }
.two { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px; }
.plot { display: block; width: 100%; height: auto; margin-top: 8px; overflow: visible; }
.spark { display: block; width: 100%; height: 38px; }
svg text {
  font: 11px system-ui, -apple-system, "Segoe UI", Inter, Roboto, "DejaVu Sans", sans-serif;
  fill: var(--quiet);
}
svg .label { font-weight: 600; }
.grid { stroke: var(--rule); stroke-width: 1; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.thin { stroke-width: 1.3; stroke-dasharray: 1 3.2; }
.area { opacity: 0.11; }
.touch { fill: transparent; }
.touch:hover { fill: var(--ink); fill-opacity: 0.06; }
.partition { display: block; width: 100%; height: 30px; border-radius: 6px; margin: 14px 0 16px; }
.bar { display: block; width: 100%; height: 12px; border-radius: 3px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th {
  text-align: left;
  font-weight: 500;
  color: var(--quiet);
  font-size: 12.5px;
  padding: 0 10px 8px 0;
  white-space: nowrap;
}
td { padding: 7px 10px 7px 0; border-top: 1px solid var(--rule); vertical-align: middle; }
th.n, td.n { text-align: right; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
td.name { font-weight: 550; overflow-wrap: anywhere; min-width: 9ch; }
td .spark { width: 110px; height: 24px; margin-left: auto; }
td.none { color: var(--quiet); }
.inner td { border-top: 0; padding-top: 0; color: var(--quiet); font-size: 13px; }
.inner td:first-child { padding-left: 14px; }
.figures td:nth-child(3) {
  color: var(--quiet);
  font-size: 12.5px;
  width: 42%;
  padding-left: 8px;
  overflow-wrap: anywhere;
}
.figures { margin-top: 10px; }
.swatch {
  display: inline-block;
  width: 10px;
  height: 10px;
  border-radius: 3px;
  margin-right: 8px;
  flex: none;
}
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; }
.legend span { display: inline-flex; align-items: center; }
.legend em { font-style: normal; color: var(--quiet); margin-left: 6px; }
.rows {
  display: grid;
  grid-template-columns: minmax(70px, max-content) minmax(80px, 1fr) max-content;
  gap: 12px 16px;
  align-items: center;
  margin: 16px 0 18px;
  font-size: 13.5px;
}
.rows .n { text-align: right; }
.rows > span:nth-child(3n + 1) { overflow-wrap: anywhere; }
footer {
  margin-top: 36px;
  padding-top: 16px;
  border-top: 1px solid var(--rule);
  color: var(--quiet);
  font-size: 12.5px;
  max-width: 78ch;
}
@media (max-width: 760px) {
  main { padding: 26px 14px 40px; }
  .two { grid-template-columns: minmax(0, 1fr); }
  h1 { font-size: 23px; }
  .figures td:nth-child(3) { display: none; }
}
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""
_COLOURS: Final = 8
_PAINTED: Final = (
    "useful",
    "failed_run",
    "compensation",
    "failed_attempt",
    "lost",
    "superseded",
    "escalation",
    "exploration",
    "unsettled",
)


def sheet() -> str:
    """The CSS, with a class for each colour: `s` for lines, `f` for areas, `t` for text."""
    rules = [
        f".s{n} {{ stroke: var(--c{n}); }} .f{n} {{ fill: var(--c{n}); }} "
        f"svg .t{n} {{ fill: var(--c{n}); }} .b{n} {{ background: var(--c{n}); }}"
        for n in range(1, _COLOURS + 1)
    ]
    rules += [
        f".w-{name} {{ fill: var(--{name}); background: var(--{name}); }}" for name in _PAINTED
    ]
    return CSS + "\n".join(rules)
