// The local page: asks this address for figures once a second and draws them. No framework, no other address.
"use strict";

const SECOND_MS = 1000, KEEP = 600;
const byId = (id) => document.getElementById(id);

// ---- numbers and times --------------------------------------------------------------------------------------------
const short = (x) => {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (size >= unit) return +(x / (letter === "k" ? 1e3 : unit)).toFixed(1) + letter;
  }
  return String(size >= 100 ? Math.round(x) : +x.toPrecision(3));
};
const nats = (x) => (x === null || x === undefined ? "–" : x.toFixed(3));
const bytes = (x) => (x >= 2 ** 30 ? [(x / 2 ** 30).toFixed(2), "GiB"] : [(x / 2 ** 20).toFixed(1), "MiB"]);
const span = (ms) => {
  for (const [unit, name] of [[864e5, "d"], [36e5, "h"], [6e4, "min"], [1e3, "s"]]) {
    if (Math.abs(ms) >= unit) return +(ms / unit).toPrecision(3) + " " + name;
  }
  return +ms.toPrecision(3) + " ms";
};
const iso = (ms) => new Date(ms).toISOString();
const clock = (ms) => iso(ms).slice(11, 19);
const moment = (ms) => iso(ms).slice(0, 10) + " " + clock(ms);

// ---- elements -----------------------------------------------------------------------------------------------------
function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "g", "path", "line", "circle", "rect", "text", "title"].includes(tag);
  const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}
// A head that ends in # stands over numbers.
function table(heads, rows) {
  const cell = (tag) => (what, at) => make(tag, heads[at].endsWith("#") ? { class: "number" } : {}, typeof what === "number" ? short(what) : what);
  const row = (tag) => (cells) => make("tr", {}, ...cells.map(cell(tag)));
  return make("table", {}, make("thead", {}, row("th")(heads.map((head) => head.replace("#", "")))), make("tbody", {}, ...rows.map(row("td"))));
}

// ---- scales -------------------------------------------------------------------------------------------------------
function ticks(low, high, about) {
  const rough = (high - low) / about || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= rough * 0.999);
  return multiples(step, low, high);
}
const STEPS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 7776000];
const timeStep = (low, high, about) => 1000 * (STEPS_S.find((s) => s * 1000 >= (high - low) / about) || 31536000);
const multiples = (step, low, high) => Array.from({ length: Math.max(Math.floor(high / step) - Math.ceil(low / step) + 1, 0) }, (_, n) => (Math.ceil(low / step) + n) * step);
function timeTicks(low, high, about) {
  const step = timeStep(low, high, about);
  return multiples(step, low, high).map((x) => [x, step >= 864e5 ? iso(x).slice(0, 10) : step >= 6e4 ? iso(x).slice(11, 16) : clock(x)]);
}
const AXES = {
  clock: timeTicks,
  count: (low, high, about) => ticks(low, high, about).map((x) => [x, short(x)]),
  span: (low, high, about) => (high - low < 2000 ? ticks(low, high, about) : multiples(timeStep(low, high, about), low, high))
    .map((x) => [x, x === 0 ? "0" : span(x)]),
};

// ---- charts -------------------------------------------------------------------------------------------------------
const hovered = new Map();

