// The page of `qakit view`: charts, the threshold, and every question. Texts reach the page as text alone, never as HTML.
const D = JSON.parse(document.getElementById("data").textContent);
const PLACES = D.kind === "spans" || D.kind === "sets"; // answers are pieces of the contexts
const ROW = 58; // pixels, as in view.css
const state = { shown: [], at: -1, threshold: D.runs[0].threshold, pick: null };

const figure = (value) => (value === null || value === undefined ? "-" : value.toFixed(1));

// -------------------------------------------------------------------------------------------------------- charts
const COLOURS = ["#4493f8", "#d97706", "#3fb950", "#a371f7", "#f85149", "#2aa198"];
const WIDTH = 360, HEIGHT = 210, LEFT = 44, BOTTOM = 34, TOP = 8, RIGHT = 10;

function chart(title, lines, { x = "", low = null, high = null, dots = false, diagonal = false } = {}) {
  const points = lines.flatMap((line) => line.points);
  if (!points.length) return null;
  const ends = (place) => {
    const values = points.map((point) => point[place]);
    return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  };
  let [x0, x1] = ends(0), [y0, y1] = ends(1);
  if (low !== null) [x0, x1, y0, y1] = [low, high, low, high];
  if (x1 === x0) x1 = x0 + 1;
  if (y1 === y0) [y0, y1] = [y0 - 0.5, y1 + 0.5];
  const px = (value) => LEFT + ((value - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const py = (value) => HEIGHT - BOTTOM - ((value - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);
  const short = (value, span) => (span >= 20 ? value.toFixed(0) : span >= 2 ? value.toFixed(1) : value.toFixed(2));
  const drawn = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (let k = 0; k <= 4; k++) {
    const y = y0 + (k * (y1 - y0)) / 4, at = x0 + (k * (x1 - x0)) / 4;
    drawn.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: py(y), y2: py(y) }));
    drawn.append(svg("text", { x: LEFT - 6, y: py(y) + 4, "text-anchor": "end" }, short(y, y1 - y0)));
    const anchor = k === 4 ? "end" : k ? "middle" : "start";
    drawn.append(svg("text", { x: px(at), y: HEIGHT - BOTTOM + 15, "text-anchor": anchor }, short(at, x1 - x0)));
  }
  drawn.append(svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, x));
  if (diagonal) drawn.append(svg("line", { class: "grid", x1: px(low), y1: py(low), x2: px(high), y2: py(high) }));
  lines.forEach((line, number) => {
    const colour = COLOURS[number % COLOURS.length];
    const path = line.points.map((point, k) => (k ? "L" : "M") + px(point[0]) + " " + py(point[1])).join("");
    drawn.append(svg("path", { class: "line", d: path, stroke: colour }));
    if (dots || line.points.length < 30) {
      for (const point of line.points) {
        const dot = svg("circle", { cx: px(point[0]), cy: py(point[1]), r: 3, fill: colour });
        dot.append(svg("title", {}, `${line.name}: ${point[1].toFixed(3)} at ${point[0]}${point[2] ? `, ${point[2]} questions` : ""}`));
        drawn.append(dot);
      }
    }
  });
  const names = lines.map((line, number) => {
    const swatch = el("span", { class: "share" });
    swatch.style.width = ".8rem";
    swatch.style.background = COLOURS[number % COLOURS.length];
    return el("span", {}, swatch, " " + line.name + "  ");
  });
  return el("figure", {}, drawn, el("figcaption", {}, title + (lines.length > 1 ? ": " : ""), ...(lines.length > 1 ? names : [])));
}

function charts() {
  const place = byId("charts"), several = D.runs.length > 1;
  const of = (points) => D.runs.map((run) => ({ name: run.name, points: points(run) })).filter((line) => line.points.length);
  const losses = D.runs.flatMap((run) => [
    { name: several ? `${run.name}, training` : "training", points: run.log.loss },
    { name: several ? `${run.name}, validation` : "validation", points: run.log.validation },
  ]).filter((line) => line.points.length);
  const found = [chart("Loss", losses, { x: "optimiser step" })];
  const keys = [...new Set(D.runs.flatMap((run) => Object.keys(run.log.figures)))];
  if (several) {
    for (const key of keys) found.push(chart(`Validation: ${key}`, of((run) => run.log.figures[key] || []), { x: "optimiser step" }));
  } else {
    const lines = keys.map((key) => ({ name: key, points: D.runs[0].log.figures[key] }));
    found.push(chart(lines.length > 1 ? "Validation" : `Validation: ${keys[0]}`, lines, { x: "optimiser step" }));
  }
  const shares = of((run) => run.calibration.map(([confidence, right, count]) => [confidence, right, count]));
  found.push(chart("How often answers of a confidence are right", shares, { x: "confidence", low: 0, high: 1, dots: true, diagonal: true }));
  place.append(...found.filter((each) => each !== null));
  if (!place.children.length) byId("charts-section").remove();
}

