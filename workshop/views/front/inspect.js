// One object from all sides: owners, three truths, the writes that made it, events, YAML.
import { button, clock, element, icon, title } from "./dom.js";
import { describe, sign } from "./signs.js";

export class Inspector {
  constructor({ select, trace, close }) {
    this.select = select; this.key = null;
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
    this.waiting = setTimeout(() => { if (!this.answer) this.note.textContent = "Waiting for the kernel: a cell may be running."; }, 700);
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
    if (answer) parts.push(...this.owners(answer), ...this.writes(answer), ...this.events(answer), ...this.yaml(answer));
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

  owners(answer) {
    if (!answer.owners.length && !answer.owned.length) return [];
    const chain = element("p", { class: "ws-chain" });
    for (const owner of answer.owners) chain.append(this.link(owner), icon("ahead", "tone-dim"));
    chain.append(element("strong", { text: title(this.key).name }));
    if (answer.owned.length) chain.append(icon("ahead", "tone-dim"));
    answer.owned.slice(0, 12).forEach((key) => chain.append(this.link(key)));
    if (answer.owned.length > 12) chain.append(element("span", { text: `and ${answer.owned.length - 12} more` }));
    return this.section("owner chain", chain);
  }

  writes(answer) {
    if (answer.writes.length) {
      const lines = answer.writes.slice(-40).map((one) => element("tr", {}, element("td", { text: clock(one.at, true) }), element("td", { text: one.who }),
        element("td", { text: `${one.verb}${one.subresource ? ` (${one.subresource})` : ""}` }), element("td", { class: "ws-mono", text: `@${one.version}` })));
      return this.section("writes that made it", table(["when", "who", "what", "version"], lines));
    }
    if (!answer.managers?.length) return [];
    const lines = answer.managers.map((one) => element("tr", {}, element("td", { text: one.time }), element("td", { text: one.manager }), element("td", { text: `${one.operation}${one.subresource ? ` (${one.subresource})` : ""}` })));
    return this.section("who wrote it last, as the object itself says", table(["when", "who", "what"], lines));
  }

  events(answer) {
    if (!answer.events.length) return [];
    const lines = answer.events.map((one) => element("li", {}, icon(one.type === "Warning" ? "warn" : "circle", one.type === "Warning" ? "tone-bad" : "tone-dim"),
      element("span", {}, element("strong", { text: one.reason }), element("span", { class: "ws-quiet", text: ` ${one.from}${one.count > 1 ? ` · ${one.count}×` : ""}` }), element("br"), one.message)));
    return this.section("events", element("ul", { class: "ws-plain ws-events" }, ...lines));
  }

  yaml(answer) { return answer.yaml ? this.section("YAML", element("pre", { class: "ws-yaml", text: answer.yaml })) : []; }
}

function table(heads, lines) {
  return element("table", { class: "ws-small" }, element("thead", {}, element("tr", {}, ...heads.map((text) => (text ? element("th", { scope: "col", text }) : element("td", {}))))), element("tbody", {}, ...lines));
}