// The frame that every chart has: title, unit, and a sentence where there is nothing to draw.
function frame(id, { title, unit, empty, note }) {
  const figure = byId(id);
  figure.replaceChildren(make("figcaption", {}, make("h3", {}, title), make("small", {}, unit)));
  figure.dataset.empty = empty ? "true" : "false";
  if (empty) figure.append(make("p", { class: "empty" }, empty));
  const width = Math.max(figure.clientWidth - 34, 200), height = figure.classList.contains("wide") ? 220 : 176;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}, ${unit}` });
  const end = (...after) => { if (!empty) figure.append(svg, ...after, ...(note ? [make("p", { class: "note" }, note)] : [])); };
  return { svg, width, height, end };
}
const legend = (entries) => make("ul", { class: "legend" }, ...entries.map(({ name, color, kind, value }) =>
  make("li", {}, make("i", { class: `${color} ${kind || ""}` }), name, value === undefined ? null : " ",
    value === undefined ? null : make("b", {}, value))));

// spec: title, unit, x, axis (clock, span or count), series [{name, color, dashed, y}], show (a value as text), fromZero, marks, empty, note
function lines(id, spec) {
  const all = spec.series.flatMap((one) => one.y.filter((y) => y !== null && y !== undefined));
  const empty = spec.x.length < 1 || all.length === 0 ? spec.empty : null;
  const { svg, width, height, end } = frame(id, { ...spec, empty });
  if (empty) return end();
  const left = 48, right = width - 8, top = 10, bottom = height - 22;
  const [x0, x1] = [spec.x[0], Math.max(spec.x.at(-1), spec.x[0] + (spec.least || 1))];
  let [low, high] = [Math.min(...all), Math.max(...all)];
  if (spec.fromZero) [low, high] = [0, Math.max(high, spec.leastHigh || 1e-9)];
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  if (!spec.fromZero) low -= pad;
  high += pad;
  const px = (x) => left + (x - x0) / (x1 - x0) * (right - left), py = (y) => bottom - (y - low) / (high - low) * (bottom - top);
  for (const y of ticks(low, high, 4)) {
    svg.append(make("line", { class: y === 0 ? "base" : "rule", x1: left, x2: right, y1: py(y), y2: py(y) }));
    svg.append(make("text", { x: left - 8, y: py(y) + 4, "text-anchor": "end" }, (spec.show || short)(y).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")));
  }
  for (const [x, text] of AXES[spec.axis](x0, x1, width / 110)) {
    svg.append(make("text", { x: Math.min(px(x), right - 12), y: height - 4, "text-anchor": "middle" }, text));
  }
  for (const { x, label } of (spec.marks || []).filter((mark) => mark.x >= x0 && mark.x <= x1)) {
    svg.append(make("line", { class: "mark", x1: px(x), x2: px(x), y1: top, y2: bottom }));
    const side = px(x) > right - 70 ? { x: px(x) - 4, "text-anchor": "end" } : { x: px(x) + 4 };
    svg.append(make("text", { ...side, y: top + 8 }, label));
  }
  for (const { y, color, dashed } of spec.series) {
    let path = "", pen = false, points = 0, last = 0;
    y.forEach((value, at) => {
      if (value === null || value === undefined) return void (pen = false);
      path += `${pen ? "L" : "M"}${px(spec.x[at]).toFixed(1)} ${py(value).toFixed(1)}`;
      pen = true, points += 1, last = at;
    });
    if (points > 0) svg.append(make("path", { class: `line ${color} ${dashed ? "dashed" : ""}`, d: path, "data-points": points }));
    if (points > 0 && !dashed) svg.append(make("circle", { class: `point ${color}`, cx: px(spec.x[last]), cy: py(y[last]), r: 3 }));
  }
  const cursor = make("line", { class: "cursor", y1: top, y2: bottom, visibility: "hidden" });
  const below = make("div");
  svg.append(cursor);
  const tell = () => {
    const want = hovered.get(id);
    let at = spec.x.length - 1;
    if (want !== undefined) at = spec.x.reduce((best, x, i) => (Math.abs(px(x) - want) < Math.abs(px(spec.x[best]) - want) ? i : best), 0);
    cursor.setAttribute("visibility", want === undefined ? "hidden" : "visible");
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, px(spec.x[at]));
    const entries = spec.series.map(({ name, color, dashed, y }) =>
      ({ name, color, kind: dashed ? "dashed" : "", value: (spec.show || short)(y[at]) }));
    const x = { clock, span, count: (n) => `${short(n)} ${spec.counted || "events"}` }[spec.axis](spec.x[at]);
    const where = want === undefined ? [] : [{ name: `at ${x}`, color: "", kind: "none" }];
    below.replaceChildren(legend([...entries, ...where]));
  };
  svg.addEventListener("pointermove", (event) => { hovered.set(id, (event.offsetX / svg.clientWidth) * width); tell(); });
  svg.addEventListener("pointerleave", () => { hovered.delete(id); tell(); });
  tell();
  end(below);
}

// bars: [{name, value (0..1 of the widest), text}]
function bars(id, spec) {
  const empty = spec.bars.length === 0 ? spec.empty : null;
  const { svg, width, height, end } = frame(id, { ...spec, empty });
  if (empty) return end();
  const most = Math.max(...spec.bars.map((bar) => bar.value), 1e-12);
  if (spec.upright) {
    const each = (width - 8) / spec.bars.length;
    spec.bars.forEach((bar, at) => {
      const tall = Math.max(bar.value / most * (height - 34), bar.value > 0 ? 1 : 0);
      svg.append(make("rect", { class: "bar c5", x: 4 + at * each, y: height - 22 - tall, width: Math.max(each * 0.8, 1), height: tall },
        make("title", {}, `${bar.name}: ${bar.text}`)));
      if (spec.bars.length <= 24) svg.append(make("text", { x: 4 + at * each + each * 0.4, y: height - 6, "text-anchor": "middle" }, bar.name));
    });
    svg.append(make("line", { class: "base", x1: 0, x2: width, y1: height - 22, y2: height - 22 }));
  } else {
    const each = Math.min((height - 4) / spec.bars.length, 30), from = Math.min(140, width * 0.3), room = width - from - 60;
    spec.bars.forEach((bar, at) => {
      const y = 4 + at * each;
      svg.append(make("text", { class: "name", x: from - 8, y: y + each * 0.5 + 3, "text-anchor": "end" }, bar.name));
      svg.append(make("rect", { class: "bar c1", x: from, y: y + each * 0.14, width: Math.max(bar.value / most * room, 1), height: each * 0.66, rx: 2 }));
      svg.append(make("text", { x: from + bar.value / most * room + 6, y: y + each * 0.5 + 3 }, bar.text));
    });
  }
  end(legend([{ name: spec.legend, color: spec.upright ? "c5" : "c1", kind: "dot" }]));
}

// ---- one user -----------------------------------------------------------------------------------------------------
const ROWS_MAX = 10;

function timeline(user) {
  const events = user.history, spec = { title: "Timeline", unit: `newest ${events.length} of ${user.rows} events, by type` };
  const { svg, width, height, end } = frame("timeline", { ...spec, empty: events.length ? null : "nothing is kept of his history" });
  if (!events.length) return end();
  const counts = new Map();
  events.forEach((event) => counts.set(event.type, (counts.get(event.type) || 0) + 1));
  const kinds = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
  const shown = kinds.length > ROWS_MAX ? [...kinds.slice(0, ROWS_MAX - 1), "others"] : kinds;
  const rowOf = (kind) => Math.max(shown.indexOf(kind), kinds.indexOf(kind) < shown.length ? 0 : shown.length - 1);
  const views = [...new Set(user.windows.map((open) => open.view))].slice(0, 5);
  const left = Math.min(140, width * 0.25), right = width - 12, bottom = height - 24, rows = shown.length + views.length;
  const next = user.forecast ? user.forecast.made_at_ms + user.forecast.median_gap_ms : null;
  const x0 = events[0].time_ms, x1 = Math.max(events.at(-1).time_ms, next || 0, x0 + 1000);
  const px = (ms) => left + 8 + (Math.min(Math.max(ms, x0), x1) - x0) / (x1 - x0) * (right - left - 16);
  const each = (bottom - 4) / rows, py = (row) => 4 + each * (row + 0.5);
  [...shown, ...views].forEach((name, row) => {
    svg.append(make("line", { class: "rule", x1: left, x2: right, y1: py(row), y2: py(row) }));
    svg.append(make("text", { class: row < shown.length ? "name" : "", x: left - 8, y: py(row) + 4, "text-anchor": "end" },
      row < shown.length ? name : name + " …"));
  });
  for (const [x, text] of timeTicks(x0, x1, width / 120)) {
    svg.append(make("text", { x: px(x), y: height - 4, "text-anchor": "middle" }, text));
  }
  user.windows.filter((open) => views.includes(open.view)).forEach((open) => {
    const row = shown.length + views.indexOf(open.view), from = px(open.window_start_ms);
    svg.append(make("rect", { class: "open c2", x: from, y: py(row) - 5, width: Math.max(px(open.window_end_ms) - from, 3), height: 10, rx: 3 },
      make("title", {}, `${open.view}: ${moment(open.window_start_ms)} to ${moment(open.window_end_ms)}`)));
  });
  events.forEach((event) => {
    const about = ["item_id", "other_id", "role", "value"].filter((name) => name in event).map((name) => `${name} ${event[name]}`);
    const row = rowOf(event.type);
    svg.append(make("circle", { class: `point event c${row % 5 + 1}`, cx: px(event.time_ms), cy: py(row), r: 4, "fill-opacity": 0.75 },
      make("title", {}, [event.type, moment(event.time_ms), ...about].join("\n"))));
  });
  if (next) {
    svg.append(make("line", { class: "mark", x1: px(next), x2: px(next), y1: 4, y2: bottom }));
    svg.append(make("text", { x: px(next) - 5, y: 12, "text-anchor": "end" }, "next, median"));
  }
  end(legend([{ name: "event (a row a type)", color: "c1", kind: "dot" }, ...(views.length ? [{ name: "open window (a row a view)", color: "c2" }] : [])]));
}

function forecast(user) {
  const made = user.forecast, none = learnt && learnt.reason ? learnt.reason : "no forecast of him yet";
  const about = made && `version ${made.version}, made after ${moment(made.made_at_ms)}; expected in ${span(made.expected_gap_ms)}, median ${span(made.median_gap_ms)}`
    + (made.surprise_nats === null ? "" : `; that event surprised by ${nats(made.surprise_nats)} nats`);
  lines("survival", {
    title: "When he comes next", unit: "probability that he has not come yet", axis: "span", fromZero: true, leastHigh: 1,
    x: made ? made.survival.map(([gap]) => gap) : [], empty: none, show: (p) => (p === null || p === undefined ? "–" : p.toFixed(2)), note: about,
    series: [{ name: "survival", color: "c5", y: made ? made.survival.map(([, p]) => p) : [] }],
    marks: made ? [{ x: made.median_gap_ms, label: "median" }] : [],
  });
  bars("types", {
    title: "What he does next", unit: "probability of the type", empty: none, legend: "forecast",
    bars: made ? made.types.slice(0, 8).map(([name, p]) => ({ name, value: p, text: (100 * p).toFixed(1) + " %" })) : [],
  });
}

function drawUser(user) {
  byId("about").className = "";
  byId("about").textContent = user.note ? `${user.user_id}, partition ${user.partition}: ${user.note}` :
    `${user.user_id}: ${user.rows} events, partition ${user.partition}` +
    (user.watermark_ms === null ? "" : `, watermark ${moment(user.watermark_ms)}`);
  byId("picture").hidden = user.place !== "memory";
  if (user.place !== "memory") return;
  timeline(user);
  forecast(user);
  const rows = user.values.map(([view, value]) => {
    const told = Object.entries(value).filter(([name]) => !["user_id", "source", "time"].includes(name));
    return [view, make("code", {}, told.map(([name, x]) => `${name} ${JSON.stringify(x)}`).join(", "))];
  });
  byId("values").replaceChildren(rows.length ? table(["view", "value"], rows) :
    make("p", { class: "note" }, "no rolling, latest or lifetime view has a value for him"));
}

// ---- the whole ----------------------------------------------------------------------------------------------------
let past = { time_ms: [] }, learnt = null, chosen = "", token = "";

function keep(more) {
  for (const [name, values] of Object.entries(more)) {
    if (Array.isArray(values)) past[name] = [...(past[name] || []), ...values].slice(-KEEP);
  }
}

function drawOverview(told) {
  byId("who").textContent = `${told.app} on ${told.instance}, ${told.version}, up ${span(told.uptime_s * 1000)}`;
  byId("state").textContent = told.ready ? "ready" : "not ready";
  byId("state").className = told.ready ? "pill good" : "pill bad";
  byId("clock").textContent = past.time_ms.length ? clock(past.time_ms.at(-1)) : "";
  const now = told.now, [state, unit] = bytes(now.state_bytes || 0), column = (name) => past[name] || [];
  const lag = now.input_lag_records === undefined ? null : (now.input_lag_records || 0) + (now.by_user_lag_records || 0);
  const tiles = [
    ["Events in", now.router_records_in_per_s ? short(now.router_records_in_per_s) : short(now.engine_rows_folded_per_s), "/ s"],
    ["Lag", short(lag), "records"],
    ["Engine latency p99", short(now.engine_event_to_commit_p99_ms), "ms"],
    ["Dead letters", short(told.totals.dead_letters), "", told.totals.dead_letters > 0],
    ["Late rows", short(told.totals.late_rows), ""],
    ["Users", short(now.users), now.users_in_memory < now.users ? `${short(now.users - now.users_in_memory)} on disk` : ""],
    ["State in memory", state, unit],
  ];
  byId("tiles").replaceChildren(...tiles.map(([name, value, unit, bad]) => make("dl", { class: bad ? "tile bad" : "tile" },
    make("dt", {}, name), make("dd", {}, String(value), make("small", {}, unit)))));
  const stream = { x: past.time_ms, axis: "clock", fromZero: true, least: 60 * SECOND_MS, empty: "collecting: the first point comes in a second or two" };
  lines("throughput", { ...stream, title: "Throughput", unit: "records / s", leastHigh: 1, series: [
    { name: "records taken", color: "c1", y: column("router_records_in_per_s") },
    { name: "rows folded", color: "c2", y: column("engine_rows_folded_per_s") },
    { name: "records sent", color: "c3", y: column("records_out_per_s") }] });
  lines("lag", { ...stream, title: "Lag", unit: "records written and not yet read", leastHigh: 10, series: [
    { name: "inputs", color: "c1", y: column("input_lag_records") },
    { name: "by-user", color: "c2", y: column("by_user_lag_records") }], empty: "no partition has been read yet" });
  lines("latency", { ...stream, title: "Latency, record to commit", unit: "ms, of the oldest record of each transaction, last 10 s", leastHigh: 1, series: [
    { name: "router p99", color: "c1", y: column("router_event_to_commit_p99_ms") },
    { name: "engine p99", color: "c2", y: column("engine_event_to_commit_p99_ms") },
    { name: "router p50", color: "c1", dashed: true, y: column("router_event_to_commit_p50_ms") },
    { name: "engine p50", color: "c2", dashed: true, y: column("engine_event_to_commit_p50_ms") }], empty: "no transaction with timed records has been committed yet" });
  lines("dead", { ...stream, title: "Dead letters and late rows", unit: "per s", leastHigh: 1, series: [
    { name: "dead letters", color: "c4", y: column("dead_letters_per_s") },
    { name: "late rows", color: "c3", y: column("late_rows_per_s") },
    { name: "duplicates", color: "c5", dashed: true, y: column("duplicates_per_s") }] });
  byId("answers").hidden = !told.answers;
  if (told.answers) drawTraffic(told, stream, column);
  byId("outputs").replaceChildren(table(["topic", "records#"], told.outputs.map((o) => [o.topic, o.records])));
  const stages = Object.entries(told.stages).filter(([, stage]) => stage);
  byId("stages").replaceChildren(table(["stage", "records#", "transactions#", "commit p50#", "p99, ms#", "dead letters#"],
    stages.map(([name, s]) => [name, s.records_in, s.transactions || 0, s.commit_p50_ms ?? "–", s.commit_p99_ms ?? "–", s.dead_letters || 0])));
}

function drawTraffic(told, stream, column) {
  const { requests_answered: requests, candidates_answered: candidates } = told.totals;
  byId("answered").textContent = `to candidates: ${short(requests)} requests of ${short(candidates)} items since the start of this process`;
  const empty = "no request has been answered yet";
  lines("requests", { ...stream, title: "Requests answered", unit: "per s", leastHigh: 1, empty, series: [
    { name: "requests", color: "c1", y: column("requests_per_s") },
    { name: "hundreds of candidates", color: "c3", dashed: true, y: column("candidates_per_s").map((y) => (y === null ? null : y / 100)) }] });
  lines("answering", { ...stream, title: "Time to answer, request to commit", unit: "ms, last 10 s", leastHigh: 1, empty, series: [
    { name: "p99", color: "c1", y: column("request_to_answer_p99_ms") },
    { name: "p50", color: "c2", dashed: true, y: column("request_to_answer_p50_ms") }] });
}

// A curve per model, each over the labels that it has met: at a place of another's point, its last one before.
function drawAnswers(told) {
  const models = Object.entries(told.models).filter(([, model]) => model.points.labeled.length);
  const x = [...new Set(models.flatMap(([, model]) => model.points.labeled))].sort((a, b) => a - b);
  const along = ({ labeled }, y) => x.map((at) => {
    const points = labeled.filter((own) => own <= at).length;
    return points === 0 || at > labeled.at(-1) ? null : y[points - 1];
  });
  const series = (name) => models.flatMap(([model, { points }], at) => [
    { name: model, color: `c${2 * at % 4 + 1}`, y: along(points, points[name]) },
    { name: `rate, beside ${model}`, color: `c${2 * at % 4 + 2}`, dashed: true, y: along(points, points[`rate_${name}`]) }]);
  const curve = { x, axis: "count", counted: "labels", show: nats, empty: "no model has answered enough candidates that were labeled afterwards" };
  lines("answer-loss", { ...curve, title: "Log-loss of answers", unit: "nats; lower is better", series: series("log_loss"),
    note: `Of the newest ${told.window} candidates that were labeled after they were answered. rate: how often the item was taken where it was shown.` });
  lines("answer-auc", { ...curve, title: "AUC of answers", unit: "higher is better, 0.5 is chance", series: series("auc") });
}

function drawLearning(told) {
  learnt = told;
  const { scored_events: x, time_ms, model_nats, baseline_nats, truth_nats } = told.points;
  const marks = told.marks.map(({ time_ms: at, label }) => ({ x: x[time_ms.findIndex((t) => t >= at)], label })).filter((mark) => mark.x !== undefined);
  const known = truth_nats.some((y) => y !== null), empty = told.reason || "no event has been scored yet";
  const curve = { x, axis: "count", marks, empty, show: nats };
  byId("learned").textContent = (told.version === null ? "since the start of this process" : `version ${told.version} in force`) +
    (told.scored_events ? `, ${short(told.scored_events)} events scored` : "");
  lines("nll", { ...curve, title: "Learning curve", unit: "NLL in nats per event (gap in s, and type), by events scored; lower is better", series: [
    { name: "model", color: "c1", y: model_nats },
    { name: `best trivial baseline${told.baseline ? `: ${told.baseline}` : ""}`, color: "c3", y: baseline_nats },
    ...(known ? [{ name: "truth", color: "c2", dashed: true, y: truth_nats }] : [])],
    note: "An event is scored under the forecast in force when the user's previous one had just been folded." });
  const less = (y) => y.map((value, at) => (truth_nats[at] === null ? null : value - truth_nats[at]));
  lines("regret", { ...curve, title: "Regret", unit: "nats above the truth, by events scored", fromZero: known && less(model_nats).every((y) => y >= 0), series: [
    { name: "model", color: "c1", y: less(model_nats) }, { name: "baseline", color: "c3", y: less(baseline_nats) }],
    empty: told.reason || "the truth of this stream is not known: only synthetic ones carry it (column truth_nats)" });
  const used = told.pool ? told.pool.chosen : [], sum = used.reduce((a, b) => a + b, 0) || 1;
  bars("pool", { title: "Prompt pool", unit: told.pool ? `share of choices, version ${told.pool.version}` : "share of choices", upright: true, legend: "a bar a prompt",
    empty: told.reason || "no prompt has been chosen yet",
    bars: used.map((count, at) => ({ name: String(at), value: count / sum, text: (100 * count / sum).toFixed(1) + " %" })) });
}

// ---- asking -------------------------------------------------------------------------------------------------------
class Refused extends Error {}

async function ask(path) {
  const answer = await fetch(path, { headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-store" });
  if (answer.status === 401) throw new Refused();
  return { ok: answer.ok, told: await answer.json() };
}

function door() {
  byId("page").hidden = true;
  byId("door").hidden = false;
  byId("refused").textContent = token ? "This is not the token of http.token_file; look there for the right one." : "";
  byId("state").textContent = "closed";
  sessionStorage.removeItem("token");
  token = "";
}

async function lookAtUser() {
  if (!chosen) return;
  const asked = chosen, { ok, told } = await ask(`/api/users/${encodeURIComponent(asked)}`);
  if (asked !== chosen) return;
  if (ok) return drawUser(told);
  byId("picture").hidden = true;
  byId("about").className = "bad";
  byId("about").textContent = told.error;
}

async function offerUsers() {
  const { ok, told } = await ask("/api/users");
  const button = (id) => { const b = make("button", { type: "button", class: "plain" }, id); b.onclick = () => choose(id); return b; };
  byId("anyone").replaceChildren(...(ok && told.users.length ? ["or", ...told.users.map(button)] : []));
}

function choose(id) {
  chosen = id.trim();
  byId("user").value = chosen;
  history.replaceState(null, "", chosen ? `#user=${encodeURIComponent(chosen)}` : "#");
  byId("about").className = "";
  byId("about").textContent = chosen ? `asking for ${chosen} …` : "";
  lookAtUser().catch(troubled);
}

