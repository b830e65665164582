// What is on show, and every step that led there: the log is kept here, so scrubbing needs no kernel.
//
// `rows` is the picture at `cursor`, the number of steps that are applied. A step remembers what it overwrote, so the
// cursor moves back as easily as on. Steps from before the board was attached stand in front (`attached` many).

const WHOLE = 10000;

function without(row) { const { body, ...rest } = row; return rest; }

export class Timeline {
  constructor(limit = 100000) {
    this.limit = limit; this.rows = new Map(); this.steps = []; this.cursor = 0; this.changes = 0;
    this.seq = -1; this.attached = 0; this.edge = 0; this.version = 0; this.changed = new Set(); this.begun = 0;
    this.frozen = false; // paused by hand: steps gather, the picture stands
  }

  get live() { return !this.frozen && this.cursor === this.steps.length; }

  get at() { return this.cursor ? this.steps[this.cursor - 1].at : this.begun; }

  // A whole picture. The first one begins the log; a later one (after a gap) is one more step.
  whole(message) {
    const rows = new Map(Object.entries(message.whole));
    this.seq = message.seq;
    if (!this.begun) {
      this.rows = rows; this.begun = message.at; this.version = message.version;
      for (const key of rows.keys()) this.changed.add(key);
      return;
    }
    const here = this.cursor, wasLive = this.live;
    this.seek(this.steps.length);
    const step = difference(this.rows, rows, message.at);
    if (step) this.push([step], true);
    if (!wasLive) this.seek(here);
  }

  // → false when a batch is missing in between: then ask for a whole picture
  batch(message) {
    if (message.base !== this.seq) return message.seq <= this.seq;
    this.seq = message.seq;
    this.push(message.steps, this.live);
    return true;
  }

  push(steps, follow) {
    for (const step of steps) {
      step.size = Object.keys(step.put).length + step.drop.length;
      this.changes += step.size;
      this.steps.push(step);
    }
    if (follow) this.seek(this.steps.length);
    if (this.changes > this.limit) this.forget();
    if (this.changes > 2 * WHOLE) this.thin();
  }

  // Whole objects are kept with the newest changes only: they weigh ten times what their rows do.
  thin() {
    let left = WHOLE;
    for (let i = this.steps.length - 1; i >= 0 && !this.steps[i].thin; i--) {
      left -= this.steps[i].size;
      if (left > 0) continue;
      const step = this.steps[i]; step.thin = true;
      for (const key in step.put) step.put[key] = without(step.put[key]);
      if (step.before) step.before = step.before.map(([key, row]) => [key, row && without(row)]);
    }
  }

  // The oldest twentieth goes, so that this is seldom done.
  forget() {
    let count = 0;
    while (this.changes > this.limit * 0.95 && count < this.steps.length - 1) this.changes -= this.steps[count++].size;
    if (this.cursor < count) this.seek(count);
    this.begun = this.steps[count - 1].at;
    this.steps.splice(0, count); this.cursor -= count; this.attached = Math.max(0, this.attached - count);
  }

  seek(cursor) {
    const goal = Math.max(0, Math.min(cursor, this.steps.length));
    while (this.cursor < goal) this.apply(this.steps[this.cursor++]);
    while (this.cursor > goal) this.undo(this.steps[--this.cursor]);
  }

  apply(step) {
    step.before = [];
    for (const key of step.drop) { step.before.push([key, this.rows.get(key)]); this.rows.delete(key); this.changed.add(key); }
    for (const key in step.put) { step.before.push([key, this.rows.get(key)]); this.rows.set(key, step.put[key]); this.changed.add(key); }
  }

  undo(step) {
    for (const [key, row] of step.before) {
      if (row === undefined) this.rows.delete(key); else this.rows.set(key, row);
      this.changed.add(key);
    }
  }

  // Pictures from before the board was attached, oldest first: the way from one to the next is a step.
  prepend(points, edge) {
    if (this.attached) return;
    const here = this.cursor;
    this.seek(0);
    const pictures = [...points.map((point) => new Map(Object.entries(point.rows))), new Map(this.rows)];
    const older = [];
    for (let i = 1; i < pictures.length; i++) {
      const step = difference(pictures[i - 1], pictures[i], i < points.length ? points[i].at : this.begun) ?? { put: {}, drop: [], at: points[i - 1].at };
      older.push({ ...step, size: 0, past: true, version: i < points.length ? points[i].version : this.version });
    }
    this.edge = edge;
    if (!older.length) { this.seek(here); return; }
    for (const step of older) { step.before = []; }
    for (const step of [...older].reverse()) {
      // the rows are those after this step: what was before it is the picture before
      const picture = pictures[older.indexOf(step)];
      for (const key of [...step.drop, ...Object.keys(step.put)]) step.before.push([key, picture.get(key)]);
    }
    this.begun = points[0].at; this.edgeVersion = points[0].version;
    this.steps.unshift(...older); this.attached = older.length; this.cursor += older.length;
    this.seek(here + older.length);
  }
}

export function difference(old, rows, at) {
  const put = {}, drop = [];
  for (const [key, row] of rows) if (JSON.stringify(old.get(key)) !== JSON.stringify(row)) put[key] = row;
  for (const key of old.keys()) if (!rows.has(key)) drop.push(key);
  return drop.length || Object.keys(put).length ? { at, put, drop } : null;
}

// What a step shows, for its mark on the time line: the system's side, the API's, or a process of the cluster.
export function nature(step) {
  for (const key in step.put) if (key.startsWith("Process/")) return "process";
  for (const key in step.put) {
    const before = step.before?.find(([name]) => name === key)?.[1];
    if (before && "observed" in before && before.observed !== step.put[key].observed) return "observed";
  }
  return "api";
}
