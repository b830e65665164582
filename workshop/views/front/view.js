// The whole board: what arrives is put on the time line, and drawn once a frame. `ask(question)` speaks to the kernel.
import { Columns } from "./columns.js";
import { button, clock, element, icon } from "./dom.js";
import { Inspector } from "./inspect.js";
import { ClusterMap } from "./map.js";
import { Timeline, nature } from "./state.js";
import { Swimlanes } from "./swimlanes.js";

const SILENCE = 3500; // milliseconds without a beat (one a second) after which what is shown is stale
const HERE = 20000;
const PACES = [["1 step in 2 s", 2000], ["1 step a second", 1000], ["3 steps a second", 333], ["as it was", 0]];

export class View {
  constructor(root, { heading, note, observes = true, ask, embed = false, tab = "workloads", theme }) {
    Object.assign(this, { root, ask, observes, frame: 0, heard: performance.now(), gone: "", synced: true, problem: "", marks: { drawn: [] } });
    this.time = new Timeline(); this.writes = new Map();
    const select = (key) => this.select(key);
    this.columns = new Columns(select); this.map = new ClusterMap(select); this.lanes = new Swimlanes(select);
    this.inspector = new Inspector({ select, trace: (key) => { this.inspector.hide(); this.trace(key); }, close: () => this.unselect(), rows: () => this.time.rows, known: (key) => this.writes.get(key) ?? [] });
    root.classList.add("ws-board"); root.setAttribute("role", "region"); root.setAttribute("aria-label", `board of ${heading}`);
    if (embed) root.classList.add("embed");
    if (theme) root.dataset.theme = theme;
    this.status = element("span", { class: "ws-status", role: "status" });
    this.find = element("input", { type: "search", class: "ws-find", placeholder: "filter", "aria-label": "show only what contains this text", oninput: () => this.narrow() });
    this.tabs = {};
    const bar = element("div", { class: "ws-tabs", role: "tablist", "aria-label": "views", onkeydown: (event) => this.turn(event) });
    this.panels = { workloads: this.columns.root, map: this.map.root, causes: this.lanes.root };
    const names = { workloads: "Workloads", map: "Map", causes: "Causes" };
    const stage = element("div", { class: "ws-stage" });
    const id = `ws${Math.random().toString(36).slice(2, 8)}`;
    for (const [name, panel] of Object.entries(this.panels)) {
      this.tabs[name] = element("button", { type: "button", role: "tab", id: `${id}-${name}`, class: "ws-tab", text: names[name], onclick: () => this.open(name), "aria-controls": `${id}-p-${name}` });
      bar.append(this.tabs[name]);
      stage.append(element("div", { class: "ws-panel", role: "tabpanel", id: `${id}-p-${name}`, "aria-labelledby": `${id}-${name}` }, panel));
      this.panels[name] = stage.lastChild;
    }
    root.append(
      element("header", { class: "ws-head" }, element("h1", { class: "ws-title" }, element("span", { text: heading })), bar, this.find, this.status),
      this.columns.processes, element("div", { class: "ws-main" }, stage, this.inspector.root), this.timeBar());
    if (note) root.insertBefore(element("p", { class: "ws-note" }, icon("warn", "tone-differ"), element("span", { text: note })), root.children[2]);
    this.open(tab);
    this.listeners = [["visibilitychange", () => { if (!document.hidden) { this.heard = performance.now(); this.askWhole(); } }]];
    for (const [name, act] of this.listeners) document.addEventListener(name, act);
    this.timer = setInterval(() => this.check(), 500);
    this.hereTimer = setInterval(() => this.ask({ ask: "here" }), HERE);
    this.askWhole();
    this.state();
  }

  destroy() {
    clearInterval(this.timer); clearInterval(this.hereTimer); clearTimeout(this.replayTimer); this.map.destroy();
    for (const [name, act] of this.listeners) document.removeEventListener(name, act);
    this.ask({ ask: "bye" });
  }

  // -- what arrives --

