// Which shape and which tone a row has. Shapes alone are enough to tell states apart.
export function processSign(row) {
  if (row.state === "running") return { shape: row.leader ? "star" : "circle", tone: "ok", word: row.leader ? "leads" : "running" };
  if (row.state === "paused") return { shape: "bars", tone: "differ", word: "paused" };
  if (row.state === "restarting" || row.state === "starting") return { shape: "cycle", tone: "differ", word: row.state };
  return { shape: "cross", tone: "bad", word: row.state };
}

export function podSign(row) {
  if (row.finished) return { shape: "check", tone: "dim", word: row.phase.toLowerCase() };
  if (row.ending) return { shape: "minus", tone: "dim", word: "ending" };
  if (!row.node) return { shape: "hollow", tone: "differ", word: "no node" };
  if (row.observed === 0) return { shape: "cross", tone: "bad", word: row.ready ? "reported ready, no process" : "no process" };
  if (!row.ready) return { shape: "triangle", tone: "differ", word: row.reason || "not ready" };
  return { shape: "circle", tone: "ok", word: "ready" };
}

export function nodeSign(row) {
  if (row.ready === "True") return row.cordoned ? { shape: "minus", tone: "differ", word: "cordoned" } : { shape: "circle", tone: "ok", word: "Ready" };
  return row.ready === "False" ? { shape: "cross", tone: "bad", word: "NotReady" } : { shape: "triangle", tone: "bad", word: "Unknown" };
}

export function serviceSign(row) {
  const ready = row.endpoints.filter((one) => one.ready).length;
  if (!row.endpoints.length) return { shape: "hollow", tone: "differ", word: "no endpoints" };
  return ready ? { shape: "circle", tone: "ok", word: `${ready} ready` } : { shape: "triangle", tone: "differ", word: "none ready" };
}

export function sign(row) {
  if (row.type === "process") return processSign(row);
  if (row.type === "pod") return podSign(row);
  if (row.type === "node") return nodeSign(row);
  if (row.type === "service") return serviceSign(row);
  if (row.type === "workload") return row.next ? { shape: "differ", tone: "differ", word: row.next } : { shape: "check", tone: "ok", word: "all agree" };
  return { shape: "ring", tone: "dim", word: "" };
}

export function describe(key, row) {
  const where = row.namespace ? ` in ${row.namespace}` : "";
  return `${row.kind} ${row.name}${where}: ${sign(row).word || "an object"}`;
}
