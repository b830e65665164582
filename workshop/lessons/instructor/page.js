// The instructor's board: rows by learner, kept live by server-sent events. Text only ever goes in by textContent.
const rows = new Map();
const order = { stuck: 0, working: 1, away: 2 };
const signs = { stuck: "▲ stuck", working: "● working", away: "○ away" };
const body = document.getElementById("rows");
const show = document.getElementById("show");
let drawing = false;

function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function age(row) {
  return Math.floor((performance.now() - row.at) / 1000);
}

function cells(row) {
  const stuck = row.state === "stuck";
  return [signs[row.state], row.name, row.lab, row.section, row.lab ? span(row.here + age(row)) : "",
    String(row.solved), stuck ? row.check : "", stuck ? `${span(row.stuck + age(row))}, ${row.tries} ${row.tries === 1 ? "try" : "tries"}` : "",
    stuck ? row.found : row.state === "away" ? `silent for ${span(row.silent + age(row))}` : ""];
}

function draw() {
  drawing = false;
  const all = [...rows.values()];
  const shown = all.filter((row) => !show.value || row.state === show.value);
  shown.sort((a, b) => order[a.state] - order[b.state] || b.stuck - a.stuck || a.name.localeCompare(b.name));
  const wanted = new Set(shown.map((row) => row.id));
  for (const line of [...body.children]) if (!wanted.has(line.dataset.id)) line.remove();
  const lines = new Map([...body.children].map((line) => [line.dataset.id, line]));
  shown.forEach((row, place) => {
    let line = lines.get(row.id);
    if (!line) {
      line = document.createElement("tr");
      line.dataset.id = row.id;
      for (let i = 0; i < 9; i++) line.append(document.createElement("td"));
      for (const i of [4, 5, 7]) line.children[i].className = "number";
    }
    line.className = row.state;
    cells(row).forEach((text, i) => { if (line.children[i].textContent !== text) line.children[i].textContent = text; });
    if (body.children[place] !== line) body.insertBefore(line, body.children[place] || null);
  });
  const count = (state) => all.filter((row) => row.state === state).length;
  const summary = document.getElementById("summary");
  summary.className = "";
  summary.textContent = all.length
    ? `${all.length} learners: ${count("stuck")} stuck, ${count("working")} working, ${count("away")} away`
    : "waiting for the first learner";
  const here = all.filter((row) => row.lab && row.state !== "away");
  tally("where", here.map((row) => (row.section ? `${row.lab}: ${row.section}` : row.lab)));
  const checks = all.filter((row) => row.state === "stuck").map((row) => `${row.lab}: ${row.check}`);
  tally("stuck", checks);
  document.getElementById("stuck-part").hidden = !checks.length;
}

// How often each of the words comes, the most frequent first, with a bar as long as its part.
function tally(id, words) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) || 0) + 1);
  const found = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])), most = found.length ? found[0][1] : 1;
  document.getElementById(id).replaceChildren(...found.map(([word, number]) => {
    const item = document.createElement("li"), name = document.createElement("span"), bar = document.createElement("b");
    name.textContent = `${word} × ${number}`;
    bar.style.width = `${Math.max(1, Math.round((100 * number) / most))}%`;
    item.append(name, bar);
    return item;
  }));
}

function later() {
  if (!drawing) { drawing = true; requestAnimationFrame(draw); }
}

const changes = new EventSource("changes");
changes.onmessage = (event) => {
  const news = JSON.parse(event.data);
  if (news.whole) rows.clear();
  for (const row of news.learners) rows.set(row.id, { ...row, at: performance.now() });
  later();
};
changes.onerror = () => {
  const summary = document.getElementById("summary");
  summary.className = "stale";
  summary.textContent = "out of date: the connection is lost, trying again";
};
show.onchange = later;
setInterval(later, 5000);
