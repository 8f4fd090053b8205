"use strict";
const CHAIN = [["intended", "Queued"], ["uplink_started", "Sent"], ["delivered", "Delivered"], ["started", "Prefill"], ["first_token", "Decode"], ["downlink_started", "Down"], ["answered", "Answered"]];
const PHASES = [["ground_queue", "queue"], ["uplink_wait", "queue half"], ["uplink", "link"], ["onboard_queue", "queue"], ["tools", "node third"], ["prefill", "node half"], ["decode", "node"], ["downlink_wait", "queue half"], ["downlink", "link half"], ["unattributed", "other"]];
const LEVELS = ["info", "warning", "error"];
const KINDS = ["asked", "stage", "text", "settled", "carrier", "health", "late", "rejected", "upload"];
const COMING = ["offered", "taking", "paused", "trying", "trial"];
const FOREVER_S = 3e8, PAST_S = 600, SHOWN_ANSWERS = 20, SHOWN_OPEN = 50, KEPT_EVENTS = 200;
const $ = (id) => document.getElementById(id);
const state = { open: new Map(), answers: [], clock: null, at: 0, contacts: [], carriers: [], budget: 120, pass: null, loops: null, link: null, node: null, upload: null, older: true, number: 0, nodes: new Map() };

// -- words -----------------------------------------------------------------------------------------

function make(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
function spoken(s) {
  if (s === null || s === undefined) return "–";
  if (s < 1) return Math.round(s * 1000) + " ms";
  if (s < 60) return s.toFixed(s < 10 ? 2 : 1) + " s";
  const m = Math.floor(s / 60);
  if (m < 60) return m + " min " + Math.floor(s % 60) + " s";
  const h = Math.floor(m / 60);
  return h < 48 ? h + " h " + (m % 60) + " min" : Math.round(h / 24) + " days";
}
function rate(bps) { return bps >= 1e6 ? +(bps / 1e6).toPrecision(3) + " M" : bps >= 1e3 ? +(bps / 1e3).toPrecision(3) + " k" : bps + " "; }
function question(one, kind) {
  const lines = one.text.trimEnd().split("\n"), last = lines[lines.length - 1];
  if (lines.length === 1) return make("span", last, kind);
  const whole = make("details", undefined, kind);
  whole.append(make("summary", last), make("span", one.text));
  return whole;
}
function now() { return state.clock === null ? null : state.clock + (performance.now() - state.at) / 1000; }
function inTime(one) { return one.outcome === "on_time" || one.outcome === "partial"; }

// -- drawing: what has changed, once a frame -------------------------------------------------------

const dirty = new Set();
function redraw(...what) {
  if (!dirty.size) requestAnimationFrame(() => {
    const todo = [...dirty];
    dirty.clear();
    for (const draw of todo) draw();
  });
  for (const draw of what) dirty.add(draw);
}
function svg(box) {
  box.replaceChildren();
  return (tag, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) { made.textContent = text; }
    box.append(made);
    return made;
  };
}
function titled(element, words) {
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = words;
  element.append(title);
}

function contactNow(at) { return state.contacts.find(([start, end]) => start <= at && at < end); }
function contactNext(at) { return state.contacts.find(([start]) => start > at); }

