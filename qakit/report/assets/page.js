// What the scripts of all pages share. Texts reach a page as text alone, never as HTML.
"use strict";

function el(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const byId = (id) => document.getElementById(id);
const percent = (value) => (value === null ? "-" : (100 * value).toFixed(1) + "%");

// ------------------------------------------------------------------------------------------------ texts and marks
// Offsets count characters; JavaScript's strings count UTF-16 units.
function characters(text) {
  return /[\ud800-\udfff]/.test(text) ? Array.from(text) : text;
}

function cut(text, begin, end) {
  const part = text.slice(begin, end);
  return typeof part === "string" ? part : part.join("");
}

// spans: [begin, end, class]; where several overlap, a piece has all their classes.
function marked(text, spans) {
  const letters = characters(text);
  const edges = new Set([0, letters.length]);
  for (const [begin, end] of spans) edges.add(begin).add(end);
  const order = [...edges].sort((a, b) => a - b);
  const pieces = document.createDocumentFragment();
  for (let k = 0; k + 1 < order.length; k++) {
    const classes = spans.filter(([begin, end]) => begin <= order[k] && order[k + 1] <= end).map((span) => span[2]);
    const part = cut(letters, order[k], order[k + 1]);
    pieces.append(classes.length ? el("mark", { class: [...new Set(classes)].join(" ") }, part) : part);
  }
  return pieces;
}
