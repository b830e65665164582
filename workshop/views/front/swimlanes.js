// The causal trace: lanes from left to right, time from top to bottom. A write goes from its lane through the API
// server into etcd; a watch event comes from the API server to whoever acts next.
import { clock, element, svg, title } from "./dom.js";

const ROW = 46, HEAD = 46, MARGIN = 86, LANE = 200, NARROW = 138;

export class Swimlanes {
  constructor(select) {
    this.select = select; this.key = null; this.data = null;
    this.body = element("div", { class: "ws-swim-body" });
    this.root = element("div", { class: "ws-scroll ws-swim", tabindex: "0", role: "region", "aria-label": "causes" }, this.body);
    this.say("Choose an object (a workload, or anything on the map) and see which write led to which.");
  }

  say(text) { this.body.replaceChildren(element("p", { class: "ws-empty", text })); }

  show(data, observes) {
    this.data = data;
    if (!data.rows.length) {
      const { kind, name } = title(data.key);
      this.say(observes
        ? `Nothing is known of how ${kind} ${name} came to be: components tell their steps only while a board listens. Change it, and look again.`
        : "Causes are told by this workshop's own components. On another cluster, what an object itself knows of its writers stands in its details.");
      return;
    }
    this.body.replaceChildren(element("p", { class: "ws-swim-note", text: "Read downwards: each box was set off by the version that it saw, and wrote the next. @ is etcd's revision." }), this.draw(data), this.list(data));
  }

  draw(data) {
    const wide = data.lanes.map((lane) => (lane === "etcd" || lane === "kube-apiserver" ? NARROW : LANE));
    const left = (i) => MARGIN + wide.slice(0, i).reduce((sum, one) => sum + one, 0);
    const width = left(data.lanes.length), height = HEAD + data.rows.length * ROW + 16;
    const x = (lane) => { const i = data.lanes.indexOf(lane); return left(i) + wide[i] / 2; }, y = (place) => HEAD + place * ROW + ROW / 2;
    const made = svg("svg", { class: "ws-swim-svg", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
    data.lanes.forEach((lane, i) => made.append(
      svg("rect", { x: left(i) + 3, y: 0, width: wide[i] - 6, height, rx: 8, class: `ws-lane${i % 2 ? " odd" : ""}` }),
      svg("text", { x: x(lane), y: 27, "text-anchor": "middle", class: "ws-lane-name" }, lane.replace("kube-controller-manager", "controller-manager"))));
    const begun = data.rows[0].at;
    data.rows.forEach((row, place) => {
      if (row.cause === null || row.cause === undefined) return;
      if (row.type === "write") made.append(this.arrow(x(row.lane), y(row.cause) + 14, x(row.lane), y(place) - 15, "ws-follow"));
      else made.append(svg("path", { d: `M${x("kube-apiserver")} ${y(row.cause)}V${y(place)}`, class: "ws-follow faint", fill: "none" }));
    });
    data.rows.forEach((row, place) => {
      const group = svg("g", { class: "ws-swim-row", "data-key": row.object }), here = y(place), lane = x(row.lane), server = x("kube-apiserver");
      group.append(svg("text", { x: MARGIN - 10, y: here + 4, "text-anchor": "end", class: "ws-when" }, place ? `+${Math.round(row.at - begun)} ms` : clock(row.at)));
      const { kind, name } = title(row.object);
      if (row.type === "write") {
        const etcd = x("etcd") + 30;
        group.append(this.arrow(lane, here, server + 7, here, "ws-write"), this.arrow(server, here, etcd + 10, here, "ws-write"),
          svg("circle", { cx: server, cy: here, r: 5, class: "ws-stop" }),
          svg("rect", { x: etcd - 8, y: here - 10, width: 16, height: 20, rx: 3, class: "ws-stored" }),
          svg("text", { x: etcd - 14, y: here + 4, "text-anchor": "end", class: "ws-version" }, `@${row.version}`),
          this.box(lane, here, row.who, `${row.verb}${row.subresource ? ` ${row.subresource}` : ""} ${kind}`, "write"));
      } else {
        group.append(this.arrow(server, here, lane - LANE / 2 + 9, here, "ws-watch"),
          svg("circle", { cx: server, cy: here, r: 4, class: "ws-stop open" }), this.box(lane, here, row.who, `saw ${kind} @${row.version}`, "watch"));
      }
      group.append(svg("title", {}, `${row.who}: ${row.type === "write" ? row.verb : "saw"} ${kind} ${name} @${row.version}`));
      group.addEventListener("click", () => this.select(row.object));
      made.append(group);
    });
    return made;
  }

  box(x, y, first, second, kind) {
    const half = LANE / 2 - 10;
    return svg("g", {}, svg("rect", { x: x - half, y: y - 17, width: 2 * half, height: 34, rx: kind === "write" ? 4 : 17, class: `ws-step ${kind}` }),
      svg("text", { x, y: y - 3, "text-anchor": "middle", class: "ws-step-who" }, cut(first, 24)),
      svg("text", { x, y: y + 11, "text-anchor": "middle", class: "ws-step-what" }, cut(second, 27)));
  }

  arrow(x1, y1, x2, y2, className) {
    const vertical = x1 === x2, sign = vertical ? Math.sign(y2 - y1) : Math.sign(x2 - x1);
    const head = vertical ? `M${x2 - 4} ${y2 - 6 * sign}L${x2} ${y2}L${x2 + 4} ${y2 - 6 * sign}` : `M${x2 - 6 * sign} ${y2 - 4}L${x2} ${y2}L${x2 - 6 * sign} ${y2 + 4}`;
    return svg("path", { d: `M${x1} ${y1}L${x2} ${y2}${head}`, fill: "none", class: className });
  }

  // The same in words, for who does not see the picture.
  list(data) {
    const words = (row) => {
      const { kind, name } = title(row.object);
      return row.type === "write" ? `${row.who} (${row.lane}): ${row.verb} ${kind} ${name} ${row.subresource}, stored as revision ${row.version}` : `${row.who} (${row.lane}) saw ${kind} ${name} at version ${row.version}`;
    };
    return element("ol", { class: "ws-hidden" }, ...data.rows.map((row) => element("li", { text: words(row) })));
  }
}

function cut(text, most) { return text.length > most ? `${text.slice(0, most - 1)}…` : text; }
