// One request moving through kube-apiserver: a station for each link, stopped where it was refused.
import { element, icon, svg } from "./dom.js";

const WIDE = 118;
const HIGH = 92;
const PACE = 130; // milliseconds that the dot takes from one station to the next: the real ones are too fast for the eye

export class Pipeline {
  constructor(root, heading) {
    Object.assign(this, { root, requests: new Map(), chosen: null, follow: true, everything: false, timer: 0 });
    root.classList.add("ws-board", "ws-glass");
    root.setAttribute("role", "region");
    root.setAttribute("aria-label", `requests to ${heading}`);
    const all = element("label", { class: "ws-glass-all" },
      element("input", { type: "checkbox", onchange: (event) => { this.everything = event.target.checked; this.list(); } }),
      element("span", { text: "also leases, events, watches" }));
    this.rows = element("ul", { class: "ws-glass-list ws-scroll", role: "listbox", "aria-label": "requests, newest first", tabindex: "0", onkeydown: (event) => this.walk(event) });
    this.way = element("div", { class: "ws-glass-way" });
    this.steps = element("div", { class: "ws-glass-steps ws-scroll", tabindex: "0", role: "region", "aria-label": "what each link decided" });
    root.append(
      element("header", { class: "ws-head" }, element("h1", { class: "ws-title" }, element("span", { text: heading })), all,
        element("button", { type: "button", class: "ws-button", text: "play again", onclick: () => this.play() })),
      element("div", { class: "ws-main" }, this.rows, element("div", { class: "ws-glass-right" }, this.way, this.steps)));
    this.list();
  }

  destroy() { clearTimeout(this.timer); }

  take(message) {
    if (message.whole) this.requests.clear();
    let newest = null;
    for (const request of message.requests ?? []) {
      if (!this.requests.has(request.id)) newest = request;
      this.requests.set(request.id, request);
    }
    while (this.requests.size > 400) this.requests.delete(this.requests.keys().next().value);
    const shown = this.shown();
    if (this.follow && newest && shown.length && shown[0].id !== this.chosen) this.choose(shown[0].id);
    else { this.list(); if (this.chosen) this.detail(); }
  }

  shown() { return [...this.requests.values()].filter((r) => this.everything || !r.noise).reverse().slice(0, 100); }

  list() {
    const shown = this.shown();
    this.rows.replaceChildren(...shown.map((request) => element("li", {
      role: "option", class: `ws-glass-row${request.id === this.chosen ? " is-chosen" : ""}`, "aria-selected": String(request.id === this.chosen),
      onclick: () => { this.follow = request.id === shown[0].id; this.choose(request.id); } },
    icon(request.stopped ? "cross" : request.code ? "check" : "play", request.stopped ? "tone-bad" : request.code ? "tone-ok" : "tone-dim"),
    element("span", { class: "ws-glass-what" }, element("b", { text: `${request.method} ` }), element("span", { text: request.path.replaceAll("/", "/\u200b") })),
    element("span", { class: "ws-quiet", text: `${request.agent} · ${request.code || "…"}` }))));
    if (!shown.length) this.rows.append(element("li", { class: "ws-quiet ws-glass-none", text: "No request yet. Run a kubectl command: it appears here." }));
  }

  walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const shown = this.shown();
    const at = shown.findIndex((request) => request.id === this.chosen);
    const next = shown[Math.max(0, Math.min(shown.length - 1, at + step))];
    if (next) { this.follow = next === shown[0]; this.choose(next.id); this.rows.querySelector(".is-chosen")?.scrollIntoView({ block: "nearest" }); }
  }

  choose(id) { this.chosen = id; this.list(); this.play(); }

  // The station up to which the chosen request has come, by its steps.
  reached(request) {
    if (request.code && !request.stopped) return request.stations.length - 1;
    const seen = request.stopped || request.steps.at(-1)?.link;
    return Math.max(0, request.stations.indexOf(seen));
  }

  play() {
    clearTimeout(this.timer);
    const request = this.requests.get(this.chosen);
    if (!request) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.at = still ? this.reached(request) : 0;
    const step = () => {
      this.draw();
      const now = this.requests.get(this.chosen);
      if (now && this.at < this.reached(now)) { this.at += 1; this.timer = setTimeout(step, PACE); }
    };
    step();
    this.detail();
  }

  draw() {
    const request = this.requests.get(this.chosen);
    if (!request) return;
    const across = Math.max(1, Math.floor((this.way.clientWidth || 720) / WIDE));
    const rows = Math.ceil(request.stations.length / across);
    const place = (n) => ({ x: (n % across) * WIDE + WIDE / 2, y: Math.floor(n / across) * HIGH + 26 });
    const picture = svg("svg", { viewBox: `0 0 ${across * WIDE} ${rows * HIGH}`, width: across * WIDE, height: rows * HIGH, role: "img",
      "aria-label": request.stopped ? `stopped at ${request.stopped}: ${request.reason}` : `passed ${this.at + 1} of ${request.stations.length} links` });
    request.stations.forEach((name, n) => {
      const { x, y } = place(n);
      const stopped = name === request.stopped && n <= this.at;
      const passed = n < this.at || (n === this.at && !stopped);
      const tone = stopped ? "tone-bad" : passed ? "tone-ok" : "tone-dim";
      if (n) {
        const before = place(n - 1);
        // to the next row past the names on the right, not through them
        const line = before.y === y ? `M${before.x + 14} ${y}H${x - 14}` : `M${before.x + 14} ${before.y}H${across * WIDE - 3}V${y - 32}H${x}V${y - 14}`;
        picture.append(svg("path", { d: line, class: `ws-glass-line ${n <= this.at ? "is-passed" : ""}` }));
      }
      const group = svg("g", { transform: `translate(${x} ${y})`, class: `ws-glass-station ${tone}` },
        svg("circle", { r: 13 }), svg("path", { d: stopped ? "M-5-5 5 5M5-5-5 5" : passed ? "M-5 0-1.5 4 5.5-4.5" : "M0 0h.01", class: "ws-glass-sign" }));
      const words = name.split(" ");
      words.forEach((word, row) => group.append(Object.assign(svg("text", { y: 28 + row * 13, "text-anchor": "middle" }), { textContent: word })));
      if (n === this.at) group.append(svg("circle", { r: 18, class: "ws-glass-dot" }));
      picture.append(group);
    });
    this.way.replaceChildren(picture);
  }

  detail() {
    const request = this.requests.get(this.chosen);
    if (!request) return;
    const most = Math.max(1, ...request.steps.map((step) => step.micros));
    const rows = request.steps.map((step) => {
      const bad = step.error || (step.link === request.stopped && !step.error);
      return element("tr", { class: bad ? "is-bad" : "" },
        element("th", { scope: "row" }, bad ? icon("cross", "tone-bad") : icon("check", "tone-ok"), element("span", { text: step.plugin ? `${step.link}: ${step.plugin}` : step.link })),
        element("td", { text: step.error || (bad ? request.reason : words(step.told)) }),
        element("td", { class: "ws-glass-time" }, element("span", { text: `${step.micros.toLocaleString("en")} µs` }),
          element("span", { class: "ws-glass-bar", style: `width:${Math.max(2, Math.round(60 * step.micros / most))}px` })));
    });
    const told = request.told.map(([who, late]) => element("tr", {}, element("th", { scope: "row" }, icon("ahead", "tone-ink"), element("span", { text: "told by a watch" })),
      element("td", { text: who }), element("td", { text: `${Math.round(late * 1000)} ms after it came` })));
    const heading = `${request.method} ${request.path.replaceAll("/", "/\u200b")}${request.user ? ` by ${request.user}` : ""}: ${request.code ? `${request.code} in ${(request.micros / 1000).toFixed(1)} ms` : "under way"}${request.revision ? `, revision ${request.revision}` : ""}`;
    this.steps.replaceChildren(element("h2", { class: "ws-glass-heading", text: heading }),
      element("table", { class: "ws-glass-table" }, element("thead", {}, element("tr", {}, element("th", { scope: "col", text: "link" }), element("th", { scope: "col", text: "decided" }), element("th", { scope: "col", text: "took" }))),
        element("tbody", {}, ...rows, ...told)));
  }
}

function words(told) {
  return Object.entries(told).map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(", ") : value}`).join("; ");
}
