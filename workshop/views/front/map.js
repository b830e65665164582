// The map: SVG for up to 300 objects, a canvas above. Both draw the same primitives; hit-testing and the keyboard are
// the same for both.
import { SHAPES, element, svg } from "./dom.js";
import { curve, family, paint, place, routes } from "./paint.js";
import { describe } from "./signs.js";

const SVG_MOST = 300;
const EDGE = 12; // the scrolled area's padding
const DRAWN = new Set(["process", "node", "pod", "service"]);
const ORDER = { node: 0, process: 1, service: 2, pod: 3 };

export class ClusterMap {
  constructor(select) {
    this.select = select; this.rows = new Map(); this.groups = new Map(); this.selected = null; this.filter = ""; this.focused = null;
    this.said = element("p", { class: "ws-hidden", "aria-live": "polite" });
    this.canvas = element("canvas", { class: "ws-canvas" });
    this.svg = svg("svg", { class: "ws-svg" });
    this.layers = { edges: svg("g"), titles: svg("g"), cards: svg("g"), things: svg("g"), marks: svg("g") };
    this.svg.append(this.layers.titles, this.layers.cards, this.layers.edges, this.layers.things, this.layers.marks);
    this.surface = element("div", { class: "ws-surface" }, this.svg, this.canvas);
    this.root = element("div", { class: "ws-map ws-scroll", tabindex: "0", role: "application", "aria-label": "map of the cluster: arrow keys move, Enter opens",
      onkeydown: (event) => this.key(event), onclick: (event) => this.click(event), onfocus: () => this.mark(), onblur: () => this.mark(), onscroll: () => this.scrolled() }, this.surface, this.said);
    this.paths = Object.fromEntries(Object.entries(SHAPES).map(([name, path]) => [name, new Path2D(path)]));
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.root);
    this.changed = new Set(); this.visible = false;
  }

  destroy() { this.watcher.disconnect(); }

  get big() { return this.count > SVG_MOST; }

  update(rows, changed) {
    this.rows = rows;
    for (const key of changed) this.changed.add(key);
    if (this.visible) this.draw();
  }

  show(visible) { this.visible = visible; if (visible) { this.resize(); this.draw(true); } }

  draw(all = false) {
    const frame = this.rows.get("Frame//map");
    if (!frame || !this.visible) return;
    this.count = 0;
    for (const row of this.rows.values()) if (DRAWN.has(row.type)) this.count++;
    const wasBig = this.canvas.style.display === "block";
    if (all || wasBig !== this.big || this.changed.has("Frame//map")) {
      this.canvas.style.display = this.big ? "block" : "none"; this.svg.style.display = this.big ? "none" : "block";
      this.surface.style.aspectRatio = `${frame.width} / ${Math.max(60, frame.height)}`;
      this.svg.setAttribute("viewBox", `0 0 ${frame.width} ${Math.max(60, frame.height)}`);
      this.resize(); all = true;
      if (this.big) this.canvas.style.transform = `translateY(${Math.max(0, this.root.scrollTop - EDGE)}px)`;
    }
    if (!this.big) this.paintSvg(frame, all);
    else if (all || !this.patch()) this.paintCanvas(frame);
    this.changed.clear();
  }

  // -- SVG --

  paintSvg(frame, all) {
    if (all) {
      this.groups.clear();
      for (const layer of Object.values(this.layers)) layer.replaceChildren();
      for (const { title, y } of frame.titles) this.layers.titles.append(svg("text", { x: 2, y: y + 19, class: "ws-lane-title" }, title));
      for (const key of this.rows.keys()) this.group(key);
    } else {
      for (const key of this.changed) {
        this.group(key);
        const node = this.rows.get(key)?.node;
        if (key.startsWith("Process/") && node) this.group(`Node//${node}`);
      }
    }
    this.layers.edges.replaceChildren(...routes(this.rows, this.selected).map((route) => {
      const [x1, y1, a, b, c, d, x2, y2] = curve(route);
      return svg("path", { d: `M${x1} ${y1}C${a} ${b} ${c} ${d} ${x2} ${y2}`, fill: "none", class: `ws-route${route.open ? " open" : route.recent ? " recent" : ""}${route.strong ? " strong" : ""}${route.ready ? "" : " off"}`, "stroke-width": 1.2 + Math.min(5, route.open) });
    }));
    this.mark();
  }

  group(key) {
    const row = this.rows.get(key), made = this.groups.get(key);
    const parts = row && DRAWN.has(row.type) ? paint(key, row, this.rows) : [];
    if (!parts.length || !this.matches(key)) { made?.remove(); this.groups.delete(key); return; }
    const fresh = svg("g", { "data-key": key, class: "ws-thing" }, svg("title", {}, describe(key, row)), ...parts.map((part) => this.node(part)));
    if (made) { made.replaceWith(fresh); fresh.classList.add("flash"); } else this.layers[row.type === "node" ? "cards" : "things"].append(fresh);
    this.groups.set(key, fresh);
  }

  node(part) {
    if (part.rect) {
      const [x, y, width, height, rx] = part.rect;
      return inked(svg("rect", { x, y, width, height, rx, "stroke-width": part.wide ?? 1, "stroke-dasharray": part.dash ? "4 3" : null }), part.fill, part.stroke);
    }
    if (part.icon) {
      const scale = part.size / 16;
      return inked(svg("path", { d: SHAPES[part.icon], "fill-rule": "evenodd", transform: `translate(${part.x} ${part.y}) scale(${scale})` }), part.tone);
    }
    return inked(svg("text", { x: part.x, y: part.y, "font-size": part.size, "font-weight": part.bold ? 600 : 400, "text-anchor": part.end ? "end" : "start" }, short(part)), part.tone);
  }

  // -- canvas --

  paintCanvas(frame) {
    const ink = getComputedStyle(this.root), colours = {};
    const colour = (name) => (colours[name] ??= ink.getPropertyValue(`--${name}`).trim());
    const { pen, top, bottom } = this.window(frame);
    pen.clearRect(0, top, frame.width, bottom - top);
    pen.fillStyle = colour("dim"); pen.font = "600 14px system-ui, sans-serif";
    for (const { title, y } of frame.titles) pen.fillText(title, 2, y + 19);
    const inside = (row) => { const at = place(row, this.rows); return at && at.y < bottom && at.y + at.h > top; };
    const shown = [...this.rows].filter(([key, row]) => DRAWN.has(row.type) && inside(row) && this.matches(key)).sort((a, b) => ORDER[a[1].type] - ORDER[b[1].type]);
    for (const [key, row] of shown) for (const part of paint(key, row, this.rows)) this.stroke(pen, part, colour);
    for (const route of routes(this.rows, this.selected)) {
      const [x1, y1, ...rest] = curve(route);
      pen.strokeStyle = colour(route.open || route.strong ? "accent" : "line"); pen.lineWidth = 1.2 + Math.min(5, route.open);
      pen.beginPath(); pen.moveTo(x1, y1); pen.bezierCurveTo(...rest); pen.stroke();
    }
    const around = family(this.rows, this.selected);
    for (const key of [...around, this.selected, this.hasFocus() ? this.focused : null]) {
      const at = key && place(this.rows.get(key), this.rows);
      if (!at) continue;
      pen.strokeStyle = colour("accent"); pen.lineWidth = around.has(key) ? 1.5 : 3;
      pen.strokeRect(at.x - 2, at.y - 2, at.w + 4, at.h + 4);
    }
  }

  // Where only pods and Services changed, and nothing lies over them: draw those alone. → whether that was enough
  patch() {
    if (this.selected || this.filter || !this.changed.size) return false;
    const parts = [], ink = getComputedStyle(this.root), colours = {};
    for (const key of this.changed) {
      const row = this.rows.get(key);
      if (!row) { if (DRAWN.has({ Pod: "pod", Service: "service" }[key.split("/", 1)[0]] ?? "") || key.startsWith("Node/") || key.startsWith("Process/")) return false; continue; }
      if (!DRAWN.has(row.type)) continue;
      if (row.type !== "pod" && row.type !== "service") return false;
      if (row.type === "service" && (row.open || row.recent)) return false;
      if (!row.box) continue;
      parts.push([key, row, place(row, this.rows)]);
    }
    const colour = (name) => (colours[name] ??= ink.getPropertyValue(`--${name}`).trim());
    const { pen, top, bottom } = this.window(this.rows.get("Frame//map"));
    for (const [key, row, at] of parts) {
      if (!at || at.y > bottom || at.y + at.h < top) continue;
      pen.fillStyle = colour(row.type === "pod" && row.node ? "card" : "paper"); pen.fillRect(at.x - 1, at.y - 1, at.w + 2, at.h + 2);
      for (const part of paint(key, row, this.rows)) this.stroke(pen, part, colour);
    }
    return true;
  }

  stroke(pen, part, colour) {
    if (part.rect) {
      const [x, y, w, h, radius] = part.rect;
      pen.beginPath(); pen.roundRect(x, y, w, h, radius);
      pen.fillStyle = colour(part.fill); pen.fill();
      pen.strokeStyle = colour(part.stroke); pen.lineWidth = part.wide ?? 1;
      pen.setLineDash(part.dash ? [4, 3] : []); pen.stroke(); pen.setLineDash([]);
    } else if (part.icon) {
      pen.save(); pen.translate(part.x, part.y); pen.scale(part.size / 16, part.size / 16);
      pen.fillStyle = colour(part.tone); pen.fill(this.paths[part.icon], "evenodd"); pen.restore();
    } else {
      pen.fillStyle = colour(part.tone); pen.font = `${part.bold ? "600 " : ""}${part.size}px system-ui, sans-serif`;
      pen.textAlign = part.end ? "right" : "left"; pen.fillText(short(part), part.x, part.y); pen.textAlign = "left";
    }
  }

  // The canvas is as big as what can be seen of the map, and moves along when it is scrolled.
  resize() {
    const ratio = devicePixelRatio || 1;
    const width = Math.round(this.surface.clientWidth * ratio), height = Math.round(this.root.clientHeight * ratio);
    if (width && (this.canvas.width !== width || this.canvas.height !== height)) {
      this.canvas.width = width; this.canvas.height = height; this.canvas.style.height = `${height / ratio}px`;
      if (this.big) this.draw(true);
    }
  }

  scrolled() {
    if (!this.big) return;
    this.canvas.style.transform = `translateY(${Math.max(0, this.root.scrollTop - EDGE)}px)`;
    if (!this.scrolling) this.scrolling = requestAnimationFrame(() => { this.scrolling = 0; this.paintCanvas(this.rows.get("Frame//map")); });
  }

  // The pen, set to the map's units, and which part of the map can be seen.
  window(frame) {
    const pen = this.canvas.getContext("2d"), scale = this.canvas.width / frame.width;
    const top = (Math.max(0, this.root.scrollTop - EDGE) * (devicePixelRatio || 1)) / scale;
    pen.setTransform(scale, 0, 0, scale, 0, -top * scale);
    return { pen, top, bottom: top + this.canvas.height / scale };
  }

  // -- what is chosen --

  matches(key) { return !this.filter || key.startsWith("Node/") || key.startsWith("Process/") || key.toLowerCase().includes(this.filter); }

  narrow(text) { this.filter = text.toLowerCase(); this.draw(true); }

  choose(key) { this.selected = key; if (key) this.focused = key; if (this.visible) this.draw(); }

  hasFocus() { return this.root.ownerDocument.activeElement === this.root || this.root.matches(":focus"); }

  mark() {
    if (this.big) { this.draw(); return; }
    const around = family(this.rows, this.selected), boxes = [];
    for (const key of [...around, this.selected, this.hasFocus() ? this.focused : null]) {
      const at = key && place(this.rows.get(key), this.rows);
      if (at) boxes.push(svg("rect", { x: at.x - 3, y: at.y - 3, width: at.w + 6, height: at.h + 6, rx: 9, class: `ws-mark${around.has(key) ? " kin" : key === this.selected ? " chosen" : " focused"}` }));
    }
    this.layers.marks.replaceChildren(...boxes);
  }

  click(event) {
    const key = this.big ? this.hit(event) : event.target.closest?.("[data-key]")?.dataset.key;
    if (key) { this.focused = key; this.select(key); }
  }

  hit(event) {
    const frame = this.rows.get("Frame//map"), box = this.surface.getBoundingClientRect(), scale = frame.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let found = null;
    for (const [key, row] of this.rows) {
      if (!DRAWN.has(row.type)) continue;
      const at = place(row, this.rows);
      if (at && x >= at.x - 1 && x <= at.x + at.w + 1 && y >= at.y - 1 && y <= at.y + at.h + 1 && (!found || row.type !== "node")) found = key;
    }
    return found;
  }

  key(event) {
    if (event.key === "Enter" && this.focused) { event.preventDefault(); this.select(this.focused); return; }
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const here = this.focused && place(this.rows.get(this.focused), this.rows);
    let best = null, least = Infinity;
    for (const [key, row] of this.rows) {
      if (!DRAWN.has(row.type) || key === this.focused || !this.matches(key)) continue;
      const at = place(row, this.rows);
      if (!at) continue;
      if (!here) { const far = at.x + at.y * 3; if (far < least) { least = far; best = key; } continue; }
      const dx = at.x + at.w / 2 - here.x - here.w / 2, dy = at.y + at.h / 2 - here.y - here.h / 2;
      const along = dx * way[0] + dy * way[1], across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      if (along > 2 && along + 2.5 * across < least) { least = along + 2.5 * across; best = key; }
    }
    if (!best) return;
    this.focused = best; this.said.textContent = describe(best, this.rows.get(best));
    this.mark(); this.reveal(best);
  }

  reveal(key) {
    const frame = this.rows.get("Frame//map"), at = place(this.rows.get(key), this.rows), scale = this.surface.getBoundingClientRect().width / frame.width;
    const top = at.y * scale, bottom = (at.y + at.h) * scale;
    if (top < this.root.scrollTop) this.root.scrollTop = top - 10;
    else if (bottom > this.root.scrollTop + this.root.clientHeight) this.root.scrollTop = bottom - this.root.clientHeight + 10;
  }
}

// Through the style object: a page's policy forbids style attributes.
function inked(node, fill, stroke) {
  node.style.fill = `var(--${fill})`;
  if (stroke) node.style.stroke = `var(--${stroke})`;
  return node;
}

// A name that is too long loses its middle, since its end tells pods apart; or its end.
function short({ text, size, max, tail }) {
  const most = Math.max(3, Math.floor(max / (size * 0.65)));
  if (!max || text.length <= most) return text;
  const end = tail ? Math.min(6, most - 2) : 0;
  return `${text.slice(0, most - 1 - end)}…${text.slice(text.length - end)}`;
}
