// The page of `qakit serve`: a question, one text or several, and the answer where it stands.
const D = JSON.parse(document.getElementById("data").textContent);
let shown = null; // the last reply, and the texts that it is about

function addText() {
  byId("contexts").append(el("textarea", { rows: 7, dir: "auto", placeholder: "A text that holds the answer", "aria-label": "text" }));
}

const threshold = () => (D.threshold === null ? null : Number(byId("slider").value));

// "" for no answer; the service's own threshold decides what it says, the slider what is shown.
function answerOf(reply) {
  const best = reply.candidates[0];
  if (best === undefined) return "";
  if (D.threshold === null || threshold() === D.threshold) return reply.answer;
  return reply.no_answer !== null && reply.no_answer.score - best.score > threshold() ? "" : reply.answer || best.text;
}

function show() {
  if (shown === null) return;
  const { reply, texts } = shown, answer = answerOf(reply), pick = shown.pick ?? 0;
  const rows = reply.candidates.map((each, n) => [each.probability, el("tr", { class: "pick", onclick: () => { shown.pick = n; show(); } },
    el("td", { dir: "auto" }, each.text), el("td", { class: "number" }, percent(each.probability)), el("td", { class: "number" }, each.score.toFixed(2)))]);
  if (reply.no_answer !== null) {
    rows.push([reply.no_answer.probability, el("tr", {}, el("td", {}, el("em", {}, "no answer")),
      el("td", { class: "number" }, percent(reply.no_answer.probability)), el("td", { class: "number" }, reply.no_answer.score.toFixed(2)))]);
  }
  rows.sort((a, b) => b[0] - a[0]);
  const marks = texts.map(() => []), chosen = reply.candidates[pick];
  if (chosen !== undefined && chosen.start !== null && (answer !== "" || shown.pick !== undefined)) {
    marks[chosen.context].push([chosen.start, chosen.end, "said"]);
  }
  byId("answer").replaceChildren(
    el("h2", { dir: "auto" }, answer || "no answer"),
    el("table", {}, el("tbody", {}, ...rows.map((row) => row[1]))),
    ...texts.map((text, n) => el("div", { class: "context", dir: "auto" }, marked(text, marks[n]))));
}

async function ask(event) {
  event.preventDefault();
  const texts = [...byId("contexts").children].map((each) => each.value).filter((text) => text.trim());
  const body = { question: byId("question").value, context: texts.length === 1 ? texts[0] : texts, top_k: D.top_k };
  const refuse = (why) => { shown = null; byId("answer").replaceChildren(el("p", { class: "failed" }, why)); };
  try {
    const got = await fetch("answer", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const reply = await got.json();
    if (!got.ok) return refuse(reply.detail);
    shown = { reply, texts };
    show();
  } catch (error) {
    refuse("The service does not answer: is it still running?");
  }
}

addText();
byId("more").addEventListener("click", addText);
byId("ask").addEventListener("submit", ask);
if (D.threshold !== null) {
  const value = el("output", { for: "slider" });
  const slider = el("input", { type: "range", id: "slider", min: D.threshold - 10, max: D.threshold + 10, step: "any", value: D.threshold, "aria-label": "no-answer threshold" });
  const told = () => { value.textContent = `no-answer threshold ${threshold().toFixed(2)}`; show(); };
  slider.addEventListener("input", told);
  slider.addEventListener("dblclick", () => { slider.value = D.threshold; told(); });
  byId("threshold").append(el("div", { class: "bar" }, slider, value));
  D.threshold = threshold(); // as the slider rounds it
  told();
}
