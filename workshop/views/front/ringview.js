// Members on a ring, messages between them, their logs below, and what one may do to them.
import { button, element, svg, SHAPES } from "./dom.js";

const ROLE_SHAPES = { leader: "star", candidate: "diamond", "pre-candidate": "hollow", follower: "circle", learner: "ring", crashed: "cross", away: "cross" };
const ROLE_TONES = { leader: "tone-ok", candidate: "tone-differ", "pre-candidate": "tone-differ", crashed: "tone-bad", away: "tone-bad" };
const RADIUS = 155;
const GROUPS = "ABC";
const LOOK = 1000; // milliseconds between looks at live members

export class RaftRing {
  constructor(root, ask, live) {
    Object.assign(this, { root, ask, live, shown: null, chosen: null, groups: new Map(), timer: 0 });
    root.classList.add("ws-board", "ws-ring", ...(live ? ["is-live"] : []));
    root.setAttribute("role", "region");
    root.setAttribute("aria-label", live ? "members of etcd" : "a simulated cluster of etcd");
    this.clock = element("span", { class: "ws-quiet" });
    this.said = element("p", { class: "ws-ring-said", role: "status", "aria-live": "polite" });
    this.place = element("div", { class: "ws-ring-place" });
    this.side = element("div", { class: "ws-ring-side ws-scroll", role: "region", "aria-label": "what is chosen, and what one may do", tabindex: "0" });
    this.logs = element("div", { class: "ws-ring-logs ws-scroll", role: "region", "aria-label": "logs", tabindex: "0" });
    const title = element("h1", { class: "ws-title", text: live ? "etcd, live" : "Raft, simulated" });
    root.append(element("header", { class: "ws-head" }, title, this.clock, ...(live ? [] : this.controls())), this.said,
      element("div", { class: "ws-main" }, this.place, this.side), this.logs);
    if (live) this.timer = setInterval(() => { if (root.isConnected && !document.hidden) this.ask({ ask: "look" }); }, LOOK);
  }

  destroy() { clearInterval(this.timer); }

  controls() {
    const one = (label, shape, act, ...rest) => button(label, shape, () => this.act(act, ...rest));
    this.back = one("rewind", "back", "rewind");
    this.branches = element("select", { "aria-label": "branch of the run", onchange: (event) => this.act("branch", Number(event.target.value)) });
    return [one("step", "play", "step"), one("run 0.5 s", "ahead", "run", 0.5), this.back, one("fork", "differ", "fork"), this.branches,
      one("write", "check", "put"), one("add a learner", "ring", "add learner"),
      one("halves", "minus", "parts", 2), one("thirds (3-3-3)", "minus", "parts", 3), one("heal", "cycle", "heal")];
  }

  act(name, ...rest) { this.ask({ do: name, with: rest }); }

  take(picture) {
    if (!picture.members) return;
    this.shown = picture;
    const focused = document.activeElement?.dataset?.key;
    this.clock.textContent = `${picture.live ? "" : `${picture.now} s · `}${picture.quorum}`;
    this.said.textContent = picture.said;
    if (!this.live) {
      this.back.disabled = !picture.past;
      this.branches.replaceChildren(...Array.from({ length: picture.branches }, (_, n) => element("option", { value: n, text: `run ${n + 1}`, selected: n === picture.branch || null })));
      this.branches.hidden = picture.branches < 2;
    }
    if (this.chosen && !this.find(this.chosen)) this.chosen = null;
    this.draw(); this.panel(); this.log();
    if (focused) [...this.root.querySelectorAll("[data-key]")].find((found) => found.dataset.key === focused)?.focus();
  }

  find({ kind, id }) { return (kind === "member" ? this.shown.members : this.shown.messages).find((one) => one.id === id); }

  choose(kind, id) { this.chosen = { kind, id }; this.draw(); this.panel(); this.root.querySelector(`[data-key="${kind}-${id}"]`)?.focus(); }

  at(id) {
    const n = this.shown.members.findIndex((one) => one.id === id);
    const angle = (2 * Math.PI * n) / this.shown.members.length - Math.PI / 2;
    return { x: 250 + RADIUS * Math.cos(angle), y: 205 + RADIUS * Math.sin(angle) };
  }

  touchable(group, kind, id, label) {
    const open = () => this.choose(kind, id);
    for (const [name, value] of Object.entries({ role: "button", tabindex: "0", "aria-label": label, "data-key": `${kind}-${id}`, class: `ws-ring-${kind}${this.chosen?.kind === kind && this.chosen.id === id ? " is-chosen" : ""}` })) group.setAttribute(name, value);
    group.addEventListener("click", open);
    group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
    return group;
  }