  take(message) {
    this.heard = performance.now();
    if (message.inspect) { this.inspector.take(message.inspect); return; }
    if (message.trace) { if (message.trace.key === this.wanted) this.lanes.show(message.trace, this.observes); return; }
    if (message.history) { this.past(message.history); return; }
    if ("synced" in message) { this.synced = message.synced; this.problem = message.problem ?? this.problem; }
    if (message.writes) this.note(message.writes, Boolean(message.whole));
    if (message.whole) {
      const first = !this.time.begun;
      this.time.whole(message);
      if (first && this.time.begun) this.flash = false;
    } else if (message.steps) {
      if (!this.time.begun || !this.time.batch(message)) { this.askWhole(); return; }
    } else if (message.seq !== undefined && message.seq !== this.time.seq) { this.askWhole(); return; }
    this.later();
  }

  // Not more often than once a second: the answer may have to wait for a cell.
  askWhole(pause = 1000) {
    if (performance.now() - (this.asked ?? -Infinity) < pause) return;
    this.asked = performance.now(); this.ask({ ask: "whole" });
  }

  // Who wrote what, by object: the newest fifty writes of each.
  note(writes, all) {
    if (all) this.writes.clear();
    for (const one of writes) {
      const list = this.writes.get(one.key) ?? [];
      this.writes.set(one.key, list);
      list.push(one); if (list.length > 50) list.shift();
    }
  }

  later() { if (!this.frame) this.frame = requestAnimationFrame(() => this.draw()); }

  draw() {
    this.frame = 0;
    const { rows, changed } = this.time;
    if (changed.size) {
      this.columns.update(rows, changed, this.flash !== false);
      if (this.latencies) this.measure();
      this.map.update(rows, changed);
      if (this.inspector.key && changed.has(this.inspector.key)) {
        this.inspector.update(rows.get(this.inspector.key));
        if (this.time.live) this.again();
      }
      changed.clear(); this.flash = true;
      this.root.dispatchEvent(new CustomEvent("drawn", { detail: this.time.at }));
    }
    // what is beside the picture may follow a little later: five times a second is enough for the eye
    if (performance.now() - (this.barred ?? -Infinity) > 200 || !this.time.live) this.bar();
    else this.barTimer ??= setTimeout(() => { this.barTimer = null; this.bar(); }, 200);
    this.state();
  }

  // How old a change is in the frame after the one that drew it: for the bench, which makes `latencies` an array.
  measure() {
    const { steps, cursor } = this.time, fresh = steps.slice(this.measured ?? cursor, cursor);
    this.measured = cursor;
    requestAnimationFrame(() => { for (const step of fresh) this.latencies?.push([Date.now() - step.at, step.size]); });
  }

  // The details of what is chosen follow it, but not at every step of it.
  again() {
    clearTimeout(this.againTimer);
    this.againTimer = setTimeout(() => {
      if (this.inspector.key) this.ask({ ask: "inspect", key: this.inspector.key });
      if (this.wanted && !this.panels.causes.hidden) this.ask({ ask: "trace", key: this.wanted });
    }, 400);
  }

  // -- is it true now? --

  check() {
    const silence = performance.now() - this.heard;
    if (silence > SILENCE && !document.hidden) {
      this.gone = `nothing heard for ${Math.round(silence / 1000)} s: the kernel or the page's server has gone`;
      this.askWhole(5000);
    } else this.gone = "";
    this.state();
  }

  stale() {
    if (this.lost) return this.lost;
    if (this.gone) return this.gone;
    const server = this.time.rows.get("Process//kube-apiserver");
    if (this.time.live && server && server.state !== "running") return `kube-apiserver is ${server.state}: desired and reported are its last word`;
    if (this.problem && !this.synced) return this.problem;
    if (!this.synced) return "the API server has not answered yet";
    return "";
  }

  state() {
    const why = this.stale(), past = !this.time.live;
    const text = why ? `stale: ${why}` : past ? `paused at ${clock(this.time.at, true)}` : "live";
    if (this.said === text) return;
    this.said = text;
    this.status.className = `ws-status ${why ? "is-stale" : past ? "is-past" : "is-live"}`;
    this.status.replaceChildren(icon(why ? "warn" : past ? "bars" : "circle"), element("span", { text }));
    this.root.classList.toggle("stale", Boolean(why)); this.root.classList.toggle("past", past);
  }

  // -- tabs, choice, filter --

