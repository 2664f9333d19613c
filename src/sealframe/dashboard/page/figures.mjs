// Figures of the dashboard: as text, as lines of a chart, and what is remembered of them. No page, no clock.

export const WINDOW = 300; // seconds that charts show
export const STALE = 3000; // milliseconds without an event after which figures are old

// Numbers with units

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
export const UNKNOWN = "–";

const known = (show) => (value) => (value === null || value === undefined ? UNKNOWN : show(value));
export const count = known((value) => whole.format(value));
const few = (value) => (value !== 0 && Math.abs(value) < 100 ? tenth : whole).format(value);
export const rate = known((value) => `${few(value)}/s`);
export const size = known((value) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? few(value) : whole.format(value)} ${units[unit]}`;
});
export const speed = known((value) => `${size(value)}/s`);
export const millis = known((value) => `${new Intl.NumberFormat("en", { maximumSignificantDigits: 3 }).format(value * 1000)} ms`);
export const duration = known((value) => {
  const [d, h, m] = [Math.floor(value / 86400), Math.floor(value / 3600) % 24, Math.floor(value / 60) % 60];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min ${Math.floor(value) % 60} s` : `${Math.floor(value)} s`;
});
export const clock = (when) => new Date(when).toLocaleTimeString("en-GB");

export function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? value;
}

export function niceSize(value) {
  return value <= 1 ? 1 : 2 ** Math.ceil(Math.log2(value));
}

// Of counters, what came between two looks; a server that was started again begins at 0.
export function between(name) {
  return (point, before) => {
    const seconds = before ? point.time - before.time : 0;
    if (!(seconds > 0 && seconds < STALE / 1000) || point[name] === null || point[name] < before[name]) return null;
    return (point[name] - before[name]) / seconds;
  };
}

const place = ([time, value], now, top) =>
  `${(300 - ((now - time) / WINDOW) * 300).toFixed(1)} ${(78 - (value / top) * 74).toFixed(1)}`;

// Where nobody watched, or a value is not known, there is a gap.
function runs(line) {
  const found = [];
  let before = -Infinity;
  for (const point of line) {
    if (point[1] === null) {
      before = -Infinity;
      continue;
    }
    if (point[0] - before > STALE / 1000) found.push([]);
    found.at(-1).push(point);
    before = point[0];
  }
  return found;
}

export const path = (line, now, top) =>
  runs(line).map((run) => `M${run.map((point) => place(point, now, top)).join("L")}`).join("");

export const area = (line, now, top) =>
  runs(line)
    .filter((run) => run.length > 1)
    .map((run) => `M${place([run[0][0], 0], now, top)}L${run.map((point) => place(point, now, top)).join("L")}L${place([run.at(-1)[0], 0], now, top)}Z`)
    .join("");

// What is remembered

// The looks of the last five minutes and a new one. What is newer is of a clock that was set back.
export function merged(points, point) {
  const all = points.at(-1)?.time === point.time ? points : [...points, point];
  return all.filter(({ time }) => time > point.time - WINDOW && time <= point.time);
}

// Counters by when they were seen, [[time, values]]: those of the last five minutes and new ones.
export function remembered(seen, time, values) {
  // A counter that went down is that of a server which was started again, and began at 0.
  const before = seen.at(-1)?.[1] ?? {};
  const again = Object.keys(values).some((key) => values[key] < before[key]);
  const since = again ? [[time, {}]] : seen;
  return [...since, [time, values]].filter(([when]) => when > time - WINDOW);
}

// What is shown of tables

export const TEXTS = ["id", "name", "address", "seal", "groups"];

// The order after a click on a head: the usual one first, then the other.
export function nextSort({ sort, order }, key) {
  const usual = TEXTS.includes(key) ? "ascending" : "descending";
  const other = usual === "ascending" ? "descending" : "ascending";
  return { sort: key, order: sort === key && order === usual ? other : usual };
}

// What nobody tells of its servers has no column. The first part of each column is its key.
export const shownColumns = (columns, servers) => columns.filter(([key]) => servers.some((server) => key in server));
