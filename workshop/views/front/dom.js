// Small helpers for elements. Text is only ever set as text: nothing that a cluster says is read as HTML.
const SVG = "http://www.w3.org/2000/svg";

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  dress(made, properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function svg(tag, properties = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) if (value !== undefined && value !== null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function dress(made, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
}

// Every state has a shape of its own, so that nobody needs to tell colours apart. Paths in a box of 16 by 16.
export const SHAPES = {
  circle: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z",
  ring: "M8 1.5a6.5 6.5 0 1 0 0 13A6.5 6.5 0 0 0 8 1.5zm0 2.2a4.3 4.3 0 1 1 0 8.6 4.3 4.3 0 0 1 0-8.6z",
  cross: "M3.6 1.6 8 6l4.4-4.4 2 2L10 8l4.4 4.4-2 2L8 10l-4.4 4.4-2-2L6 8 1.6 3.6z",
  bars: "M3 2h3.8v12H3zM9.2 2H13v12H9.2z",
  star: "M8 1l2.2 4.6 5 .6-3.7 3.4 1 5L8 12.1l-4.5 2.5 1-5L.8 6.2l5-.6z",
  triangle: "M8 1.5 15.2 14H.8z",
  diamond: "M8 .8 15.2 8 8 15.2.8 8z",
  hollow: "M8 .8 15.2 8 8 15.2.8 8zm0 3.4L4.2 8 8 11.8 11.8 8z",
  check: "M1.6 8.6 3.4 6.8 6.4 9.8 12.6 3.2 14.4 5 6.4 13.4z",
  play: "M4 1.8 13.6 8 4 14.2z",
  minus: "M1.8 6.4h12.4v3.2H1.8z",
  back: "M10.6 2.4 5 8l5.6 5.6 1.8-1.8L8.6 8l3.8-3.8z",
  ahead: "M5.4 2.4 11 8l-5.6 5.6-1.8-1.8L7.4 8 3.6 4.2z",
  differ: "M10.3 1.5 12 2.4 10.9 4.6H14v2.2H9.8L8.6 9.2H14v2.2H7.5l-1.6 3.1-1.7-.9 1.1-2.2H2V9.2h4.4l1.2-2.4H2V4.6h6.7z",
  cycle: "M8 2a6 6 0 0 1 5.7 4.1l1.8-.3-2.7 3.8L9.6 6.8l1.9-.4A3.8 3.8 0 1 0 11.8 9l2.1.6A6 6 0 1 1 8 2z",
  warn: "M8 1 15.5 14.5H.5zM7.1 5.6v4.6h1.8V5.6zM7.1 11.4v1.8h1.8v-1.8z",
};

export function icon(shape, className = "") {
  return svg("svg", { viewBox: "0 0 16 16", class: `ws-icon ${className}`, "aria-hidden": "true" },
    svg("path", { d: SHAPES[shape], "fill-rule": "evenodd" }));
}

export function button(label, shape, act, extra = {}) {
  return element("button", { type: "button", class: "ws-button", onclick: act, title: label, ...extra }, shape ? icon(shape) : null,
    element("span", { text: label, class: "ws-button-text" }));
}

export function clock(milliseconds, precise = false) {
  if (!milliseconds) return "time unknown";
  const when = new Date(milliseconds);
  const two = (number) => String(number).padStart(2, "0");
  const text = `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  return precise ? `${text}.${String(when.getMilliseconds()).padStart(3, "0")}` : text;
}

export function title(key) {
  const [kind, namespace, ...name] = key.split("/");
  return { kind, namespace, name: name.join("/") };
}