  open(name) {
    for (const [other, tab] of Object.entries(this.tabs)) {
      const chosen = other === name;
      tab.setAttribute("aria-selected", String(chosen)); tab.tabIndex = chosen ? 0 : -1; this.panels[other].hidden = !chosen;
    }
    this.current = name; this.map.show(name === "map"); this.columns.appear(name === "workloads", this.time.rows);
    if (name === "causes" && this.inspector.key && this.wanted !== this.inspector.key) this.trace(this.inspector.key);
  }

  turn(event) {
    const names = Object.keys(this.tabs), way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    const next = names[(names.indexOf(this.current) + way + names.length) % names.length];
    this.open(next); this.tabs[next].focus();
  }

  narrow() { this.columns.narrow(this.find.value); this.map.narrow(this.find.value); }

  select(key) {
    this.from = document.activeElement;
    this.inspector.open(key, this.time.rows.get(key)); this.map.choose(key); this.mark(key);
    this.inspector.heading.focus({ preventScroll: true });
    this.ask({ ask: "inspect", key });
    if (this.current === "causes") this.trace(key);
  }

  unselect() { this.inspector.hide(); this.map.choose(null); this.mark(null); this.from?.focus?.({ preventScroll: true }); }

  mark(key) {
    for (const line of this.root.querySelectorAll(".chosen-line")) line.classList.remove("chosen-line");
    if (key) for (const line of this.root.querySelectorAll(`tr[data-key="${CSS.escape(key)}"], button[data-key="${CSS.escape(key)}"]`)) line.classList.add("chosen-line");
  }

  trace(key) {
    this.wanted = key;
    if (this.current !== "causes") { this.open("causes"); if (this.wanted !== key) return; }
    this.lanes.say("Looking for what led to it…"); this.ask({ ask: "trace", key });
  }

  // -- time --

  timeBar() {
    this.pause = button("Pause", "bars", () => (this.time.live ? this.freeze() : this.follow()), { class: "ws-button primary" });
    this.slow = button("Replay slowly", "play", () => this.replay());
    this.pace = element("select", { class: "ws-pace", "aria-label": "pace of the replay" }, ...PACES.map(([text, value]) => element("option", { value: String(value), text })));
    this.pace.value = "1000";
    this.range = element("input", { type: "range", class: "ws-range", min: "0", max: "0", step: "1", "aria-label": "time: drag to look back", oninput: () => {
      // the right end is now, also when steps have come since the bar was drawn
      this.scrub(this.range.value === this.range.max ? Infinity : Number(this.range.value));
    } });
    this.ticks = element("canvas", { class: "ws-ticks", "aria-hidden": "true" });
    this.when = element("span", { class: "ws-when-now" });
    this.back = button("Earlier", "back", () => { this.back.disabled = true; this.ask({ ask: "history" }); }, { class: "ws-button quiet", title: "Fill in what came before the board was attached" });
    return element("footer", { class: "ws-time" }, this.pause, button("One step back", "back", () => this.scrub(this.time.cursor - 1), { class: "ws-button icon-only" }),
      button("One step on", "ahead", () => this.scrub(this.time.cursor + 1), { class: "ws-button icon-only" }), this.slow, this.pace,
      element("div", { class: "ws-track" }, this.ticks, this.range), this.when, this.back);
  }

  freeze() { this.time.frozen = true; this.later(); }

  follow() { this.stopReplay(); this.time.frozen = false; this.time.seek(this.time.steps.length); this.later(); }

  scrub(cursor) {
    this.stopReplay();
    if (cursor < 0 && !this.time.attached && !this.back.disabled) { this.back.click(); return; }
    this.time.seek(cursor); this.time.frozen = this.time.cursor < this.time.steps.length; this.later();
  }