function drawPass() {
  const at = now();
  if (at === null) return;
  const within = contactNow(at), next = contactNext(at), forever = within && within[1] - at > FOREVER_S;
  $("passname").textContent = within ? (forever ? "contact" : "LOS in") : "AOS in";
  $("pass").textContent = forever ? "always" : within ? spoken(within[1] - at) : next ? spoken(next[0] - at) : "no more";
  const place = satellite(at);
  $("elevation").textContent = place ? place.elevation.toFixed(1) + "°" : "–";
  $("range").textContent = place ? Math.round(place.range) + " km" : "–";
  for (const [key, one] of state.open) {
    const left = document.getElementById("left-" + key);
    if (left) left.textContent = one.expected_at_s ? "expected in " + spoken(Math.max(0, one.expected_at_s - at)) : "no contact left for it";
  }
}
function drawLink() {
  const link = state.link, up = link && link.tx_up && link.rx_up;
  $("link").textContent = !link ? "no link yet" : up ? "carrier up, " + Math.round(link.one_way_ms) + " ms one way" : link.tx_up ? "uplink only" : link.rx_up ? "downlink only" : "no carrier";
  $("link").className = up ? "good" : "wait";
  $("rates").textContent = link ? rate(link.tx_rate_bps) + ", " + rate(link.rx_rate_bps) + "bit/s" : "–";
  $("node").textContent = state.node ? state.node.model + " " + state.node.quantization : "";
}
function satellite(at) {
  const track = state.pass && state.pass.track;
  if (!track || at < track[0][0] || at > track[track.length - 1][0]) return null;
  const after = Math.max(1, track.findIndex(([s]) => s >= at)), a = track[after - 1], b = track[after];
  const share = (at - a[0]) / (b[0] - a[0]), turn = ((b[1] - a[1] + 540) % 360) - 180;
  return { azimuth: a[1] + share * turn, elevation: a[2] + share * (b[2] - a[2]), range: a[3] + share * (b[3] - a[3]) };
}
function polar(azimuth, elevation) {
  const far = (90 - Math.max(0, elevation)) / 90 * 100, angle = azimuth * Math.PI / 180;
  return [far * Math.sin(angle), -far * Math.cos(angle)];
}
function drawSky() {
  const pass = state.pass, at = now();
  $("skies").hidden = !pass;
  if (!pass || at === null) return;
  $("skyname").textContent = pass.satellite + " over " + pass.station + ", up to " + pass.max_elevation_deg.toFixed(0) + "°";
  const put = svg($("sky")), points = pass.track.map(([, azimuth, elevation]) => polar(azimuth, elevation));
  for (const elevation of [0, 30, 60]) put("circle", { cx: 0, cy: 0, r: (90 - elevation) / 90 * 100, class: "grid" });
  put("circle", { cx: 0, cy: 0, r: (90 - pass.min_elevation_deg) / 90 * 100, class: "grid", "stroke-dasharray": "3 3" });
  put("path", { d: "M-100 0H100M0 -100V100", class: "grid" });
  for (const [words, x, y] of [["N", 0, -105], ["E", 108, 3], ["S", 0, 113], ["W", -108, 3]]) put("text", { x, y, "text-anchor": "middle" }, words);
  for (const elevation of [30, 60]) put("text", { x: 2, y: -(90 - elevation) / 90 * 100 + 9 }, elevation + "°");
  put("polyline", { points: points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" "), class: "track" });
  put("text", { x: points[0][0], y: points[0][1] + 11, "text-anchor": "middle" }, "AOS");
  put("text", { x: points[points.length - 1][0], y: points[points.length - 1][1] + 11, "text-anchor": "middle" }, "LOS");
  const place = satellite(at);
  if (place) {
    const [x, y] = polar(place.azimuth, place.elevation);
    put("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 5, class: "sat", id: "satellite" });
  }
}
function drawCurve() {
  const pass = state.pass, at = now();
  if (!pass || at === null) return;
  const put = svg($("curve")), start = pass.aos_s, end = pass.los_s, top = Math.max(30, Math.ceil(pass.max_elevation_deg / 30) * 30);
  const x = (s) => 40 + (s - start) / (end - start) * 590, y = (deg) => 195 - deg / top * 180;
  for (let deg = 0; deg <= top; deg += 30) {
    put("path", { d: `M40 ${y(deg)}H630`, class: "grid" });
    put("text", { x: 34, y: y(deg) + 4, "text-anchor": "end" }, deg + "°");
  }
  put("path", { d: `M40 ${y(pass.min_elevation_deg)}H630`, class: "grid", "stroke-dasharray": "3 3" });
  const step = [10, 30, 60, 120, 300, 600, 1800, 7200, 43200].find((s) => (end - start) / s <= 9) || 86400;
  for (let s = 0; s <= end - start; s += step) put("text", { x: x(start + s), y: 212, "text-anchor": "middle" }, s ? "+" + spoken(s).replace(/\.0+ s/, " s").replace(" 0 s", "") : "AOS");
  put("polyline", { points: pass.track.map(([s, , deg]) => x(s).toFixed(1) + "," + y(deg).toFixed(1)).join(" "), class: "track" });
  if (at >= start && at <= end) put("path", { d: `M${x(at).toFixed(1)} 10V195`, class: "nowline", id: "nowline" });
  else put("text", { x: 335, y: 20, "text-anchor": "middle" }, at < start ? "the next pass" : "over");
}
function drawTimeline() {
  const at = now();
  if (at === null) return;
  const put = svg($("timeline")), next = contactNow(at) || contactNext(at);
  const ahead = next && next[1] - at < FOREVER_S ? Math.min(Math.max(next[1] - at + 60, 300), 7200) : 300;
  const begin = at - PAST_S, end = at + ahead, x = (s) => 78 + Math.min(Math.max((s - begin) / (end - begin), 0), 1) * 876;
  const rows = ["contact", "outage", "up", "on board", "down"];
  rows.forEach((words, row) => put("text", { x: 72, y: 15 + row * 20, "text-anchor": "end" }, words));
  const bar = (row, from, to, kind, words) => {
    if (to < begin || from > end) return;
    const made = put("rect", { x: x(from).toFixed(1), y: 5 + row * 20, width: Math.max(x(to) - x(from), 1.5).toFixed(1), height: 13, class: kind });
    if (words) titled(made, words);
  };
  for (const [from, to] of state.contacts) bar(0, from, to, "band", "contact of " + spoken(to - from > FOREVER_S ? null : to - from));
  state.carriers.forEach(([from, tx, rx], index) => {
    const to = index + 1 < state.carriers.length ? state.carriers[index + 1][0] : at;
    if (!(tx && rx)) for (const [start, stop] of state.contacts) if (Math.max(from, start) < Math.min(to, stop)) bar(1, Math.max(from, start), Math.min(to, stop), "outage", "no carrier in contact");
  });
  const recent = [...state.answers.filter((one) => (one.settled_s || 0) > begin), ...state.open.values()];
  for (const one of recent.slice(0, 400)) {
    const t = one.stages_s || {}, words = "#" + one.index + " ";
    if (t.uplink_started !== undefined) bar(2, t.uplink_started, t.delivered === undefined ? Math.min(at, t.uplink_started + 1) : t.delivered, "up", words + "up");
    if (t.started !== undefined && t.finished !== undefined) bar(3, t.started, t.finished, "work", words + "on board " + spoken(t.finished - t.started));
    if (t.downlink_started !== undefined && t.answered !== undefined) bar(4, t.downlink_started, t.answered, "down", words + "down");
  }
  put("path", { d: `M${x(at).toFixed(1)} 2V106`, class: "nowline" });
  put("text", { x: x(at).toFixed(1), y: 121, "text-anchor": "middle" }, "now");
  put("text", { x: 78, y: 121 }, "−10 min");
  put("text", { x: 954, y: 121, "text-anchor": "end" }, "+" + spoken(ahead));
}
function chainOf(one) {
  const chain = make("div", undefined, "chain"), times = one.stages_s || {}, since = times.intended;
  const reached = CHAIN.reduce((last, [name], index) => times[name] === undefined ? last : index, 0);
  CHAIN.forEach(([name, words], index) => {
    const known = times[name] !== undefined, coming = !known && name === "downlink_started" && one.answer;
    const step = make("span", words + (known && index ? " +" + spoken(times[name] - since) : coming ? " …" : ""), known || index < reached || coming ? "done" : "");
    if (!known && index === reached + 1 && one.outcome === undefined) step.classList.add("now");
    chain.append(step);
  });
  return chain;
}
function openItem(key, one) {
  const item = make("li"), row = make("div", undefined, "row"), left = make("span", "", "dim side"), cancel = make("button", "Cancel", "small");
  item.id = "open-" + key;
  left.id = "left-" + key;
  cancel.setAttribute("aria-label", "Cancel: " + one.text);
  cancel.onclick = () => fetch("/api/questions/" + key, { method: "DELETE" });
  row.append(question(one, "text"), left, cancel);
  const answer = make("div", one.answer || "", "text");
  answer.id = "text-" + key;
  item.append(row, chainOf(one), answer);
  return item;
}
function drawOpen() {
  $("opencount").textContent = state.open.size;
  $("none").hidden = state.open.size > 0;
  $("open").replaceChildren(...[...state.open].slice(0, SHOWN_OPEN).map(([key, one]) => openItem(key, one)));
  drawPass();
}
function waterfall(one) {
  const fall = make("div", undefined, "fall"), spent = PHASES.filter(([name]) => (one.phases_s || {})[name] > 0);
  const whole = spent.reduce((sum, [name]) => sum + one.phases_s[name], 0), words = [];
  for (const [name, kind] of spent) {
    const piece = make("i", undefined, kind), said = name.replace("_", " ") + " " + spoken(one.phases_s[name]);
    piece.style.width = (one.phases_s[name] / whole * 100).toFixed(2) + "%";
    piece.title = said;
    words.push([one.phases_s[name], said]);
    fall.append(piece);
  }
  fall.setAttribute("role", "img");
  fall.setAttribute("aria-label", words.map(([, said]) => said).join(", "));
  words.sort((a, b) => b[0] - a[0]);
  return [fall, make("div", words.slice(0, 4).map(([, said]) => said).join(" · ") + (one.split === "estimate" ? " (split estimated)" : ""), "dim")];
}
function answerItem(one) {
  const known = state.nodes.get(one.id);
  if (known) return known;
  const item = make("li"), row = make("div", undefined, "row");
  row.append(question(one, "text dim"), make("span", one.outcome.replace("_", " ") + (one.loop_s === null || one.answer === null ? "" : " · " + spoken(one.loop_s)), "side " + (inTime(one) ? "good" : "bad")));
  item.append(row, make("div", one.answer === null ? one.reason : one.answer, "text"));
  if (one.answer !== null && one.loop_s) item.append(...waterfall(one));
  state.nodes.set(one.id, item);
  return item;
}
function drawAnswers() {
  const shown = state.answers.map(answerItem), list = $("answers");
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach((item, index) => { if (list.children[index] !== item) list.insertBefore(item, list.children[index] || null); });
  while (list.children.length > shown.length) list.lastChild.remove();
  $("older").hidden = !state.older || !state.answers.length;
}
function drawLoops() {
  const loops = state.loops;
  if (!loops) return;
  for (const name of ["p50", "p90", "p99"]) $(name).textContent = spoken(loops[name + "_s"]);
  const all = Object.values(loops.outcomes).reduce((sum, n) => sum + n, 0);
  $("intime").textContent = all ? loops.outcomes.on_time + loops.outcomes.partial + " of " + all : "–";
  const put = svg($("histogram")), bars = Object.entries(loops.bars).map(([number, n]) => [+number / loops.per_decade, n]);
  const low = Math.min(-2, ...bars.map(([at]) => Math.floor(at))), high = Math.max(3, ...bars.map(([at]) => Math.ceil(at + .1)));
  const x = (power) => 14 + (power - low) / (high - low) * 612, top = Math.max(1, ...bars.map(([, n]) => n));
  for (const [at, n] of bars) {
    const tall = n / top * 115, late = 10 ** at >= state.budget;
    titled(put("rect", { x: x(at), y: 140 - tall, width: Math.max(x(1 / loops.per_decade) - x(0) - 1, 1), height: tall, class: late ? "bar late" : "bar" }), n + " from " + spoken(10 ** at) + (late ? ", late" : ""));
  }
  put("path", { d: "M14 140H626", class: "axis" });
  for (let power = low; power <= high; power++) put("text", { x: x(power), y: 156, "text-anchor": power === low ? "start" : power === high ? "end" : "middle" }, power < 0 ? 10 ** (power + 3) + " ms" : (10 ** power).toLocaleString("en") + " s");
  const budget = Math.log10(state.budget);
  put("path", { d: `M${x(budget)} 5V140`, class: "budget" });
  put("text", { x: x(budget) - 5, y: 14, "text-anchor": "end" }, "budget " + state.budget + " s");
}
function drawVitals() {
  const node = state.node, list = [];
  const say = (name, words) => { if (words !== null && words !== undefined) list.push(make("dt", name), make("dd", words)); };
  const with_unit = (value, digits, unit) => value === null || value === undefined ? null : value.toFixed(digits) + unit;
  if (!node) say("state", "not heard yet");
  else {
    say("model", node.model + " " + node.quantization);
    say("charge", node.charge === null ? null : Math.round(node.charge * 100) + " %");
    say("temperature", with_unit(node.temperature_c, 1, " °C"));
    say("power", with_unit(node.power_w, 1, " W"));
    say("memory", node.rss_bytes === null ? null : Math.round(node.rss_bytes / 1e6) + " MB");
    say("threads", node.threads);
    say("context", node.context + " tokens");
    say("throttled", with_unit(node.throttled_s, 1, " s"));
    say("engine restarts", node.engine_restarts);
  }
  const upload = state.upload;
  if (upload && upload.state !== "none") say("upload", upload.name + ": " + upload.state.replace("_", " ") + ", " + (100 * upload.share).toFixed(1) + " % on board, " + upload.passes + (upload.passes === 1 ? " pass" : " passes"));
  $("vitals").replaceChildren(...list);
}

