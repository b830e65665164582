// The three columns: a line for each workload, and a chip for each process. Only what changed is drawn anew.
import { element, icon } from "./dom.js";
import { processSign } from "./signs.js";

const TRUTHS = ["desired", "reported", "observed"];
const MEANING = { desired: "spec, as stored in etcd", reported: "status, as the API tells it", observed: "what the system runs now" };
const PROGRAMS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"];
const HELPERS = new Set(["supervisor", "zygote", "holder"]);
const MOST_PIPS = 12;

// A row of pips: filled for what is there, a hollow diamond for each that is missing, a filled diamond for each too many.
function pips(value, desired, truth) {
  const box = element("span", { class: "ws-pips", "aria-hidden": "true" });
  if (value === null || Math.max(value, desired) > MOST_PIPS) return box;
  for (let i = 0; i < Math.max(value, desired); i++) {
    const there = i < value, asked = i < desired;
    if (truth === "desired") box.append(icon("ring", "tone-ink"));
    else if (there && asked) box.append(icon("circle", "tone-ok"));
    else if (there) box.append(icon("diamond", "tone-differ"));
    else box.append(icon("hollow", "tone-differ"));
  }
  return box;
}

function truthCell(row, truth) {
  const value = row[truth], differs = value !== null && value !== row.desired;
  const number = element("span", { class: "ws-number", text: value === null ? "–" : String(value) });
  const cell = element("td", { class: `ws-truth${differs ? " differs" : ""}` });
  const line = element("div", { class: "ws-truth-line" }, number);
  if (differs) line.append(icon("differ", "tone-differ"), element("span", { class: "ws-hidden", text: `differs from desired ${row.desired}` }));
  line.append(pips(value, row.desired, truth));
  cell.append(line);
  return cell;
}

function nextCell(row) {
  const cell = element("td", { class: "ws-next" });
  if (!row.next) { cell.append(icon("check", "tone-ok"), element("span", { class: "ws-quiet", text: "all agree" })); return cell; }
  const [, actor, why] = /^(\S+)(.*)$/s.exec(row.next);
  cell.append(icon("play", "tone-differ"), element("span", { class: "ws-actor", text: actor.replace(/:$/, "") }),
    element("span", { class: "ws-why", text: why.replace(/^\s*\((.*)\)$/s, "$1").trim() }));
  return cell;
}

// Own namespaces first, the system's last.
function order(row) { return `${row.namespace.startsWith("kube-") ? "1" : "0"}/${row.namespace}/${row.kind}/${row.name}`; }

export class Columns {
  constructor(select) {
    this.select = select; this.visible = false; this.waiting = new Set(); this.lines = new Map(); this.order = []; this.chips = new Map(); this.filter = "";
    this.processes = element("div", { class: "ws-processes", role: "group", "aria-label": "processes of the cluster" });
    const head = element("tr", {}, element("th", { scope: "col", text: "workload" }),
      ...TRUTHS.map((truth) => element("th", { scope: "col", class: "ws-truth" }, element("span", { text: truth }), element("small", { text: MEANING[truth] }))),
      element("th", { scope: "col", text: "who acts next" }));
    this.body = element("tbody");
    this.empty = element("p", { class: "ws-empty", text: "No workloads yet. Make one: kubectl create deployment web --image=nginx --replicas=3" });
    this.table = element("table", { class: "ws-columns" }, element("caption", { class: "ws-hidden", text: "desired, reported and observed state of each workload" }),
      element("thead", {}, head), this.body);
    this.root = element("div", { class: "ws-scroll", tabindex: "0", role: "region", "aria-label": "workloads" }, this.table, this.empty);
  }

  update(rows, changed, flash) {
    for (const key of changed) {
      if (key.startsWith("Process/")) this.process(key, rows.get(key));
      else this.waiting.add(key);
    }
    if (this.visible) this.draw(rows, flash);
  }

  appear(visible, rows) { this.visible = visible; if (visible) this.draw(rows, false); }

  draw(rows, flash) {
    for (const key of this.waiting) {
      const row = rows.get(key);
      if (row && "next" in row) this.workload(key, row, flash);
      else if (this.lines.has(key)) this.drop(key);
    }
    this.waiting.clear();
    this.empty.hidden = this.lines.size > 0; this.table.hidden = !this.lines.size;
  }

  drop(key) { const entry = this.lines.get(key); entry.line.remove(); this.lines.delete(key); this.order.splice(this.order.indexOf(entry), 1); }

  workload(key, row, flash) {
    let entry = this.lines.get(key);
    const fresh = !entry;
    if (fresh) {
      const line = element("tr", { tabindex: "0", "data-key": key, onclick: () => this.select(key),
        onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.select(key); } else this.step(event, line); } });
      entry = { key, line, place: order(row) };
      this.insert(entry);
      this.lines.set(key, entry);
    }
    const before = entry.row; entry.row = row;
    const name = element("th", { scope: "row", class: "ws-name" }, element("span", { class: "ws-kind", text: row.kind }),
      element("span", { class: "ws-object", text: row.name }), row.namespace === "default" ? null : element("span", { class: "ws-namespace", text: row.namespace }));
    const cells = TRUTHS.map((truth) => truthCell(row, truth));
    if (flash && before) TRUTHS.forEach((truth, i) => { if (before[truth] !== row[truth]) cells[i].classList.add("flash"); });
    entry.line.replaceChildren(name, ...cells, nextCell(row));
    entry.line.classList.toggle("differs", Boolean(row.next));
    if (fresh) this.show(entry);
  }

  insert(entry) {
    let low = 0, high = this.order.length;
    while (low < high) { const middle = (low + high) >> 1; if (this.order[middle].place < entry.place) low = middle + 1; else high = middle; }
    this.body.insertBefore(entry.line, this.order[low]?.line ?? null);
    this.order.splice(low, 0, entry);
  }

  show(entry) { entry.line.hidden = !entry.key.toLowerCase().includes(this.filter); }

  narrow(text) { this.filter = text.toLowerCase(); for (const entry of this.order) this.show(entry); }

  step(event, line) {
    const way = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (way && line[way]) { event.preventDefault(); line[way].focus(); }
  }

  process(key, row) {
    let chip = this.chips.get(key);
    if (row && HELPERS.has(row.name)) return; // no part of Kubernetes
    if (!row) { chip?.remove(); this.chips.delete(key); return; }
    if (!chip) {
      chip = element("button", { type: "button", class: "ws-chip", "data-key": key, onclick: () => this.select(key) });
      chip.dataset.place = String(PROGRAMS.indexOf(row.program)).padStart(2, "0") + row.name;
      this.chips.set(key, chip);
      this.processes.insertBefore(chip, [...this.processes.children].find((other) => other.dataset.place > chip.dataset.place) ?? null);
    }
    const { shape, tone, word } = processSign(row);
    chip.className = `ws-chip tone-${tone}`;
    chip.replaceChildren(icon(shape, `tone-${tone}`), element("span", { class: "ws-chip-name", text: row.name }),
      element("span", { class: row.state === "running" ? "ws-hidden" : "ws-chip-state", text: word }));
    chip.title = `${row.name}: ${word}${row.pid ? `, pid ${row.pid}` : ""}${row.restarts ? `, started again ${row.restarts} times` : ""}`;
  }
}
