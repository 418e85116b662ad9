"""Assets: the style and the script of a frontier's page."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
main { padding-top: 26px; }
header { margin-bottom: 16px; }
header h1 { font-size: 24px; }
.tiles.three { grid-template-columns: repeat(3, minmax(0, 1fr)); }
.tile[data-n] { cursor: pointer; }
.tile .note { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.tile p { font-size: 13.5px; }
.tile small { font-size: 13px; font-weight: 400; letter-spacing: 0; color: var(--quiet); }
.tile strong { font-weight: 640; color: var(--c2); }
.tile.cheapest, .tile.knee, .tile.present { border-top: 3px solid var(--ink); }
.picture {
  display: grid; grid-template-columns: minmax(0, 1fr) 318px; gap: 12px; margin-top: 12px;
  align-items: stretch;
}
.picture .card { padding: 14px 16px; }
svg.frontier { display: block; width: 100%; height: auto; }
svg.frontier text { font-size: 11.5px; }
svg.frontier .title { font-weight: 600; fill: var(--ink); }
svg.frontier .name {
  font-size: 14.5px; font-weight: 680; fill: var(--ink);
  paint-order: stroke; stroke: var(--card); stroke-width: 5px; stroke-linejoin: round;
}
.lead { stroke: var(--ink); stroke-width: 1; opacity: .55; }
.edge { fill: none; stroke: var(--ink); stroke-width: 2; opacity: .75; stroke-linejoin: round; }
.edge.all { stroke-width: 1.2; stroke-dasharray: 2 4; opacity: .55; }
.bound { stroke: var(--c5); stroke-width: 1.4; stroke-dasharray: 6 4; }
svg.frontier .bounded { fill: var(--c5); font-weight: 600; }
.dot { cursor: pointer; opacity: .5; stroke: var(--card); stroke-width: 1; }
.dot.member { opacity: 1; stroke: var(--card); stroke-width: 1.5; }
.dot.hollow { fill: transparent; stroke: var(--quiet); stroke-width: 1.3; opacity: .7; }
.ring { fill: none; stroke: var(--ink); stroke-width: 2.4; }
.halo { fill: none; stroke: var(--ink); stroke-width: 1.4; }
.dot:hover, .dot:focus, .dot.on {
  opacity: 1; stroke: var(--ink); stroke-width: 2.5; outline: none;
}
.picture .legend {
  margin-top: 10px; align-items: center; font-size: 12.5px; color: var(--quiet); gap: 6px 18px;
}
.scale { display: flex; align-items: flex-start; gap: 10px; }
.scale b { color: var(--ink); font-weight: 600; }
.scale div { width: 200px; }
.scale i { display: block; height: 10px; border-radius: 5px; margin-top: 5px; }
.scale p { display: flex; justify-content: space-between; font-size: 11.5px; }
.mark { display: inline-block; width: 18px; height: 12px; margin-right: 6px; flex: none; }
.mark.ringed { width: 13px; height: 13px; border: 2px solid var(--ink); border-radius: 50%; }
.mark.empty { width: 11px; height: 11px; border: 1.3px solid var(--quiet); border-radius: 50%; }
.mark.line { height: 0; border-top: 2px solid var(--ink); }
.mark.line.thin { border-top: 1.5px dotted var(--ink); }
.mark.band, .unknown {
  border: 1.3px dashed var(--quiet); border-radius: 3px; background: transparent;
}
.unknown { display: inline-block; width: 84px; height: 10px; vertical-align: -1px; }
#panel { display: flex; flex-direction: column; font-size: 13px; }
#panel h2 { font-size: 16px; margin-bottom: 4px; }
#panel ul { list-style: none; margin: 6px 0 10px; padding: 0; }
#panel li { font-weight: 550; overflow-wrap: anywhere; }
#panel dl {
  display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 12px; margin: 0 0 10px;
  max-height: 226px; overflow-y: auto;
}
#panel dt { color: var(--quiet); }
#panel dd { margin: 0; text-align: right; }
#panel .why { color: var(--c5); margin-bottom: 8px; }
#panel .line { margin-top: auto; }
#panel code {
  display: block; background: var(--soft); border-radius: 6px; padding: 8px 10px; font-size: 12px;
  overflow-wrap: anywhere; white-space: pre-wrap; user-select: all; margin-top: 4px;
}
#panel button {
  font: inherit; font-size: 12px; margin-top: 6px; padding: 3px 12px; border-radius: 6px;
  border: 1px solid var(--rule); background: var(--card); color: var(--ink); cursor: pointer;
}
.said { margin-top: 16px; max-width: 92ch; }
.said p { margin: 3px 0; }
.said p:first-child, .said p:nth-child(2) { font-weight: 600; }
tr[data-n] { cursor: pointer; }
td.changes { font-size: 12.5px; overflow-wrap: anywhere; }
@media (max-width: 860px) {
  .picture { grid-template-columns: minmax(0, 1fr); }
  .tiles.three { grid-template-columns: minmax(0, 1fr); }
}
"""

SCRIPT: Final = """
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("panel");
  let pinned = data.first;
  const make = (tag, text, kind) => {
    const it = document.createElement(tag);
    if (text !== undefined) it.textContent = text;
    if (kind) it.className = kind;
    return it;
  };
  const tell = (n) => {
    const point = data.points[n];
    panel.replaceChildren();
    panel.append(make("h2", "Policy #" + n + (point.name ? ": " + point.name : "")));
    panel.append(make("p", n === pinned ? "pinned" : "click to pin", "note"));
    const list = make("ul");
    for (const text of point.changes) list.append(make("li", text));
    if (!point.changes.length) list.append(make("li", "as it is"));
    panel.append(list);
    for (const why of point.extrapolated) panel.append(make("p", "extrapolated: " + why, "why"));
    const figures = make("dl");
    if (point.saved) figures.append(make("dt", "saved a day"), make("dd", point.saved));
    for (const [name, value] of point.figures) {
      const cell = make("dd", value === null ? "not known " : value);
      if (value === null) cell.append(make("i", "", "unknown"));
      figures.append(make("dt", name), cell);
    }
    panel.append(figures);
    panel.append(make("p", point.fresh ? "of a fresh seed" : "of the sweep", "note"));
    if (!point.set) return;
    const line = make("div", undefined, "line");
    const code = make("code", point.set);
    const copy = make("button", "copy");
    copy.addEventListener("click", () => {
      if (navigator.clipboard) navigator.clipboard.writeText(point.set);
      copy.textContent = "copied";
    });
    line.append(make("span", point.release, "note"), code, copy);
    panel.append(line);
  };
  const pin = (n) => {
    pinned = n;
    for (const dot of document.querySelectorAll(".dot"))
      dot.classList.toggle("on", Number(dot.dataset.n) === n);
    tell(n);
  };
  for (const it of document.querySelectorAll("[data-n]")) {
    const n = Number(it.dataset.n);
    it.addEventListener("click", () => pin(n));
    it.addEventListener("keydown", (event) => { if (event.key === "Enter") pin(n); });
    if (!it.classList.contains("dot")) continue;
    for (const kind of ["mouseenter", "focus"]) it.addEventListener(kind, () => tell(n));
    for (const kind of ["mouseleave", "blur"]) it.addEventListener(kind, () => tell(pinned));
  }
  pin(pinned);
})();
"""