  draw() {
    const { members, messages, cut } = this.shown;
    const drawn = svg("svg", { viewBox: "0 0 500 450", role: "group", "aria-label": "members and messages" });
    drawn.append(svg("circle", { cx: 250, cy: 205, r: RADIUS, class: "ws-ring-circle" }));
    for (const [a, b] of cut) if (a < b) {
      const [p, q] = [this.at(a), this.at(b)];
      drawn.append(svg("path", { d: `M${p.x} ${p.y}L${q.x} ${q.y}`, class: "ws-ring-cut" }));
    }
    const lanes = new Map();
    for (const message of messages) {
      const lane = `${message.from}-${message.to}`;
      const before = lanes.get(lane) ?? 0;
      lanes.set(lane, before + 1);
      const [p, q] = [this.at(message.from), this.at(message.to)];
      const part = 0.36 + 0.1 * (before % 4);
      const [x, y] = [p.x + (q.x - p.x) * part, p.y + (q.y - p.y) * part];
      const turn = (Math.atan2(q.y - p.y, q.x - p.x) * 180) / Math.PI;
      drawn.append(svg("path", { d: `M${p.x} ${p.y}L${q.x} ${q.y}`, class: "ws-ring-way" }));
      drawn.append(this.touchable(svg("g", { transform: `translate(${x} ${y})` },
        svg("path", { d: "M-9-7 10 0-9 7z", transform: `rotate(${turn})` }),
        Object.assign(svg("text", { y: -11, "text-anchor": "middle" }), { textContent: message.kind })), "message", message.id, `message in flight: ${message.text}`));
    }
    for (const one of members) {
      const { x, y } = this.at(one.id);
      const shape = one.stopped ? "bars" : ROLE_SHAPES[one.role] ?? "warn";
      const words = one.term === null ? one.role : `${one.role}${one.stopped ? ", stopped" : ""}, term ${one.term}`;
      const group = svg("g", { transform: `translate(${x} ${y})` }, svg("circle", { r: 25, class: "ws-ring-ground" }),
        svg("g", { class: `ws-ring-shape ${one.stopped ? "tone-dim" : ROLE_TONES[one.role] ?? "tone-ink"}`, transform: "translate(-14.4 -14.4) scale(1.8)" }, svg("path", { d: SHAPES[shape], "fill-rule": "evenodd" })),
        Object.assign(svg("text", { y: 42, "text-anchor": "middle", class: "ws-ring-id" }), { textContent: one.id }),
        Object.assign(svg("text", { y: 58, "text-anchor": "middle" }), { textContent: words }));
      drawn.append(this.touchable(group, "member", one.id, `member ${one.id}: ${words}`));
    }
    this.place.replaceChildren(drawn);
  }

  panel() {
    const chosen = this.chosen && this.find(this.chosen);
    const parts = [];
    const one = (label, shape, act, ...rest) => button(label, shape, () => this.act(act, ...rest));
    if (!chosen) parts.push(element("p", { class: "ws-quiet", text: this.live ? "Choose a member." : "Choose a member or a message: what one may do to it appears here." }));
    else if (this.chosen.kind === "message") {
      parts.push(element("h2", { text: chosen.text }), element("p", { text: `arrives in ${chosen.due} ms` }), one("drop", "cross", "drop", chosen.id), one("delay 0.5 s", "bars", "delay", chosen.id, 0.5));
    } else {
      parts.push(element("h2", { text: `member ${chosen.id}: ${chosen.role}` }), facts(chosen));
      if (!this.live) parts.push(...(chosen.role === "crashed" ? [one("restart", "cycle", "restart", chosen.id)] : [one("time out", "warn", "time out", chosen.id),
        chosen.stopped ? one("resume", "play", "resume", chosen.id) : one("stop", "bars", "stop", chosen.id), one("crash", "cross", "crash", chosen.id),
        ...(chosen.role === "learner" ? [one("promote", "star", "promote", chosen.id)] : [])]));
    }
    if (!this.live) parts.push(this.builder());
    if (this.shown.told?.length) parts.push(element("h2", { text: "what happened last" }), element("pre", { class: "ws-ring-told", text: this.shown.told.join("\n") }));
    this.side.replaceChildren(...parts);
  }

  builder() {
    const rows = this.shown.members.map(({ id }) => element("label", {}, element("span", { text: `${id} ` }),
      element("select", { "aria-label": `group of member ${id}`, "data-key": `group-${id}`, onchange: (event) => this.groups.set(id, event.target.value) },
        ...[...GROUPS].map((name) => element("option", { value: name, text: name, selected: (this.groups.get(id) ?? "A") === name || null })))));
    const apply = () => {
      const groups = [...GROUPS].map((name) => this.shown.members.map((one) => one.id).filter((id) => (this.groups.get(id) ?? "A") === name));
      this.act("partition", groups.filter((group) => group.length));
    };
    return element("fieldset", { class: "ws-ring-groups" }, element("legend", { text: "partition: who hears whom" }), ...rows, button("cut", "minus", apply));
  }

  log() {
    if (this.live) return this.logs.replaceChildren();
    const rows = this.shown.members.map((one) => element("tr", {}, element("th", { scope: "row", text: `${one.id}` }),
      element("td", { class: "ws-quiet", text: one.before ? `…${one.before}` : "" }),
      ...(one.log ?? []).map((entry) => {
        const sure = entry.index <= one.committed;
        const words = `entry ${entry.index} of term ${entry.term}, ${sure ? "committed" : entry.index <= one.disk ? "on its disk" : "in memory"}`;
        return element("td", { class: sure ? "is-committed" : "", title: words, "aria-label": words, text: `${sure ? "✓" : ""}${entry.term}` });
      })));
    return this.logs.replaceChildren(element("table", {}, element("caption", { text: "logs: the term of each entry; ✓ is committed" }), element("tbody", {}, ...rows)));
  }
}

function facts(one) {
  const votes = Object.entries(one.votes ?? {}).map(([who, yes]) => `${who} ${yes ? "yes" : "no"}`).join(", ");
  const pairs = { term: one.term, "voted for": one.term === null || one.vote === undefined ? "" : one.vote || "nobody", votes, "loses patience in": one.patience ? `${one.patience} ticks` : "", "last entry": one.index ?? one.log?.at(-1)?.index ?? one.before,
    "on its disk": one.disk, committed: one.committed, applied: one.applied, revision: one.revision, why: one.why };
  const rows = Object.entries(pairs).filter(([, value]) => value !== undefined && value !== "" && value !== null);
  return element("dl", { class: "ws-ring-facts" }, ...rows.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: String(value) })]));
}