// ------------------------------------------------------------------------------------------ the no-answer threshold
// Of the first run: a question is answered unless its null score beats the best span's by more than the threshold.
const answeredAt = (answer) => !(answer.d === null ? !answer.n.length : answer.d > state.threshold);

function figuresOf(answer, run) {
  if (run !== 0 || state.threshold === null || !answer.t) return answer.f;
  return answer.t[answeredAt(answer) ? 0 : 1];
}

// The final answer, "" for none; at another threshold than the run's, the best candidate before clean-up.
function saidBy(answer, run, question) {
  if (run !== 0 || state.threshold === D.runs[0].threshold || !answer.t) return answer.a;
  return answeredAt(answer) ? answer.a || textOf(question, answer.n[0]) : "";
}

// Paragraphs are counted from 1 wherever they are named.
const worded = (said) => (said === "" ? "no answer" : D.kind === "contexts" ? `paragraph ${Number(said) + 1}` : said);

function isRight(answer, run) {
  if (run !== 0 || state.threshold === null || !answer.t || D.exact === null) return answer.r;
  return figuresOf(answer, run)[D.exact] >= 100 - 1e-9;
}

function threshold() {
  const place = byId("threshold"), answers = D.answers[0];
  const known = answers.map((answer) => answer.d).filter((value) => value !== null);
  if (state.threshold === null || !answers.some((answer) => answer.t) || !known.length) return place.remove();
  const used = state.threshold;
  const low = known.reduce((a, b) => Math.min(a, b), used) - 0.5, high = known.reduce((a, b) => Math.max(a, b), used) + 0.5;
  const slider = el("input", { type: "range", id: "slider", min: low, max: high, step: "any", value: used, "aria-label": "no-answer threshold" });
  const value = el("output", { for: "slider", class: "number" });
  const table = el("div", { class: "scroll", id: "threshold-figures" });
  const groups = [["all", () => true], ["with an answer", (k) => D.questions[k].g.length > 0], ["without an answer", (k) => D.questions[k].g.length === 0]];
  const rows = groups.map(([name, of]) => [name, answers.map((_, k) => k).filter(of)]).filter(([, own]) => own.length);
  function update() {
    state.threshold = Number(slider.value);
    value.textContent = `threshold ${state.threshold.toFixed(2)} (the run's: ${used.toFixed(2)})`;
    const body = rows.map(([name, own]) => {
      const totals = D.keys.map((_, key) => own.reduce((sum, k) => sum + (figuresOf(answers[k], 0)[key] || 0), 0) / own.length);
      const answered = own.filter((k) => answeredAt(answers[k])).length;
      const numbers = [own.length, answered, ...totals.map(figure)];
      return el("tr", {}, el("td", {}, name), ...numbers.map((cell) => el("td", { class: "number" }, String(cell))));
    });
    const head = ["questions", "number", "answered", ...D.keys].map((text, k) => el("th", { class: k ? "number" : "" }, text));
    table.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)));
    filter();
  }
  let waiting = 0;
  slider.addEventListener("input", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(update); });
  const reset = el("button", { type: "button", onclick: () => { slider.value = used; update(); } }, "the run's own");
  place.append(el("div", { class: "bar" }, slider, value, reset), table);
  update();
  return true;
}

