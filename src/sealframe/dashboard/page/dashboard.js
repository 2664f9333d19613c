// Draws what /events says. Text of others goes through textContent alone.

import {
  STALE, TEXTS, UNKNOWN, area, between, clock, count, duration, merged, millis, nextSort, nice, niceSize, path, rate,
  remembered, shownColumns, size, speed,
} from "./figures.mjs";

const RETRY = 3000; // milliseconds

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// Elements

function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

function drawn(name, attributes = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

// Rows that are there are used again, so that what is selected stays so.
function fill(body, rows) {
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, at) => {
    const row = body.rows[at] ?? body.insertRow();
    cells.forEach((cell, place) => {
      let there = row.cells[place];
      if (!there) {
        there = place === 0 ? element("th", { scope: "row" }) : element("td");
        row.append(there);
      }
      say(there, cell.text);
      there.title = cell.title ?? "";
      there.className = cell.kind ?? "";
    });
    while (row.cells.length > cells.length) row.deleteCell(-1);
  });
}

const text = (value) => ({ text: value, title: value });
const number = (value, alarming = false) => ({ text: value, kind: alarming ? "number some" : "number" });

// Charts

class Chart {
  // lines: [[what it is called, the value of a point and the one before, null where unknown]]
  constructor(figure, title, lines, show, note) {
    this.lines = lines;
    this.show = show;
    this.note = note;
    this.values = element("p", { class: "values" });
    this.now = lines.map(([label], at) => {
      const key = drawn("svg", { class: "key", viewBox: "0 0 18 8", "aria-hidden": "true" });
      key.append(drawn("line", { x1: 0, y1: 4, x2: 18, y2: 4, class: `line-${at}` }));
      const value = element("span", { class: "big" }, UNKNOWN);
      this.values.append(element("span", {}, key, ` ${label} `, value));
      return value;
    });
    this.plot = drawn("svg", { class: "plot", viewBox: "0 0 300 80", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.plot.append(drawn("line", { class: "grid", x1: 0, x2: 300, y1: 40, y2: 40 }));
    this.area = drawn("path", { class: "area" });
    this.paths = lines.map((_, at) => drawn("path", { class: `line-${at}` }));
    this.plot.append(this.area, ...this.paths);
    this.top = element("span");
    this.extra = element("span");
    figure.append(
      element("figcaption", {}, title),
      this.values,
      element("p", { class: "scale" }, this.top, this.extra),
      this.plot,
      element("p", { class: "scale" }, element("span", {}, "−5 min"), element("span", { class: "end" })),
    );
  }

  draw(points) {
    const last = points.at(-1);
    const series = this.lines.map(([, value]) => points.map((point, at) => [point.time, value(point, points[at - 1]) ?? null]));
    const values = series.flat().map(([, value]) => value).filter((value) => value !== null);
    const scale = [size, speed].includes(this.show) ? niceSize : nice;
    const top = scale(Math.max(0, ...values));
    series.forEach((line, at) => {
      say(this.now[at], this.show(line.at(-1)?.[1]));
      this.paths[at].setAttribute("d", path(line, last.time, top));
    });
    this.area.setAttribute("d", area(series[0], last.time, top));
    say(this.top, values.length ? `top: ${this.show(top)}` : "nothing is known");
    say(this.extra, this.note?.(last) ?? "");
  }
}

const charts = [
  new Chart($("chart-clients"), "Clients", [
    ["here", (point) => point.clients],
    ["without a link", (point) => point.sessions_detached],
  ], count),
  new Chart($("chart-messages"), "Messages per second", [
    ["in", (point) => point.rates.messages_in],
    ["out", (point) => point.rates.messages_out],
  ], rate),
  new Chart($("chart-bytes"), "Bytes per second", [
    ["in", (point) => point.rates.bytes_in],
    ["out", (point) => point.rates.bytes_out],
  ], speed),
  new Chart($("chart-queues"), "Waiting in queues", [
    ["to be sent", (point) => point.outbox_cost],
    ["to be received", (point) => point.inbox_cost],
  ], size),
  new Chart($("chart-latency"), "Round trips", [
    ["median", (point) => point.round_trip?.p50],
    ["90 %", (point) => point.round_trip?.p90],
    ["99 %", (point) => point.round_trip?.p99],
  ], millis, (point) => `known of ${count(point.round_trip?.known ?? 0)} clients`),
  new Chart($("chart-refused"), "Refused and dropped per second", [
    ["connections", between("refused")],
    ["messages", between("dropped")],
  ], rate),
];

// What is drawn from one look

const REFUSALS = [
  ["turned_away", "refused: max_connections reached"],
  ["too_fast", "refused: connection_rate"],
  ["proxy_refused", "refused: proxy_protocol"],
  ["unauthorized", "keys that are not let in"],
  ["failed_handshakes", "handshakes failed, those keys included"],
  ["dropped_handshakes", "handshakes dropped for a newcomer"],
  ["dropped", "broadcast messages dropped: client too slow"],
  ["discarded", "messages after the close, not kept"],
  ["unsent", "accepted messages left unsent"],
  ["sessions_lost", "sessions lost"],
];

const COLUMNS = [
  ["id", "client", (row) => text(row.id)],
  ["name", "name", (row) => text(row.name || UNKNOWN)],
  ["address", "address", (row) => text(row.address)],
  ["connected_for", "for", (row) => number(duration(row.connected_for))],
  ["messages_in", "messages in", (row) => number(rate(row.messages_in))],
  ["bytes_in", "bytes in", (row) => number(speed(row.bytes_in))],
  ["messages_out", "messages out", (row) => number(rate(row.messages_out))],
  ["bytes_out", "bytes out", (row) => number(speed(row.bytes_out))],
  ["outbox_cost", "queue out", (row) => number(size(row.outbox_cost))],
  ["inbox_cost", "queue in", (row) => number(size(row.inbox_cost))],
  ["dropped", "dropped", (row) => number(count(row.dropped), row.dropped > 0)],
  ["latency", "round trip", (row) => number(row.connected ? millis(row.latency) : "no link")],
  ["seal", "seal", (row) => text(row.seal)],
  ["groups", "groups", (row) => text(row.groups || UNKNOWN)],
];
const SERVER_COLUMNS = [
  ["label", "server", (server) => text(server.label + (server.self ? " (this one)" : ""))],
  ["up", "up", (server) => number(duration(server.up)), "number"],
  ["clients", "clients", (server) => number(count(server.clients)), "number"],
  ["sessions", "sessions", (server) => number(count(server.sessions)), "number"],
  ["detached", "without a link", (server) => number(count(server.detached)), "number"],
  ["messages_in", "messages in", (server) => number(rate(server.messages_in)), "number"],
  ["bytes_in", "bytes in", (server) => number(speed(server.bytes_in)), "number"],
  ["messages_out", "messages out", (server) => number(rate(server.messages_out)), "number"],
  ["bytes_out", "bytes out", (server) => number(speed(server.bytes_out)), "number"],
  ["queued", "queue out", (server) => number(size(server.queued)), "number"],
  ["latency", "longest round trip", (server) => number(millis(server.latency)), "number"],
  ["between", "between servers", (server) => number(rate(server.between)), "number"],
  ["lost", "lost", (server) => number(count(server.lost), server.lost > 0), "number"],
  ["answer", "answered in", (server) => number(millis(server.answer)), "number"],
  ["label", "state", (server) => serverState(server)],
];

function serverState(server) {
  const state = server.state ?? (server.leaving ? "leaving" : "here");
  const silent = ["hangs", "gone"].includes(state) ? `, silent for ${duration(server.silent_for)}` : "";
  return { text: state + silent, kind: state === "hangs" ? "some" : "" };
}
let points = [];
let refused = []; // [time, the counters] of the looks that this page has seen

function showSummary(summary) {
  const values = { ...summary.refusals, ...summary.totals };
  refused = remembered(refused, summary.time, values);
  const first = refused[0][1];
  $("refusals").closest("section").hidden = !Object.keys(summary.refusals).length;
  fill($("refusals"), REFUSALS.filter(([key]) => key in values).map(([key, label]) => {
    const recent = values[key] - (first[key] ?? 0);
    return [{ text: label }, number(count(recent), recent > 0), number(count(values[key]))];
  }));
  const totals = summary.totals;
  fill($("totals"), [
    [{ text: "messages" }, number(count(totals.messages_received)), number(count(totals.messages_sent))],
    [{ text: "bytes" }, number(size(totals.bytes_received)), number(size(totals.bytes_sent))],
  ]);
  const facts = [
    ["open connections, handshakes included", count(summary.connections)],
    ["connections accepted", count(values.accepted)],
    ["health checks", count(values.probes)],
    ["sessions without a link", count(summary.sessions_detached)],
    ["sessions that wait for their position", count(summary.sessions_adopting)],
    ["sessions resumed", count(values.sessions_resumed)],
    ["clients with something to be sent", count(summary.waiting_clients)],
    ["groups", count(summary.groups)],
  ].filter(([, value]) => value !== UNKNOWN);
  const list = $("sessions");
  facts.forEach(([label, value], at) => {
    if (list.children.length <= 2 * at) list.append(element("dt"), element("dd"));
    say(list.children[2 * at], label);
    say(list.children[2 * at + 1], value);
  });
  say($("version"), summary.version);
  showCluster(summary.cluster, summary.time);
}

function showCluster(cluster, now) {
  $("cluster").hidden = !cluster;
  if (!cluster) return;
  const state = cluster.connected ? "connected to NATS" : "NATS is away: servers do not reach each other";
  const lost = cluster.messages_lost ? `, ${count(cluster.messages_lost)} messages between servers lost` : "";
  say($("cluster-state"), `${state}, ${count(cluster.clients)} clients in all${lost}`);
  const servers = Object.entries(cluster.servers).map(([id, server]) => ({ id, ...server, up: Math.max(0, now - server.started), self: id === cluster.server_id }));
  const columns = shownColumns(SERVER_COLUMNS, servers);
  const row = $("servers-heads").rows[0] ?? $("servers-heads").insertRow();
  if (row.cells.length !== columns.length) {
    row.replaceChildren(...columns.map(([, label, , kind]) => element("th", { scope: "col", class: kind ?? "" }, label)));
  }
  fill($("servers"), servers.map((server) => columns.map(([, , cell]) => cell(server))));
}

function showTable(table, all) {
  const shown = table.rows.length;
  const of = table.view.text ? `${count(table.matching)} that match, of ${count(all)}` : count(all);
  say($("shown"), shown < table.matching ? `the first ${count(shown)} of ${of}` : of);
  fill($("rows"), table.rows.map((row) => COLUMNS.map(([, , cell]) => cell(row))));
}

// What the page asks for

const view = { sort: "outbox_cost", order: "descending", text: "", limit: 30 };

for (const [key, label] of COLUMNS) {
  const mark = element("span", { "aria-hidden": "true" });
  const button = element("button", { type: "button" }, label, mark);
  const head = element("th", { scope: "col", "data-key": key, class: TEXTS.includes(key) ? "" : "number" }, button);
  button.addEventListener("click", () => {
    Object.assign(view, nextSort(view, key));
    markSorted();
    listen();
  });
  $("heads").append(head);
}

function markSorted() {
  for (const head of $("heads").cells) {
    const sorted = head.dataset.key === view.sort;
    if (sorted) head.setAttribute("aria-sort", view.order);
    else head.removeAttribute("aria-sort");
    say(head.querySelector("span"), sorted ? (view.order === "descending" ? " ▼" : " ▲") : "");
  }
}

let typed;
$("text").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    view.text = $("text").value.trim();
    listen();
  }, 300);
});

