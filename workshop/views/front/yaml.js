// Plain JSON as YAML, in the way kubectl prints objects.
const PLAIN = /^[A-Za-z_/][\w./ @%=+()<>,-]*$/;
const WORDS = /^(true|false|yes|no|on|off|null|~|y|n)$/i;

function scalar(value) {
  if (typeof value !== "string") return value === null ? "null" : String(value);
  if (value === "") return '""';
  return PLAIN.test(value) && !WORDS.test(value) && !/ $/.test(value) && !value.includes(" #") ? value : JSON.stringify(value);
}

export function yaml(value, indent = "") {
  if (Array.isArray(value)) return value.length ? value.map((one) => `${indent}- ${nested(one, `${indent}  `)}`).join("") : `${indent}[]\n`;
  const lines = Object.entries(value).map(([key, one]) => {
    if (one !== null && typeof one === "object" && Object.keys(one).length) return `${indent}${scalar(key)}:\n${yaml(one, Array.isArray(one) ? indent : `${indent}  `)}`;
    return `${indent}${scalar(key)}: ${nested(one, indent)}`;
  });
  return lines.join("");
}

// What stands behind a dash or a colon: its first line has no indent of its own.
function nested(one, indent) {
  if (one === null || typeof one !== "object") return typeof one === "string" && one.includes("\n") ? block(one, indent) : `${scalar(one)}\n`;
  if (!Object.keys(one).length) return Array.isArray(one) ? "[]\n" : "{}\n";
  return yaml(one, indent).slice(indent.length);
}

function block(text, indent) {
  return `|${text.endsWith("\n") ? "" : "-"}\n${text.replace(/\n$/, "").split("\n").map((line) => `${indent}  ${line}`).join("\n")}\n`;
}
