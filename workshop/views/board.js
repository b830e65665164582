// The board's front end: rows by key, batches applied in order. No build step, no library.
const STYLE = `
.ws-board { --ink:#1a1a1a; --paper:#fff; --line:#bbb; --differ:#0b5cad; --down:#a33c00; color:var(--ink);
  background:var(--paper); font:15px/1.4 system-ui,sans-serif; padding:.6em; border:1px solid var(--line) }
@media (prefers-color-scheme: dark) { .ws-board { --ink:#eee; --paper:#181818; --line:#555; --differ:#7ec3ff; --down:#ffb37a } }
[data-jp-theme-light=true] .ws-board { --ink:#1a1a1a; --paper:#fff; --line:#bbb; --differ:#0b5cad; --down:#a33c00 }
[data-jp-theme-light=false] .ws-board { --ink:#eee; --paper:#181818; --line:#555; --differ:#7ec3ff; --down:#ffb37a }
.ws-board.stale table { opacity:.55 } .ws-board .stale-note { color:var(--down); font-weight:bold }
.ws-board table { border-collapse:collapse; width:100%; margin-top:.4em } .ws-board caption { text-align:left; font-weight:bold }
.ws-board th, .ws-board td { text-align:left; padding:.15em .6em; border-bottom:1px solid var(--line) }
.ws-board tr:focus { outline:3px solid var(--differ) } .ws-board .differ { color:var(--differ); font-weight:bold }
.ws-board .down { color:var(--down); font-weight:bold }`;

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function table(title, heads) {
  const made = element("table"), body = element("tbody"), row = element("tr");
  made.append(element("caption", title));
  for (const head of heads) { const cell = element("th", head); cell.scope = "col"; row.append(cell); }
  const top = element("thead"); top.append(row); made.append(top, body);
  return [made, body];
}

function workload(row) {
  const where = row.namespace === "default" ? "" : ` (${row.namespace})`;
  const cells = [element("td", `${row.kind.toLowerCase()}/${row.name}${where}`)];
  for (const truth of ["desired", "reported", "observed"]) {
    const differs = row[truth] !== null && row[truth] !== row.desired;
    // a sign beside the colour: nobody has to tell colours apart
    cells.push(element("td", row[truth] === null ? "–" : `${differs ? "≠ " : ""}${row[truth]}`, differs ? "differ" : ""));
  }
  cells.push(element("td", row.next ? `▶ ${row.next}` : "✓ nobody: all agree", row.next ? "differ" : ""));
  return cells;
}

function component(row) {
  const alive = row.state === "running";
  return [element("td", row.name), element("td", row.pid ?? "–"),
    element("td", `${alive ? "●" : "✕"} ${row.state}`, alive ? "" : "down"), element("td", row.restarts)];
}

export class View {
  constructor(root, heading, note, askWhole) {
    this.rows = new Map(); this.drawn = new Map(); this.seq = -1; this.askWhole = askWhole; this.frame = 0;
    this.changed = new Set();
    root.classList.add("ws-board"); root.setAttribute("role", "region"); root.setAttribute("aria-label", `board of ${heading}`);
    this.root = root; this.stale = element("span", "", "stale-note"); this.stale.setAttribute("role", "status");
    const [works, workBody] = table("Workloads", ["workload", "desired", "reported", "observed", "who acts next"]);
    const [parts, partBody] = table("Processes", ["name", "pid", "state", "restarts"]);
    this.bodies = { workload: workBody, process: partBody };
    root.append(element("style", STYLE), element("strong", `${heading} `), this.stale, works, parts);
    if (note) root.append(element("p", note));
  }
  take(batch) {
    if (!batch.full && batch.base !== this.seq) { if (batch.seq > this.seq) this.askWhole(); return; }
    if (batch.full) { for (const key of this.rows.keys()) this.changed.add(key); this.rows.clear(); }
    this.seq = batch.seq;
    for (const key of batch.drop) { this.rows.delete(key); this.changed.add(key); }
    for (const [key, row] of Object.entries(batch.put)) { this.rows.set(key, row); this.changed.add(key); }
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }
  setStale(why) { this.stale.textContent = why ? `stale: ${why}` : ""; this.root.classList.toggle("stale", Boolean(why)); }
  draw() {
    this.frame = 0;
    for (const key of this.changed) {
      const row = this.rows.get(key); let line = this.drawn.get(key);
      if (!row) { line?.remove(); this.drawn.delete(key); continue; }
      if (!line) { line = element("tr"); line.tabIndex = 0; this.drawn.set(key, line); this.bodies[row.type].append(line); }
      line.replaceChildren(...(row.type === "workload" ? workload(row) : component(row)));
    }
    this.changed.clear();
    const server = this.rows.get("process/kube-apiserver");
    this.setStale(server && server.state !== "running" ? `kube-apiserver is ${server.state}; desired and reported are its last word` : "");
  }
}

export default {
  render({ model, el }) {
    const view = new View(el, model.get("heading"), model.get("note"), () => model.send("whole"));
    const listener = (batch) => view.take(batch);
    model.on("msg:custom", listener);
    view.take(model.get("first"));
    model.send("whole");
    const status = (_, why) => view.setStale(why);
    model.on("comm_live_update", () => { if (model.comm_live === false) status(null, "the kernel is gone; run the cell again"); });
    return () => model.off("msg:custom", listener);
  },
};