// The state of the page: connecting, live, lost (no figures come), refused, paused

let state = "connecting";
let seen = null; // when the last figures were made, as far as is known, of Date.now()
let least = Infinity; // the smallest time from when figures are made until they are here; two clocks
let events = null;

function become(next, words) {
  state = next;
  document.body.dataset.state = next;
  say($("status"), words);
  // The right end of a chart is now only while it is.
  const end = next === "live" ? "now" : seen === null ? "" : clock(seen);
  for (const label of document.querySelectorAll(".end")) say(label, end);
  tick();
}

const since = () => (seen === null ? "nothing seen yet" : `last seen ${clock(seen)}`);

function lose(reason) {
  if (state !== "paused") become("lost", `${reason}: ${since()}. What is below is old; trying again.`);
}

function tick() {
  const old = seen === null ? 0 : Date.now() - seen;
  if (state === "live" && old > STALE) lose("no figures come");
  say($("age"), seen !== null && ["lost", "refused", "paused"].includes(state) ? `(${duration(old / 1000)} ago)` : "");
}
setInterval(tick, 1000);

function listen() {
  events?.close();
  if (state === "paused") return;
  const after = points.at(-1)?.time ?? 0;
  const opened = new EventSource(`/events?${new URLSearchParams({ ...view, after })}`);
  events = opened;
  opened.addEventListener("history", (event) => {
    least = Infinity;
    points.push(...JSON.parse(event.data));
  });
  opened.addEventListener("look", (event) => {
    const { summary, table } = JSON.parse(event.data);
    points = merged(points, summary);
    const lag = Date.now() - summary.time * 1000;
    least = Math.min(least, lag);
    seen = Date.now() - (lag - least);
    if (lag - least > STALE) lose("figures come late");
    else if (state !== "live") become("live", "live");
    for (const chart of charts) chart.draw(points);
    showSummary(summary);
    $("clients").hidden = table === null;
    if (table) showTable(table, summary.clients);
  });
  opened.addEventListener("lost", (event) => lose(JSON.parse(event.data).reason));
  opened.onerror = () => {
    if (events !== opened) return;
    if (opened.readyState === EventSource.CLOSED) setTimeout(() => events === opened && enter(), RETRY);
    lose("the dashboard does not answer");
  };
}

