// What figures.mjs makes of figures. Run by test_figures.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as figures from "../../src/sealframe/dashboard/page/figures.mjs";

const { UNKNOWN } = figures;

test("numbers have units, and what is not known is a dash", () => {
  assert.equal(figures.count(1234567.2), "1,234,567");
  assert.equal(figures.rate(12.34), "12.3/s");
  assert.equal(figures.rate(1234.5), "1,235/s");
  assert.equal(figures.rate(0), "0/s");
  assert.deepEqual([1023, 1024, 1536, 150 * 1024 ** 3, 2 ** 60].map(figures.size), [
    "1,023 B", "1 KiB", "1.5 KiB", "150 GiB", "1,048,576 TiB",
  ]);
  assert.equal(figures.speed(2048), "2 KiB/s");
  assert.equal(figures.millis(0.0123456), "12.3 ms");
  assert.deepEqual([0, 59.9, 60, 3600, 90061].map(figures.duration), ["0 s", "59 s", "1 min 0 s", "1 h 0 min", "1 d 1 h"]);
  for (const show of ["count", "rate", "size", "speed", "millis", "duration"]) {
    assert.equal(figures[show](null), UNKNOWN, show);
    assert.equal(figures[show](undefined), UNKNOWN, show);
  }
});

test("the top of a chart is a round number that is not below", () => {
  assert.deepEqual([0, 0.3, 1, 1.1, 30, 501].map(figures.nice), [1, 0.5, 1, 2, 50, 1000]);
  assert.deepEqual([0, 1, 3, 1025].map(figures.niceSize), [1, 1, 4, 2048]);
});

test("what came between two looks of a counter", () => {
  const dropped = figures.between("dropped");
  assert.equal(dropped({ time: 12, dropped: 9 }, { time: 10, dropped: 5 }), 2);
  assert.equal(dropped({ time: 12, dropped: 9 }, undefined), null, "the first look");
  assert.equal(dropped({ time: 20, dropped: 9 }, { time: 10, dropped: 5 }), null, "nobody watched");
  assert.equal(dropped({ time: 12, dropped: 1 }, { time: 10, dropped: 5 }), null, "it was started again");
  assert.equal(dropped({ time: 12, dropped: null }, { time: 10, dropped: null }), null, "not known");
});

test("a line has gaps where nothing is known, and one point makes no area", () => {
  const line = [[10, 0], [11, 1], [12, null], [13, 1], [20, 2]];
  assert.equal(figures.path(line, 310, 2), "M0.0 78.0L1.0 41.0M3.0 41.0M10.0 4.0");
  assert.equal(figures.area(line, 310, 2), "M0.0 78.0L0.0 78.0L1.0 41.0L1.0 78.0Z");
  assert.equal(figures.path([], 310, 1), "");
});

test("looks of five minutes are kept, each once", () => {
  const at = (...times) => times.map((time) => ({ time }));
  assert.deepEqual(figures.merged([], { time: 5 }), at(5));
  assert.deepEqual(figures.merged(at(1, 2), { time: 2 }), at(1, 2), "the last of the history comes again");
  assert.deepEqual(figures.merged(at(1, 2, 3), { time: 302 }), at(3, 302), "what is old goes");
  assert.deepEqual(figures.merged(at(1, 900), { time: 2 }), at(1, 2), "the server's clock was set back");
  const before = at(1);
  figures.merged(before, { time: 2 });
  assert.deepEqual(before, at(1), "what was given stays as it is");
});

test("counters begin at 0 with a server that was started again", () => {
  let seen = figures.remembered([], 10, { dropped: 5 });
  assert.deepEqual(seen, [[10, { dropped: 5 }]]);
  seen = figures.remembered(seen, 11, { dropped: 7 });
  assert.deepEqual(seen[0], [10, { dropped: 5 }]);
  assert.deepEqual(figures.remembered(seen, 310.5, { dropped: 8 })[0], [11, { dropped: 7 }], "what is old goes");
  assert.deepEqual(figures.remembered(seen, 12, { dropped: 2 }), [[12, {}], [12, { dropped: 2 }]]);
});

test("a click sorts by a head, and another one turns it round", () => {
  const click = figures.nextSort;
  assert.deepEqual(click({ sort: "id", order: "ascending" }, "latency"), { sort: "latency", order: "descending" });
  assert.deepEqual(click({ sort: "latency", order: "descending" }, "latency"), { sort: "latency", order: "ascending" });
  assert.deepEqual(click({ sort: "latency", order: "ascending" }, "latency"), { sort: "latency", order: "descending" });
  assert.deepEqual(click({ sort: "latency", order: "descending" }, "name"), { sort: "name", order: "ascending" });
});

test("a column is shown where a server tells of it", () => {
  const columns = [["label"], ["answer"], ["latency"]];
  assert.deepEqual(figures.shownColumns(columns, [{ label: "a" }, { label: "b", latency: null }]), [["label"], ["latency"]]);
});