function troubled(error) {
  if (error instanceof Refused) return door();
  byId("trouble").hidden = false;
  byId("trouble").textContent = `The service does not answer (${error.message}). What is shown is from ${past.time_ms.length ? clock(past.time_ms.at(-1)) : "never"}; asking again every second.`;
  byId("state").textContent = "no answer";
  byId("state").className = "pill bad";
}

let turn = 0, running = false, asking = false;
async function tick() {
  if (!running || asking || document.hidden) return;
  asking = true;
  try {
    const since = past.time_ms.length ? past.time_ms.at(-1) : 0;
    const { told } = await ask(`/api/overview?since_ms=${since}`);
    byId("door").hidden = byId("trouble").hidden = true;
    byId("page").hidden = false;
    keep(told.history);
    drawOverview(told);
    if (turn % 2 === 0) drawLearning((await ask("/api/learning")).told);
    if (turn % 2 === 0 && told.answers) drawAnswers((await ask("/api/answers")).told);
    if (turn % 2 === 1) await lookAtUser();
    if (turn % 30 === 1) await offerUsers();
    turn += 1;
  } catch (error) {
    troubled(error);
    running = !(error instanceof Refused);
  } finally {
    asking = false;
  }
}

// The token may come behind the # of the address, which no browser sends anywhere; it is taken out of sight at once.
function begin() {
  const given = new URLSearchParams(location.hash.slice(1));
  token = given.get("token") || sessionStorage.getItem("token") || "";
  if (token) sessionStorage.setItem("token", token);
  const user = given.get("user") || "";
  history.replaceState(null, "", user ? `#user=${encodeURIComponent(user)}` : location.pathname);
  chosen = user;
  byId("user").value = user;
  byId("door").addEventListener("submit", (event) => {
    event.preventDefault();
    token = byId("token").value.trim();
    byId("token").value = "";
    if (token) sessionStorage.setItem("token", token);
    running = true;
    tick();
  });
  byId("ask").addEventListener("submit", (event) => { event.preventDefault(); choose(byId("user").value); });
  running = true;
  tick();
  setInterval(tick, SECOND_MS);
  document.addEventListener("visibilitychange", tick);
}
begin();
