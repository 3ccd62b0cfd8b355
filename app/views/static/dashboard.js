// The dashboard: asks the API every second and draws what it says.
// Everything shown comes from logs, that is from strangers: text goes in as textContent only, never as HTML.
"use strict";

const settings = JSON.parse(document.querySelector('meta[name="sluice"]').content);
const SVG = "http://www.w3.org/2000/svg";
const POINTS = 90; // bars of the charts
const STEP_S = settings.window_s * Math.max(1, Math.ceil(900 / settings.window_s / POINTS));
const SPAN_S = Math.min(settings.retention_s, STEP_S * POINTS);
const RECENT_S = Math.max(60, 2 * STEP_S); // what "now" is a mean over
const TIMEOUT_MS = 5000;

const byId = (id) => document.getElementById(id);
let skewMs = 0; // the server's clock against ours: it asks for windows by its own
const failing = new Map(); // part of the API -> what it says

// -- text and elements

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return made;
}

function drawn(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function show(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

const whole = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1e6) return short.format(value);
  return Math.abs(value) >= 100 ? whole.format(Math.round(value)) : tenths.format(value);
}

function count(value) {
  return value === null || value === undefined ? "–" : Math.abs(value) >= 1e7 ? short.format(value) : whole.format(value);
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${number(value)} ${units[unit]}`;
}

function clock(epochMs) {
  return new Date(epochMs).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

function ago(epochMs) {
  const s = Math.max(0, Math.round((serverNow() - epochMs) / 1000));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.round(s / 60)} min ago`;
  return s < 172800 ? `${Math.round(s / 3600)} h ago` : `${Math.round(s / 86400)} days ago`;
}

function span(seconds) {
  return seconds >= 120 ? `${Math.round(seconds / 60)} min` : `${seconds} s`;
}

// Control characters and marks that turn text around, as one can see them.
function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => `\\x${c.codePointAt(0).toString(16).padStart(2, "0")}`);
}

const serverNow = () => Date.now() + skewMs;

// A table: columns are [title, kind, cell]; kind is a class ("n" for numbers). `cell` gives text or a node.
function fill(table, columns, rows, nothing) {
  table.replaceChildren();
  if (!rows.length) {
    table.append(element("tbody", {}, element("tr", {}, element("td", { class: "quiet" }, nothing))));
    return;
  }
  table.append(
    element("thead", {}, element("tr", {}, ...columns.map(([title, kind]) => element("th", { class: kind }, title)))),
    element(
      "tbody",
      {},
      ...rows.map((row) => element("tr", {}, ...columns.map(([, kind, cell]) => element("td", { class: kind }, cell(row))))),
    ),
  );
}

const GRAVITY = { running: "ok", failed: "bad", "backing off": "bad", gone: "bad", recovering: "warn", starting: "warn" };

function state(text) {
  return element("span", { class: `state ${GRAVITY[text] || ""}` }, text);
}

// -- charts: x is time, the newest at the right

const HIGH = 150;
const TOP = 8;
const BOTTOM = 18;

function scale(most) {
  if (!(most > 0)) return 1;
  const magnitude = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 5, 10].map((n) => n * magnitude).find((n) => n >= most);
}