// --------------------------------------------------------------------------------------------- confusion of classes
function confusion() {
  const place = byId("confusion");
  const tables = D.runs.filter((run) => run.confusion).map((run) => {
    const { labels, cells } = run.confusion;
    const head = el("tr", {}, el("th", {}, "right class \\ said"), ...labels.map((name) => el("th", { class: "number" }, name)));
    const body = cells.map((counts, gold) =>
      el("tr", {}, el("th", {}, labels[gold]), ...counts.map((count, said) =>
        el("td", { class: gold === said ? "diagonal" : "" }, count.toLocaleString("en")))));
    return el("div", {}, D.runs.length > 1 ? el("h3", {}, run.name) : null,
      el("div", { class: "scroll" }, el("table", { class: "cells" }, el("thead", {}, head), el("tbody", {}, ...body))));
  });
  if (tables.length) place.append(...tables);
  else place.remove();
}

// ------------------------------------------------------------------------------------------------- list of questions
let lowered = null; // the questions' and answers' texts in lower case, once somebody searches

function searchable(k) {
  if (lowered === null) lowered = new Array(D.questions.length);
  if (lowered[k] === undefined) {
    const question = D.questions[k];
    const gold = typeof question.g === "string" ? question.g : (question.g || []).map?.((each) => each[0]).join("\n") || "";
    lowered[k] = [question.i, question.q, gold, ...D.answers.map((run) => run[k].a)].join("\n").toLowerCase();
  }
  return lowered[k];
}

function outcome(k, wanted) {
  const right = D.runs.map((_, run) => isRight(D.answers[run][k], run));
  if (wanted === "") return true;
  if (wanted === "right") return right[0] === true || right[0] === 1;
  if (wanted === "wrong") return !right[0];
  if (wanted === "all right") return right.every(Boolean);
  if (wanted === "all wrong") return right.every((each) => !each);
  if (wanted === "differ") return new Set(D.answers.map((run) => run[k].a)).size > 1;
  if (wanted === "answerable") return D.questions[k].g.length > 0;
  if (wanted === "unanswerable") return D.questions[k].g.length === 0;
  if (wanted.startsWith("only ")) {
    const run = Number(wanted.slice(5));
    return right[run] && right.every((each, other) => other === run || !each);
  }
  return D.answers[0][k].c === wanted.slice("cause ".length) && !right[0];
}

function filter() {
  const query = byId("search").value.trim().toLowerCase(), wanted = byId("outcome").value, order = byId("order").value;
  const before = state.shown[state.at];
  state.shown = D.questions.map((_, k) => k).filter((k) => (!query || searchable(k).includes(query)) && outcome(k, wanted));
  const last = (value, end) => (value === null || value === undefined ? end : value);
  const sorts = {
    sure: (a, b) => last(D.answers[0][b].p, -1) - last(D.answers[0][a].p, -1),
    unsure: (a, b) => last(D.answers[0][a].p, 2) - last(D.answers[0][b].p, 2),
    worst: (a, b) => last(figuresOf(D.answers[0][a], 0)[D.primary], 0) - last(figuresOf(D.answers[0][b], 0)[D.primary], 0),
  };
  if (sorts[order]) state.shown.sort((a, b) => sorts[order](a, b) || a - b);
  byId("count").textContent = `${state.shown.length.toLocaleString("en")} of ${D.questions.length.toLocaleString("en")} questions`;
  byId("rows").style.height = `${state.shown.length * ROW}px`;
  const still = state.shown.indexOf(before);
  state.at = still >= 0 ? still : state.shown.length ? 0 : -1;
  paint();
  show(false);
}

function paint() {
  const list = byId("list"), rows = byId("rows");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
  const stop = Math.min(state.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 5);
  const made = [];
  for (let place = first; place < stop; place++) {
    const k = state.shown[place], question = D.questions[k];
    const marks = D.runs.map((_, run) => {
      const right = isRight(D.answers[run][k], run);
      return right === null ? el("span", {}, "·") : el("span", { class: right ? "right" : "wrong" }, right ? "✓" : "✗");
    });
    const answer = D.answers[0][k], said = worded(saidBy(answer, 0, question));
    const row = el("div", { class: "row", role: "option", id: `row-${place}`, "aria-selected": place === state.at, onclick: () => select(place) },
      el("div", { dir: "auto" }, question.q || question.i),
      el("div", { class: "soft" }, ...marks, el("span", { dir: "auto" }, said), el("span", {}, percent(answer.p))));
    row.style.top = `${place * ROW}px`;
    made.push(row);
  }
  rows.replaceChildren(...made);
  if (state.at >= 0) list.setAttribute("aria-activedescendant", `row-${state.at}`);
}