  // From where the cursor is; when live, from ten seconds ago.
  replay() {
    if (this.replayTimer) { this.stopReplay(); this.later(); return; }
    if (this.time.live) {
      const since = (this.time.steps.at(-1)?.at ?? 0) - 10000;
      let from = this.time.steps.length;
      while (from > 0 && this.time.steps[from - 1].at > since) from--;
      this.time.seek(from);
    }
    this.time.frozen = true; this.replaying = true;
    const turn = () => {
      const { steps, cursor } = this.time;
      if (cursor >= steps.length) { this.follow(); return; }
      this.time.seek(cursor + 1); this.later();
      const pace = Number(this.pace.value), gap = cursor + 1 < steps.length ? steps[cursor + 1].at - steps[cursor].at : 0;
      this.replayTimer = setTimeout(turn, pace || Math.max(16, Math.min(gap, 5000)));
    };
    this.replayTimer = setTimeout(turn, Number(this.pace.value) || 16);
    this.later();
  }

  stopReplay() { clearTimeout(this.replayTimer); this.replayTimer = 0; this.replaying = false; }

  past({ points, edge, problem }) {
    if (problem) { this.when.textContent = problem; this.back.disabled = false; return; }
    if (points.length) { this.time.prepend(points, edge); this.scrub(Math.max(0, this.time.attached - 1)); }
    this.edge = edge; this.back.hidden = true; this.later();
  }

  bar() {
    this.barred = performance.now();
    const { steps, cursor, live, attached } = this.time;
    this.range.max = String(Math.max(1, steps.length)); this.range.value = String(live ? Math.max(1, cursor) : cursor);
    const past = cursor < attached ? `revision ${steps[cursor]?.version ? this.before(cursor) : ""} · ` : "";
    const text = live ? `${steps.length} ${steps.length === 1 ? "step" : "steps"} since ${clock(this.time.begun)}` : `${past}${clock(this.time.at, cursor > attached)} · step ${cursor} of ${steps.length}`;
    this.when.textContent = text; this.range.setAttribute("aria-valuetext", text);
    const words = live ? ["Pause", "bars"] : ["Back to live", "play"];
    if (this.pause.title !== words[0]) { this.pause.title = words[0]; this.pause.replaceChildren(icon(words[1]), element("span", { class: "ws-button-text", text: words[0] })); }
    this.slow.classList.toggle("on", Boolean(this.replaying));
    this.tick();
  }

  before(cursor) { return cursor === 0 ? this.time.edgeVersion : this.time.steps[cursor - 1].version; }

  // Marks along the time line: what the system showed, what a process did, what the API told; and the two edges.
  tick() {
    const { steps, attached } = this.time, canvas = this.ticks, ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const signature = `${steps.length}/${width}/${attached}/${this.edge}/${this.root.dataset.theme}/${Math.floor(this.time.cursor)}`;
    if (!width || signature === this.ticked || (steps.length > 2000 && steps.length % 25)) return;
    this.ticked = signature;
    canvas.width = width * ratio; canvas.height = height * ratio;
    const pen = canvas.getContext("2d"), ink = getComputedStyle(this.root), colour = (name) => ink.getPropertyValue(`--${name}`).trim();
    pen.scale(ratio, ratio);
    const inset = 8, x = (place) => inset + (width - 2 * inset) * (steps.length ? place / steps.length : 1);
    const every = Math.max(1, Math.floor(steps.length / Math.max(1, width)));
    for (let i = 0; i < steps.length; i += every) {
      const kind = steps[i].before ? (steps[i].nature ??= nature(steps[i])) : "api";
      pen.fillStyle = colour(kind === "observed" ? "differ" : kind === "process" ? "bad" : "accent");
      const tall = kind === "api" ? 5 : 10;
      pen.fillRect(x(i + 1) - 0.75, height / 2 - tall - 5, kind === "api" ? 1.5 : 2.5, tall);
    }
    pen.font = "12px system-ui, sans-serif"; pen.fillStyle = colour("dim");
    if (attached) {
      pen.fillRect(x(attached), 0, 1.5, height); const right = x(attached) > width - 70; pen.textAlign = right ? "right" : "left"; pen.fillText("attached", x(attached) + (right ? -5 : 5), height - 3); pen.textAlign = "left";
      pen.fillStyle = colour("bad"); pen.fillRect(x(0) - 2, 0, 2.5, height); pen.fillText(this.edge > 1 ? `forgotten before revision ${this.edge}` : "the beginning", x(0) + 5, height - 3);
    } else if (this.edge) { pen.fillText(`nothing older than revision ${this.edge} is kept`, inset, height - 3); }
  }
}