function frame(place, most, from, to) {
  const width = Math.max(240, place.clientWidth || 600);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${HIGH}`, preserveAspectRatio: "none", role: "img" });
  const left = 44;
  const y = (value) => TOP + (HIGH - TOP - BOTTOM) * (1 - value / most);
  const x = (second) => left + ((width - left) * (second - from)) / (to - from);
  for (const part of [0, 0.5, 1]) {
    svg.append(drawn("line", { class: "grid", x1: left, x2: width, y1: y(most * part), y2: y(most * part) }));
    svg.append(drawn("text", { x: left - 6, y: y(most * part) + 4, "text-anchor": "end" }, number(most * part)));
  }
  for (const part of [0, 0.5, 1]) {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const at = from + (to - from) * part;
    svg.append(drawn("text", { x: x(at), y: HIGH - 3, "text-anchor": anchor }, clock(at * 1000).replace(/(\d\d:\d\d):\d\d/, "$1")));
  }
  place.replaceChildren(svg);
  return { svg, x, y };
}

function requestChart(windows, from, to) {
  const per = (n) => n / STEP_S;
  const most = scale(Math.max(0, ...windows.map((w) => per(w.requests))));
  const { svg, x, y } = frame(byId("chart-requests"), most, from, to);
  const wide = Math.max(1, x(from + STEP_S) - x(from) - 1);
  for (const window of windows) {
    const [bad, warn] = [failures(window.status, "5"), failures(window.status, "4")];
    let base = 0;
    for (const [kind, part] of [["ok", window.requests - bad - warn], ["warn", warn], ["bad", bad]]) {
      if (part <= 0) continue;
      const [low, high] = [y(per(base)), y(per(base + part))];
      svg.append(drawn("rect", { class: kind, x: x(window.start), width: wide, y: high, height: Math.max(0.5, low - high) }));
      base += part;
    }
  }
}

function latencyChart(windows, from, to) {
  const timed = windows.filter((w) => w.latency_ms && w.latency_ms.p50 !== null);
  const most = scale(Math.max(0, ...timed.map((w) => w.latency_ms.p99)));
  const { svg, x, y } = frame(byId("chart-latency"), most, from, to);
  for (const p of ["p50", "p95", "p99"]) {
    let path = "";
    let before = null;
    for (const window of timed) {
      const [px, py] = [x(window.start + STEP_S / 2), y(window.latency_ms[p])];
      const joined = before !== null && window.start - before <= STEP_S;
      path += joined ? `L${px} ${py}` : `M${px} ${py}h.01`; // a lone point is a dot
      before = window.start;
    }
    svg.append(drawn("path", { class: p, d: path }));
  }
  if (windows.length && !timed.length) {
    svg.append(drawn("text", { x: x((from + to) / 2), y: y(most / 2) - 8, "text-anchor": "middle" }, "no latencies: the access log's pattern has neither %D nor %T"));
  }
}

function sparkline(place, values) {
  const most = Math.max(1, ...values);
  const svg = drawn("svg", { viewBox: `0 0 ${values.length} 46`, preserveAspectRatio: "none", "aria-hidden": "true" });
  values.forEach((value, i) => {
    const high = (46 * value) / most;
    if (high > 0) svg.append(drawn("rect", { class: "ok", x: i + 0.1, width: 0.8, y: 46 - high, height: high }));
  });
  place.replaceChildren(svg);
}

// -- what each part of the API shows

const sum = (list, of) => list.reduce((total, each) => total + (of(each) || 0), 0);

function failures(status, digit) {
  return sum(Object.entries(status || {}), ([code, n]) => (code.startsWith(digit) ? n : 0));
}

function showAccess(answer, from) {
  const windows = answer.windows;
  const now = serverNow() / 1000;
  const start = Math.floor(from / STEP_S) * STEP_S;
  requestChart(windows, start, start + SPAN_S + STEP_S);
  latencyChart(windows, start, start + SPAN_S + STEP_S);
  const recent = windows.filter((w) => w.start + STEP_S > now - RECENT_S);
  const requests = sum(windows, (w) => w.requests);
  const errors = sum(recent, (w) => failures(w.status, "5"));
  const total = sum(recent, (w) => w.requests);
  show("req-rate", number(total / RECENT_S));
  show("req-total", `${count(requests)} in ${span(SPAN_S)}`);
  show("err-rate", total ? number((100 * errors) / total) : "–");
  const refused = sum(recent, (w) => failures(w.status, "4"));
  show("err-total", `${count(errors)} 5xx · ${count(refused)} 4xx`);
  byId("err-rate").closest(".tile").classList.toggle("alarm", errors > 0 && errors / total > 0.01);
  const timed = windows.filter((w) => w.latency_ms && w.latency_ms.p50 !== null);
  const complete = timed.filter((w) => w.start + STEP_S <= now);
  const newest = (complete.length ? complete : timed).at(-1);
  for (const p of ["p50", "p95", "p99"]) show(p, newest ? number(newest.latency_ms[p]) : "–");
  show("max", newest ? `slowest ${number(newest.latency_ms.max)} ms` : "–");
  byId("empty").dataset.requests = String(requests);
}

function showServices(answer) {
  const services = new Map();
  for (const window of answer.windows) {
    const one = services.get(window.service) || { name: window.service, requests: 0, bytes: 0, bad: 0, latency: null, points: new Map() };
    one.requests += window.requests;
    one.bytes += window.bytes;
    one.bad += failures(window.status, "5");
    if (window.latency_ms && window.latency_ms.p95 !== null) one.latency = window.latency_ms;
    services.set(window.service, one);
  }
  const rows = [...services.values()].sort((a, b) => b.requests - a.requests).slice(0, 12);
  fill(
    byId("services"),
    [
      ["service", "name", (r) => r.name ?? "(none)"],
      ["requests", "n", (r) => count(r.requests)],
      ["5xx", "n", (r) => count(r.bad)],
      ["p95 ms", "n", (r) => (r.latency ? number(r.latency.p95) : "–")],
      ["bytes", "n", (r) => bytes(r.bytes)],
    ],
    rows,
    "No requests in this time.",
  );
}

function showPaths(answer) {
  fill(
    byId("paths"),
    [
      ["path", "path", (r) => r.path ?? "(none)"],
      ["service", "quiet", (r) => r.service ?? "–"],
      ["requests", "n", (r) => count(r.requests)],
      ["4xx", "n", (r) => count(r.errors["4xx"])],
      ["5xx", "n", (r) => count(r.errors["5xx"])],
      ["mean ms", "n", (r) => number(r.latency_ms.mean)],
      ["max ms", "n", (r) => number(r.latency_ms.max)],
    ],
    answer.most_requested,
    "No requests in this time.",
  );
}

function showLag(answer) {
  const rows = [];
  for (const [group, topics] of Object.entries(answer.groups)) {
    for (const [topic, partitions] of Object.entries(topics)) {
      const all = Object.values(partitions);
      rows.push({ group, topic, partitions: all.length, lag: sum(all, (p) => p.lag), end: sum(all, (p) => p.end) });
    }
  }
  fill(
    byId("lag"),
    [
      ["group", "", (r) => r.group],
      ["topic", "quiet", (r) => r.topic],
      ["partitions", "n", (r) => count(r.partitions)],
      ["records behind", "n", (r) => count(r.lag)],
    ],
    rows,
    "No group reads yet.",
  );
  const worst = rows.reduce((a, b) => (b.lag > a.lag ? b : a), { lag: 0, group: "" });
  show("lag-total", count(worst.lag));
  show("lag-sub", worst.lag ? worst.group.replace(`${settings.app_id}-`, "records, ") : "nobody is behind");
}

function showFlows(answer) {
  const flows = ["sources", "routes", "destinations"].flatMap((kind) => answer[kind].map((flow) => ({ ...flow, kind: kind.slice(0, -1) })));
  fill(
    byId("flows"),
    [
      ["flow", "name", (f) => f.name],
      ["kind", "quiet", (f) => f.kind],
      ["state", "", (f) => state(f.state)],
      ["in /s", "n", (f) => number(f.rates.received_per_s)],
      ["received", "n", (f) => count(f.received)],
      ["sent", "n", (f) => count(f.sent)],
      ["rejected", "name", (f) => Object.entries(f.rejected).map(([reason, n]) => `${reason} ${count(n)}`).join(", ") || "–"],
      ["last error", "error", (f) => (f.last_error ? `${f.last_error_at_ms ? `${ago(f.last_error_at_ms)}: ` : ""}${f.last_error}` : "")],
    ],
    flows,
    "No worker has reported yet.",
  );
  fill(
    byId("workers"),
    [
      ["worker", "name", (w) => w.worker],
      ["state", "", (w) => state(!w.alive ? "gone" : w.ready ? "running" : "starting")],
      ["roles", "quiet", (w) => w.roles.join(", ")],
      ["partitions", "", (w) => Object.entries(w.partitions).map(([g, p]) => `${g.replace(`${settings.app_id}-`, "")} ${p.length}`).join(", ") || "–"],
      ["up since", "quiet", (w) => clock(w.started_at_ms)],
    ],
    answer.workers,
    "No worker has reported yet.",
  );
  const sources = answer.sources;
  show("in-rate", number(sum(sources, (f) => f.rates.received_per_s)));
  const received = sum(sources, (f) => f.received);
  show("in-total", `${count(received)} since start`);
  const alive = answer.workers.filter((w) => w.alive).length;
  show("deployment", `${settings.app_id} · ${alive} ${alive === 1 ? "worker" : "workers"} · ${settings.version}`);
  byId("empty").hidden = received > 0 || byId("empty").dataset.requests !== "0";
}

function showLetters(letters) {
  byId("letters").replaceChildren(
    ...(letters.length
      ? letters.map((letter) => {
          const body = letter.body ?? `${letter.body_base64} (base64: not UTF-8)`;
          return element(
            "article",
            {},
            element("p", {}, element("b", {}, letter.reason), element("span", {}, letter.error), element("span", { class: "quiet" }, `${ago(letter.ts)} · raw-log ${letter.raw}`)),
            element("pre", {}, visible(letter.truncated ? `${body}…` : body)),
          );
        })
      : [element("p", { class: "quiet" }, "None: every line that should be understood was.")]),
  );
}

function businessCard(route) {
  const chart = element("div", { class: "chart small" });
  const table = element("table", {});
  const card = element("section", { class: "card" }, element("h2", {}, `Business: ${route.name}`), chart, element("div", { class: "scroll" }, table));
  byId("business").append(card);
  return (answer, from) => {
    const start = Math.floor(from / STEP_S) * STEP_S;
    const counts = new Array(Math.round(SPAN_S / STEP_S) + 1).fill(0);
    const groups = new Map();
    for (const window of answer.windows) {
      const at = Math.floor((window.start - start) / STEP_S);
      if (at >= 0 && at < counts.length) counts[at] += window.count;
      const name = Object.values(window.key).map((v) => v ?? "–").join(" · ") || "all";
      const one = groups.get(name) || { name, count: 0, figures: {} };
      one.count += window.count;
      for (const { name: metric, kind } of route.metrics) {
        const [now, before] = [window[metric], one.figures[metric]];
        if (now === null || now === undefined) continue;
        if (kind === "sum") one.figures[metric] = (before || 0) + now;
        else if (kind === "min") one.figures[metric] = before === undefined ? now : Math.min(before, now);
        else if (kind === "max") one.figures[metric] = before === undefined ? now : Math.max(before, now);
        else one.figures[metric] = now; // percentiles can't be added up: the newest window's
      }
      groups.set(name, one);
    }
    sparkline(chart, counts);
    fill(
      table,
      [
        [route.group_by.join(" · ") || "", "name", (g) => g.name],
        ["count", "n", (g) => count(g.count)],
        ...route.metrics.map(({ name, kind }) => [
          kind === "percentiles" ? `${name} p95` : name,
          "n",
          (g) => number(kind === "percentiles" ? g.figures[name]?.p95 : g.figures[name]),
        ]),
      ],
      [...groups.values()].sort((a, b) => b.count - a.count).slice(0, 10),
      "No records in this time.",
    );
  };
}

// -- asking

async function ask(path) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(path, { signal: abort.signal, cache: "no-store" });
    const date = Date.parse(response.headers.get("Date"));
    if (!Number.isNaN(date)) skewMs = Math.abs(date - Date.now()) > 1500 ? date - Date.now() : 0; // the header has whole seconds
    const answer = await response.json();
    if (!response.ok) throw new Refused(answer.error || `status ${response.status}`);
    return answer;
  } finally {
    clearTimeout(timer);
  }
}

class Refused extends Error {}

let heardAt = 0;

async function poll(part, everyMs, path, shown) {
  for (;;) {
    const from = Math.floor(serverNow() / 1000) - SPAN_S;
    try {
      const answer = await ask(path(from));
      heardAt = Date.now();
      failing.delete(part);
      if (!document.hidden) shown(answer, from);
    } catch (problem) {
      if (problem instanceof Refused) heardAt = Date.now();
      failing.set(part, problem instanceof Refused ? problem.message : "no answer");
    }
    showConnection();
    await new Promise((go) => setTimeout(go, everyMs));
  }
}

function showConnection() {
  const silentS = Math.round((Date.now() - heardAt) / 1000);
  const gone = heardAt === 0 ? failing.size > 0 : silentS > 3 && failing.size > 0;
  const place = byId("connection");
  place.dataset.state = gone ? "gone" : failing.size ? "partly" : "live";
  show("connection", gone ? "worker does not answer" : failing.size ? `live, without ${[...failing.keys()].join(", ")}` : "live");
  byId("gone").hidden = !gone && !failing.size;
  show(
    "gone",
    gone
      ? `This worker does not answer${heardAt ? ` since ${clock(heardAt)}; what you see is from then` : ""}. Trying again every second.`
      : [...failing].map(([part, why]) => `${part}: ${why}`).join(" · "),
  );
}

function start() {
  show("span", span(SPAN_S));
  const json = '[{"headers": {"type": "access_log", "service": "shop"}, "body": "127.0.0.1 - - [$(date \'+%d/%b/%Y:%H:%M:%S %z\')] \\"GET /hello HTTP/1.1\\" 200 512"}]';
  show("example", `curl ${location.origin}/logCollect2 -H 'content-type: application/json' -d "${json.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`);
  const access = (from, more) => `api/access?from=${from}&step=${STEP_S}${more}`;
  poll("requests", 1000, (from) => access(from, "&by=none"), showAccess);
  poll("services", 1000, (from) => access(from, ""), showServices);
  poll("top paths", 2000, (from) => `api/access/top?by=path&n=10&from=${from}`, showPaths);
  poll("lag", 1000, () => "api/lag", showLag);
  poll("flows", 1000, () => "api/flows", showFlows);
  poll("dead letters", 3000, () => "api/dead-letters?n=8", showLetters);
  for (const route of settings.business) {
    poll(`business ${route.name}`, 2000, (from) => `api/business/${encodeURIComponent(route.name)}?from=${from}&step=${STEP_S}`, businessCard(route));
  }
}

start();
