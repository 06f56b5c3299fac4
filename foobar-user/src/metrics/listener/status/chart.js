"use strict";
// Charts: SVG, drawn anew with each reading. One point a second, the newest at the right edge.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300, HEIGHT = 100;

/** A number with three digits at most and a unit: 0, 1.2, 340, 12.3k, 4.5M. */
function short(value) {
  if (value >= 999950) return (value / 1e6).toFixed(1) + "M";
  if (value >= 9999.5) return (value / 1e3).toFixed(1) + "k";
  if (value >= 99.95) return value.toFixed(0);
  if (value >= 0.05) return value.toFixed(1);
  return value > 0 ? "<0.1" : "0";
}

/** The same for the end of an axis, which is a round number. */
const round = value => short(value).replace(/\.0(?=[kM]?$)/, "");

/** Milliseconds as people say them. */
function time(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms >= 9995) return (ms / 1000).toFixed(0) + " s";
  if (ms >= 999.5) return (ms / 1000).toFixed(1) + " s";
  if (ms >= 99.5) return ms.toFixed(0) + " ms";
  return ms >= 0.95 ? ms.toFixed(1) + " ms" : (ms * 1000).toFixed(0) + " µs";
}

/** The next number of the form 1, 2 or 5 times a power of ten: the top of the axis. */
function ceiling(value, least) {
  const top = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(top));
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= top * 0.999) ?? top;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Where point `index` of `count` stands, if the axis holds `span` points. */
const across = (index, count, span) => (span - count + index) / (span - 1) * WIDTH;
const up = (value, top) => HEIGHT - value / top * HEIGHT;

/** The path of a line that breaks where there is no value; a value on its own is a dot. */
function line(points, span, top) {
  let path = "", open = false;
  points.forEach((value, index) => {
    if (value === null) { open = false; return; }
    const x = across(index, points.length, span).toFixed(1), y = up(value, top).toFixed(1);
    path += open ? `L${x} ${y}` : `M${x} ${y}`;
    if (!open && (points[index + 1] ?? null) === null) path += "h0.01";
    open = true;
  });
  return path;
}

/** The area between two lines that have all their values. */
function area(upper, lower, span, top) {
  if (upper.length < 2) return "";
  const at = (values, index) => `${across(index, upper.length, span).toFixed(1)} ${up(values[index], top).toFixed(1)}`;
  const there = upper.map((_, index) => at(upper, index));
  const back = upper.map((_, index) => at(lower, index)).reverse();
  return `M${there.join("L")}L${back.join("L")}Z`;
}

/** An empty plot with its grid; `label` says in words what it shows. */
function plot(label) {
  const made = shape("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const y of [0, HEIGHT / 2, HEIGHT]) made.append(shape("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }));
  return made;
}

/** Lines in one plot; the first has its area filled if it has all its values. */
function lines(series, span, top, label) {
  const made = plot(label);
  for (const { points, kind, filled } of series) {
    if (filled) made.append(shape("path", { class: `area ${kind}`, d: area(points, points.map(() => 0), span, top) }));
    made.append(shape("path", { class: `line ${kind}`, d: line(points, span, top) }));
  }
  return made;
}

/** Areas on top of each other. */
function stack(series, span, top, label) {
  const made = plot(label);
  let lower = (series[0]?.points ?? []).map(() => 0);
  for (const { points, kind } of series) {
    const upper = points.map((value, index) => value + lower[index]);
    made.append(shape("path", { class: kind, "fill-opacity": ".8", d: area(upper, lower, span, top) }));
    lower = upper;
  }
  return made;
}

/** A plot with what its height and its width mean. */
function framed(picture, top, span) {
  const past = span >= 120 && span % 60 === 0 ? `${span / 60} min ago` : `${span} s ago`;
  return element("div", { class: "frame" },
    element("span", { class: "top", "aria-hidden": "true" }, top), picture,
    element("div", { class: "axis", "aria-hidden": "true" }, element("span", {}, past), element("span", {}, "now")));
}