function select(place) {
  if (place < 0 || place >= state.shown.length) return;
  state.at = place;
  state.pick = null;
  const list = byId("list");
  if (place * ROW < list.scrollTop) list.scrollTop = place * ROW;
  if ((place + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (place + 1) * ROW - list.clientHeight;
  paint();
  show(true);
}

// ------------------------------------------------------------------------------------------------------ one question
function show(linked) {
  const place = byId("detail");
  if (state.at < 0) return place.replaceChildren(el("p", { class: "soft" }, "No question fits."));
  const k = state.shown[state.at], question = D.questions[k];
  if (linked) history.replaceState(null, "", "#" + encodeURIComponent(question.i));
  const parts = [el("h3", { dir: "auto" }, question.q || question.i), el("p", { class: "soft" }, `id ${question.i}`), ...gold(question)];
  D.runs.forEach((run, number) => parts.push(...answerOf(run, number, D.answers[number][k], question)));
  parts.push(...contexts(question, k));
  place.replaceChildren(...parts);
  place.scrollTop = 0;
  for (const box of place.querySelectorAll(".context")) {
    const first = box.querySelector("mark");
    if (first !== null) box.scrollTop = Math.max(0, first.offsetTop - 60);
  }
}

function gold(question) {
  if (question.g === null) return [];
  if (D.kind === "contexts") return [el("p", {}, "Right: paragraph " + (question.g + 1))];
  if (typeof question.g !== "object") return [el("p", {}, "Right: ", el("strong", {}, String(question.g)))];
  if (!question.g.length) return [el("p", {}, "Right: ", el("em", {}, "no answer"))];
  const texts = [...new Set(question.g.map((each) => each[0]))];
  return [el("p", { dir: "auto" }, "Right: ", ...texts.flatMap((text, n) => [n ? " · " : "", el("strong", {}, text)]))];
}

function answerOf(run, number, answer, question) {
  const right = isRight(answer, number), said = saidBy(answer, number, question);
  const figures = D.keys.map((key, n) => `${key} ${figure(figuresOf(answer, number)[n])}`);
  const verdict = right === null ? "" : right ? "right" : "wrong";
  const parts = [
    el("h3", {}, D.runs.length > 1 ? run.name + ": " : "", el("span", { dir: "auto" }, worded(said)), " ",
      el("span", { class: verdict }, verdict === "right" ? "✓" : verdict === "wrong" ? "✗" : "")),
    el("p", { class: "soft" }, [answer.p === null ? "" : `confidence ${percent(answer.p)}`, ...figures, !right && answer.c ? D.causes[answer.c] : ""]
      .filter(Boolean).join(" · ")),
  ];
  const options = candidates(run, number, answer, question);
  return options === null ? parts : [...parts, options];
}

const textOf = (question, candidate) =>
  candidate[5] !== undefined ? candidate[5] : cut(characters(D.texts[question.c[candidate[2]]]), candidate[0], candidate[1]);

function candidates(run, number, answer, question) {
  const rows = [];
  const bar = (share) => {
    const made = el("span", { class: "share" });
    made.style.width = `${(6 * share).toFixed(2)}rem`;
    return made;
  };
  const line = (name, share, score, place) =>
    el("tr", { class: place === null ? "" : "pick", onclick: place === null ? null : () => { state.pick = [number, place]; show(false); } },
      el("td", { dir: "auto" }, name), el("td", { class: "number" }, percent(share)), el("td", {}, bar(share)),
      el("td", { class: "number" }, score === null ? "" : score.toFixed(2)));
  if (PLACES) {
    answer.n.forEach((each, n) => rows.push([each[3], line(textOf(question, each), each[3], each[4], n)]));
    if (answer.o) rows.push([answer.o[0], line(el("em", {}, "no answer"), answer.o[0], answer.o[1], null)]);
  } else {
    answer.n.forEach((share, n) => rows.push([share, line(D.kind === "contexts" ? `paragraph ${n + 1}` : run.labels[n] || `class ${n}`, share, null, null)]));
  }
  if (!rows.length) return null;
  rows.sort((a, b) => b[0] - a[0]);
  return el("table", {}, el("tbody", {}, ...rows.slice(0, 12).map((row) => row[1])));
}

function contexts(question, k) {
  if (!question.c.length) return [];
  const spans = question.c.map(() => []);
  if (PLACES) {
    for (const [, begin, context, end] of question.g || []) if (begin !== null) spans[context].push([begin, end, "gold"]);
    D.runs.forEach((_, number) => {
      const answer = D.answers[number][k], all = D.kind === "sets" && state.pick === null;
      if (state.pick !== null ? state.pick[0] !== number : saidBy(answer, number, question) === "") return;
      const chosen = all ? answer.n : [answer.n[state.pick === null ? 0 : state.pick[1]]];
      for (const each of chosen) if (each && each[0] !== null) spans[each[2]].push([each[0], each[1], "said"]);
    });
  }
  const chosen = D.kind === "contexts" ? [question.g, ...D.answers.map((run) => Number(run[k].a))] : [];
  return question.c.flatMap((number, place) => {
    const box = el("div", { class: "context", dir: "auto", lang: "" }, marked(D.texts[number], spans[place]));
    const bars = windows(question, place);
    if (question.c.length === 1) return [box, bars];
    const notes = [place === question.g && "right", D.kind === "contexts" && chosen.slice(1).includes(place) && "said"].filter(Boolean);
    const open = spans[place].length > 0 || chosen.includes(place);
    return [el("details", { open: open ? "" : null }, el("summary", {}, `paragraph ${place + 1}${notes.length ? ` (${notes.join(", ")})` : ""}`), box, bars)];
  });
}

// Where a context's windows lie in it, one bar each; empty where that is not known.
function windows(question, place) {
  const length = characters(D.texts[question.c[place]]).length;
  const bars = (question.w || []).filter(([context]) => context === place).map(([, begin, end]) => {
    const bar = el("div", { title: `window: characters ${begin} to ${end} of ${length}` });
    bar.style.marginLeft = `${(100 * begin) / length}%`;
    bar.style.width = `${(100 * (end - begin)) / length}%`;
    return bar;
  });
  return el("div", { class: "windows" }, ...bars);
}

// ------------------------------------------------------------------------------------------------------------- begin
function begin() {
  charts();
  confusion();
  if (!PLACES) byId("marks").remove();
  const outcomes = byId("outcome");
  const add = (value, name) => outcomes.append(el("option", { value }, name));
  add("", "all questions");
  if (D.answers[0].some((answer) => answer.r !== null)) {
    add("right", D.runs.length > 1 ? `${D.runs[0].name}: right` : "right");
    add("wrong", D.runs.length > 1 ? `${D.runs[0].name}: wrong` : "wrong");
    if (D.runs.length > 1) {
      D.runs.forEach((run, number) => add(`only ${number}`, `only ${run.name} right`));
      add("all right", "all right");
      add("all wrong", "all wrong");
    }
    const counts = {};
    for (const answer of D.answers[0]) if (answer.c) counts[answer.c] = (counts[answer.c] || 0) + 1;
    for (const cause of Object.keys(D.causes)) if (counts[cause]) add(`cause ${cause}`, `${cause} (${counts[cause].toLocaleString("en")})`);
  }
  if (D.runs.length > 1) add("differ", "different answers");
  if (PLACES && D.questions.some((each) => each.g && !each.g.length) && D.questions.some((each) => each.g && each.g.length)) {
    add("answerable", "with an answer");
    add("unanswerable", "without an answer");
  }
  for (const id of ["outcome", "order"]) byId(id).addEventListener("change", () => { byId("list").scrollTop = 0; filter(); });
  let typing = 0;
  byId("search").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { byId("list").scrollTop = 0; filter(); }, 120); });
  byId("list").addEventListener("scroll", () => requestAnimationFrame(paint));
  window.addEventListener("resize", paint);
  document.addEventListener("keydown", (event) => {
    const typed = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && typed) return event.target.blur();
    if (typed || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
    if (event.key === "/") { event.preventDefault(); byId("search").focus(); }
    else if (event.key in steps && state.shown.length) { event.preventDefault(); select(state.at + steps[event.key]); }
  });
  if (!threshold()) filter();
  const linked = D.questions.findIndex((each) => "#" + encodeURIComponent(each.i) === location.hash);
  if (linked >= 0) select(state.shown.indexOf(linked));
}

begin();