// -- events ----------------------------------------------------------------------------------------

function log(event) {
  const at = now(), list = $("events"), words = { ...event };
  for (const known of ["event", "number", "level", "phases_s", "stages_s", "text", "answer", "split", "priority", "index", "settled_s"]) delete words[known];
  const said = Object.entries(words).filter(([, v]) => v !== null && v !== "" && v !== undefined).map(([k, v]) => k + "=" + (typeof v === "number" ? +v.toPrecision(6) : v)).join(" ");
  const level = LEVELS.indexOf(event.level), item = make("li", (at === null ? "" : at.toFixed(1) + " s  ") + (level > 0 ? event.level + "  " : "") + event.event + "  " + said.slice(0, 200), level === 2 ? "bad" : level === 1 ? "wait" : "");
  item.dataset.level = level;
  item.hidden = level < +$("level").value;
  list.prepend(item);
  while (list.children.length > KEPT_EVENTS) list.lastChild.remove();
}
function take(event) {
  if (event.number <= state.number) return;  // it is in what was loaded
  const known = state.open.get(event.id);
  if (event.event === "text") {
    if (!known) return;
    known.answer = (known.answer || "") + event.text;
    const shown = document.getElementById("text-" + event.id);
    if (shown) shown.textContent = known.answer;
    return;
  }
  log(event);
  if (event.event === "asked") state.open.set(event.id, event);
  else if (event.event === "stage" && known) Object.assign(known, event);
  else if (event.event === "settled") {
    state.open.delete(event.id);
    if (!state.answers.some((one) => one.id === event.id)) state.answers = [event, ...state.answers];
    $("heard").textContent = event.answer === null ? event.outcome + ": " + event.reason : "answer: " + event.answer;
    redraw(drawAnswers, drawTimeline);
    refreshSoon();
  } else if (event.event === "carrier") {
    state.carriers = [...state.carriers, [event.at_s, event.tx_up, event.rx_up]].slice(-256);
    refreshSoon();
  } else if (event.event === "upload") refreshSoon();
  else if (event.event === "health") { state.node = { ...event }; redraw(drawVitals, drawLink); return; }
  redraw(drawOpen);
}
let soon = null;
function refreshSoon() { soon = soon || setTimeout(() => { soon = null; refresh().catch(() => {}); }, 100); }
async function refresh() {
  const found = await (await fetch("/api/status")).json();
  Object.assign(state, { clock: found.clock_s, at: performance.now(), contacts: found.contacts, carriers: found.carriers, budget: found.budget_s, pass: found.pass, loops: found.loops, link: found.link, node: found.node, upload: found.upload });
  redraw(drawLink, drawPass, drawSky, drawCurve, drawTimeline, drawLoops, drawVitals);
  return found;
}
async function begin() {
  const found = await refresh();
  state.number = found.number;
  state.open = new Map(found.open.map((one) => [one.id, one]));
  state.answers = await (await fetch("/api/questions?count=" + SHOWN_ANSWERS)).json();
  state.older = state.answers.length === SHOWN_ANSWERS;
  redraw(drawOpen, drawAnswers, drawTimeline);
}
function listen() {
  const source = new EventSource("/api/events");
  for (const kind of KINDS) source.addEventListener(kind, (message) => take(JSON.parse(message.data)));
  source.onopen = () => begin().catch(() => {});
  source.onerror = () => {
    $("link").textContent = "the station does not answer; trying again";
    $("link").className = "bad";
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
}

// -- what people do --------------------------------------------------------------------------------

$("ask").onsubmit = async (submitted) => {
  submitted.preventDefault();
  const text = $("question").value.trim();
  if (!text) return;
  try {
    const answer = await fetch("/api/questions", { method: "POST", body: JSON.stringify({ text }), headers: { "content-type": "application/json" } });
    const found = await answer.json();
    $("said").textContent = answer.ok ? "" : found.error;
    $("said").className = "bad";
    if (answer.ok) $("question").value = "";
  } catch {
    $("said").textContent = "the station does not answer";
    $("said").className = "bad";
  }
};
$("search").onsubmit = async (submitted) => {
  submitted.preventDefault();
  const answer = await fetch("/api/history?count=20&query=" + encodeURIComponent($("query").value)), found = await answer.json();
  const none = make("li", answer.ok ? "nothing found" : found.error, "dim");
  $("found").replaceChildren(...(answer.ok && found.length ? found.map((one) => {
    const item = make("li"), row = make("div", undefined, "row");
    row.append(question(one, "text dim"), make("span", (one.unix_s ? new Date(one.unix_s * 1000).toISOString().slice(0, 16).replace("T", " ") + " · " : "") + one.outcome.replace("_", " "), "side dim"));
    item.append(row, make("div", one.answer === null ? one.reason : one.answer, "text"));
    return item;
  }) : [none]));
};
$("older").onclick = async () => {
  const last = state.answers[state.answers.length - 1];
  const more = await (await fetch("/api/questions?count=" + SHOWN_ANSWERS + "&before=" + last.id)).json();
  state.answers = [...state.answers, ...more];
  state.older = more.length === SHOWN_ANSWERS;
  redraw(drawAnswers);
};
$("level").onchange = () => { for (const item of $("events").children) item.hidden = +item.dataset.level < +$("level").value; };
$("question").addEventListener("keydown", (key) => { if (key.key === "Enter" && (key.ctrlKey || key.metaKey)) $("ask").requestSubmit(); });
document.addEventListener("keydown", (key) => {
  if (key.key !== "/" || /^(input|textarea|select)$/i.test(document.activeElement.tagName)) return;
  key.preventDefault();
  $("question").focus();
});
for (const [name, kind] of PHASES.slice(0, -1)) {
  const piece = make("span"), colour = make("i", undefined, kind);
  piece.append(colour, name.replace("_", " "));
  $("legend").append(piece);
}
setInterval(() => redraw(drawPass), 500);
setInterval(() => { if (state.upload && COMING.includes(state.upload.state)) refreshSoon(); }, 3000);
setInterval(() => redraw(drawSky, drawCurve, drawTimeline), matchMedia("(prefers-reduced-motion: reduce)").matches ? 5000 : 1000);
listen();
