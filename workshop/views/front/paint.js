// What a row looks like on the map, as primitives that an SVG and a canvas can both draw. Places come from the kernel.
//
// {rect: [x, y, w, h, radius], fill, stroke, dash, wide} · {text, x, y, tone, size, bold, max} · {icon, x, y, size, tone}
import { nodeSign, podSign, processSign, serviceSign } from "./signs.js";

export function place(row, rows) {
  if (!row?.box) return null;
  const [card, x, y, w, h] = row.box;
  if (!card) return { x, y, w, h };
  const around = rows.get(card)?.box ?? (card === "Lane//no node" ? rows.get("Frame//map")?.unplaced : null);
  return around ? { x: around[1] + x, y: around[2] + y, w, h } : null;
}

const PAINTERS = { process, node, pod, service };

export function paint(key, row, rows) {
  const at = place(row, rows);
  return at && PAINTERS[row.type] ? PAINTERS[row.type](row, at, rows) : [];
}

function process(row, { x, y, w, h }) {
  const { shape, tone, word } = processSign(row);
  const detail = row.state === "running" ? `pid ${row.pid}${row.restarts ? ` · started again ${row.restarts}×` : ""}` : word;
  return [
    { rect: [x, y, w, h, 8], fill: tone === "ok" ? "card" : `${tone}-soft`, stroke: tone === "ok" ? "line" : tone, wide: tone === "ok" ? 1 : 2 },
    { icon: shape, x: x + 12, y: y + h / 2 - 9, size: 18, tone },
    { text: row.name, x: x + 37, y: y + 23, tone: "ink", size: 13.5, bold: true, max: w - 38 },
    { text: row.leader ? `leader · ${detail}` : detail, x: x + 37, y: y + 42, tone: "dim", size: 13, max: w - 50 },
  ];
}

function node(row, { x, y, w, h }, rows) {
  const { shape, tone, word } = nodeSign(row);
  const found = [
    { rect: [x, y, w, h, 10], fill: "card", stroke: tone === "ok" ? "line" : tone, wide: tone === "ok" ? 1 : 2 },
    { icon: shape, x: x + 12, y: y + 12, size: 16, tone },
    { text: row.name, x: x + 36, y: y + 26, tone: "ink", size: 16, bold: true, max: w / 2 },
    { text: `${word} · ${row.pods} ${row.pods === 1 ? "pod" : "pods"}`, x: x + w - 12, y: y + 26, tone: tone === "ok" ? "dim" : tone, size: 13, end: true, max: w / 2 },
  ];
  let left = x + 12;
  for (const program of ["kubelet", "kube-proxy"]) {
    const one = rows.get(`Process//${program}-${row.name}`);
    if (!one) continue;
    const sign = processSign(one), text = one.state === "running" ? program : `${program} ${sign.word}`;
    const width = text.length * 7.1 + 34;
    found.push({ rect: [left, y + 36, width, 22, 11], fill: sign.tone === "ok" ? "ground" : `${sign.tone}-soft`, stroke: sign.tone === "ok" ? "line" : sign.tone },
      { icon: sign.shape, x: left + 8, y: y + 41, size: 12, tone: sign.tone }, { text, x: left + 25, y: y + 51.5, tone: "ink", size: 12.5, max: width });
    left += width + 8;
  }
  return found;
}

function pod(row, { x, y, w, h }) {
  const { shape, tone } = podSign(row);
  if (w < 20) return [{ icon: shape, x, y, size: w, tone }];
  const found = [{ rect: [x, y, w, h, 6], fill: `${tone}-soft`, stroke: tone, dash: !row.node || row.ending }];
  if (w < 60) return [...found, { icon: shape, x: x + w / 2 - 6, y: y + h / 2 - 6, size: 12, tone }];
  return [...found, { icon: shape, x: x + 8, y: y + h / 2 - 6, size: 12, tone }, { text: row.name, x: x + 26, y: y + h / 2 + 4.5, tone: "ink", size: 12.5, max: w - 32, tail: true }];
}

function service(row, { x, y, w, h }) {
  const { shape, tone, word } = serviceSign(row);
  if (h < 40) {
    return [{ rect: [x, y, w, h, 5], fill: "card", stroke: row.open ? "accent" : tone === "ok" ? "line" : tone, wide: row.open ? 2 : 1 },
      { icon: shape, x: x + 6, y: y + h / 2 - 5, size: 10, tone }, { text: row.name, x: x + 21, y: y + h / 2 + 4, tone: "ink", size: 11.5, max: w - 25, tail: true }];
  }
  const traffic = row.open === null ? "" : row.open ? ` · ${row.open} open` : row.recent ? ` · ${row.recent} in the last minute` : "";
  return [
    { rect: [x, y, w, h, 8], fill: "card", stroke: row.open ? "accent" : tone === "ok" ? "line" : tone, wide: row.open ? 2 : 1 },
    { icon: shape, x: x + 12, y: y + 12, size: 14, tone },
    { text: row.name, x: x + 33, y: y + 24, tone: "ink", size: 14, bold: true, max: w - 42 },
    { text: `${word}${traffic}`, x: x + 33, y: y + 43, tone: row.open ? "accent" : "dim", size: 12.5, max: w - 42 },
  ];
}

// Lines between a Service and its pods: who may answer, and over which connections run now.
export function routes(rows, selected, most = 60) {
  const found = [];
  const services = [...rows].filter(([, row]) => row.type === "service");
  const few = services.reduce((sum, [, row]) => sum + row.endpoints.length, 0) <= most;
  for (const [key, row] of services) {
    const busy = row.open || row.recent;
    if (!few && key !== selected && !busy) continue;
    const from = place(row, rows);
    for (const one of row.endpoints) {
      const pod = one.pod && rows.get(one.pod), to = pod && place(pod, rows);
      if (from && to) found.push({ key, from: [from.x + from.w / 2, from.y], to: [to.x + to.w / 2, to.y + to.h], open: one.open || 0, recent: one.recent || 0, ready: one.ready, strong: key === selected || one.pod === selected });
    }
  }
  return found;
}

export function curve({ from: [x1, y1], to: [x2, y2] }) {
  const bend = Math.max(30, (y1 - y2) / 2);
  return [x1, y1, x1, y1 - bend, x2, y2 + bend, x2, y2];
}

// Who belongs to whom: the owners of a row and what it owns, for the frame around them.
export function family(rows, selected) {
  const found = new Set();
  const row = rows.get(selected);
  if (!row) return found;
  for (const [key, other] of rows) if (other.root === selected || other.owner === selected || (row.root && other.root === row.root)) found.add(key);
  if (row.type === "service") for (const one of row.endpoints) if (one.pod) found.add(one.pod);
  if (row.type === "pod") for (const [key, other] of rows) if (other.type === "service" && other.endpoints.some((one) => one.pod === selected)) found.add(key);
  found.delete(selected);
  return found;
}