// The token comes behind #, which the browser does not send, and goes as a header; then a cookie
// that no script can read stands for it.
async function enter() {
  if (state === "paused") return;
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  let answer;
  try {
    answer = await fetch("/enter", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  } catch {
    lose("the dashboard does not answer");
    setTimeout(enter, RETRY);
    return;
  }
  if ([401, 403, 421].includes(answer.status)) {
    become("refused", `not let in: ${(await answer.text()).trim()}`);
    return;
  }
  if (!answer.ok) {
    // A proxy before it, most likely.
    lose(`no answer from the dashboard but HTTP ${answer.status}`);
    setTimeout(enter, RETRY);
    return;
  }
  const { title, full } = await answer.json();
  if (full) {
    // The page that comes instead of the events of such a one cannot be read.
    lose("as many pages watch already as may; close one of them");
    setTimeout(enter, RETRY);
    return;
  }
  say($("title"), title);
  document.title = title;
  if (token) history.replaceState(null, "", "/");
  listen();
}

$("pause").addEventListener("click", () => {
  const pausing = state !== "paused";
  $("pause").setAttribute("aria-pressed", String(pausing));
  if (pausing) {
    events?.close();
    become("paused", `paused: ${since()}`);
  } else {
    become("connecting", "connecting");
    enter();
  }
});

markSorted();
enter();
