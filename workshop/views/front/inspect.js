// One object from all sides: owners, three truths, the writes that made it, events, YAML.
import { button, clock, element, icon, title } from "./dom.js";
import { yaml } from "./yaml.js";
import { describe, sign } from "./signs.js";

export class Inspector {
  constructor({ select, trace, close, rows, known }) {
    this.select = select; this.key = null; this.rows = rows; this.known = known;
    this.heading = element("h2", { class: "ws-inspect-title", tabindex: "-1" });
    this.body = element("div", { class: "ws-inspect-body", tabindex: "0", role: "region", "aria-label": "details of the chosen object" });
    this.root = element("aside", { class: "ws-inspect", "aria-label": "details", hidden: true, onkeydown: (event) => { if (event.key === "Escape") { event.stopPropagation(); close(); } } },
      element("div", { class: "ws-inspect-head" }, this.heading, button("Causes", "ahead", () => trace(this.key)), button("Close", "cross", close)), this.body);
  }

  open(key, row) {
    this.key = key; this.root.hidden = false; this.answer = null;
    const { kind, namespace, name } = title(key);
    this.heading.replaceChildren(element("small", { text: kind + (namespace ? ` · ${namespace}` : "") }), element("span", { text: name }));
    this.row = row;
    this.fill();
    if (!row?.body) this.waiting = setTimeout(() => { if (!this.answer) this.note.textContent = "Waiting for the kernel: a cell may be running."; }, 700);
  }

  update(row) { if (!this.root.hidden && row !== this.row) { this.row = row; this.fill(); } }

  take(answer) { if (answer.key === this.key) { this.answer = answer; clearTimeout(this.waiting); this.fill(); } }

  hide() { this.root.hidden = true; this.key = null; clearTimeout(this.waiting); }

  fill() {
    const { row, answer } = this, parts = [];
    this.note = element("p", { class: "ws-quiet", role: "status", text: answer?.problem ?? "" });
    if (row) {
      const { shape, tone } = sign(row);
      parts.push(element("p", { class: "ws-inspect-state" }, icon(shape, `tone-${tone}`), element("span", { text: describe(this.key, row) })));
      if ("desired" in row) parts.push(element("p", { class: "ws-quiet", text: `desired ${row.desired}, reported ${row.reported}${row.observed === null || row.observed === undefined ? "" : `, observed ${row.observed}`}` }));
      if (row.type === "service") parts.push(...this.service(row));
    } else parts.push(element("p", { class: "ws-quiet", text: "It is not there at this moment." }));
    parts.push(this.note);
    parts.push(...this.owners(), ...this.writes(), ...this.events(), ...this.yaml());
    this.body.replaceChildren(...parts);
  }

  link(key) { const { kind, name } = title(key); return element("button", { type: "button", class: "ws-link", text: `${kind}/${name}`, onclick: () => this.select(key) }); }

  section(name, ...children) { return [element("h3", { text: name }), ...children]; }

  service(row) {
    const lines = row.endpoints.map((one) => element("li", {}, icon(one.ready ? "circle" : "triangle", one.ready ? "tone-ok" : "tone-differ"),
      one.pod ? this.link(one.pod) : element("span", { text: one.ip }), element("span", { class: "ws-quiet", text: ` ${one.ip}:${one.port}${one.open ? ` · ${one.open} open` : ""}${one.recent ? ` · ${one.recent} in the last minute` : ""}` })));
    const traffic = row.open === null ? "its connections cannot be seen from here" : `${row.open} connections open, ${row.recent} ended in the last minute`;
    return this.section("endpoints", element("p", { class: "ws-quiet", text: `${row.ip || "no address"} ${row.ports.map((one) => `${one.port}/${one.protocol}`).join(", ")} · ${traffic}` }), element("ul", { class: "ws-plain" }, ...lines));
  }

  // From the rows alone: they are here at every moment of the log, and no kernel needs to answer.
  owners() {
    const rows = this.rows(), chain = [], owned = [];
    for (let key = this.row?.owner; key && !chain.includes(key); key = rows.get(key)?.owner) chain.unshift(key);
    for (const [key, row] of rows) if (row.owner === this.key) owned.push(key);
    if (!chain.length && !owned.length) return [];
    const line = element("p", { class: "ws-chain" });
    for (const owner of chain) line.append(this.link(owner), icon("ahead", "tone-dim"));
    line.append(element("strong", { text: title(this.key).name }));
    if (owned.length) line.append(icon("ahead", "tone-dim"));
    owned.sort().slice(0, 12).forEach((key) => line.append(this.link(key)));
    if (owned.length > 12) line.append(element("span", { text: `and ${owned.length - 12} more` }));
    return this.section("owner chain", line);
  }

  writes() {
    const known = this.known(this.key), writes = known.length ? known : (this.answer?.writes ?? []);
    if (writes.length) {
      const lines = writes.slice(-40).map((one) => element("tr", {}, element("td", { text: clock(one.at, true) }), element("td", { text: one.who }),
        element("td", { text: `${one.verb}${one.subresource ? ` (${one.subresource})` : ""}` }), element("td", { class: "ws-mono", text: `@${one.version}` })));
      return this.section("writes that made it", table(["when", "who", "what", "version"], lines));
    }
    if (!this.answer?.managers?.length) return [];
    const lines = this.answer.managers.map((one) => element("tr", {}, element("td", { text: one.time }), element("td", { text: one.manager }), element("td", { text: `${one.operation}${one.subresource ? ` (${one.subresource})` : ""}` })));
    return this.section("who wrote it last, as the object itself says", table(["when", "who", "what"], lines));
  }

  events() {
    const events = [...this.rows().values()].filter((row) => row.about === this.key).sort((a, b) => (a.seen < b.seen ? -1 : 1));
    if (!events.length) return [];
    const lines = events.slice(-50).map((one) => element("li", {}, icon(one.level === "Warning" ? "warn" : "circle", one.level === "Warning" ? "tone-bad" : "tone-dim"),
      element("span", {}, element("strong", { text: one.reason }), element("span", { class: "ws-quiet", text: ` ${one.from}${one.count > 1 ? ` · ${one.count}×` : ""}` }), element("br"), one.message)));
    return this.section("events", element("ul", { class: "ws-plain ws-events" }, ...lines));
  }

  yaml() {
    const text = this.row?.body ? yaml(this.row.body) : this.answer?.yaml;
    return text ? this.section("YAML", element("pre", { class: "ws-yaml", tabindex: "0", role: "region", "aria-label": "YAML", text })) : [];
  }
}

function table(heads, lines) {
  return element("table", { class: "ws-small" }, element("thead", {}, element("tr", {}, ...heads.map((text) => (text ? element("th", { scope: "col", text }) : element("td", {}))))), element("tbody", {}, ...lines));
}
