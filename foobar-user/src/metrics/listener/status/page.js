// What the page shows, and when it asks for it: once a second while somebody can see it.

const PERIOD = 1000, KEPT = 300, LATE = 5;
const find = id => document.getElementById(id);

let past = { id: 0, last: 0 }, tracks = {}, span = 300, width = 60, shown = null, answeredAt = null, timer = null;

/** Sets a text, if it is another one: a page that stands still is left alone. */
function say(id, text) {
  const place = find(id);
  if (place.textContent !== text) place.textContent = text;
}

/** Joins what came to what is known of a series. */
function extend(name, points, fresh) {
  if (!points) { delete tracks[name]; return; }
  const known = fresh ? [] : tracks[name] ?? [];
  tracks[name] = known.concat(points).slice(-KEPT);
}

function take(live) {
  const fresh = live.history.id !== past.id;
  if (fresh) tracks = {};
  extend("passed", live.packets.passed_history, fresh);
  extend("dropped", live.packets.dropped_history, fresh);
  for (const port of live.ports) {
    extend(`connections ${port.port}`, port.connections_history, fresh);
    extend(`requests ${port.port}`, port.requests_history, fresh);
    extend(`p50 ${port.port}`, port.response_history?.p50, fresh);
    extend(`p95 ${port.port}`, port.response_history?.p95, fresh);
  }
  // A reason that counts for the first time has a shorter past than the rest.
  const length = tracks.dropped.length;
  for (const reason of live.reasons) {
    extend(`reason ${reason.reason}`, reason.rate_history, fresh);
    const known = tracks[`reason ${reason.reason}`];
    tracks[`reason ${reason.reason}`] = Array(Math.max(length - known.length, 0)).fill(0).concat(known);
  }
  past = { id: live.history.id, last: live.history.last };
}

const recent = name => (tracks[name] ?? []).slice(-span);
const sum = values => values.reduce((total, value) => total + value, 0);
const most = points => Math.max(0, ...points.filter(value => value !== null));

/** How long ago a moment (seconds since 1970) was, in its largest unit. */
function ago(moment) {
  const seconds = Math.max(0, Date.now() / 1000 - moment);
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** A chart under its name and value; `other` names a second line. */
function chart(title, value, other, picture, top, kind) {
  const key = element("span", { class: `key ${kind}` }, element("i"), element("span", { class: "quiet" }, title), element("b", {}, value));
  const name = element("div", { class: "name" }, key);
  if (other) name.append(other);
  return element("div", { class: "chart" }, name, framed(picture, top, width));
}

function rateChart(port) {
  const asked = port.requests !== null;
  const points = recent(`${asked ? "requests" : "connections"} ${port.port}`);
  const rate = (asked ? port.requests : port.connections)["1s"];
  const [title, kind] = asked ? ["Requests/s", "request"] : ["Connections/s", "connection"];
  const top = ceiling(most(points), 1);
  const label = `${title} on port ${port.port}: ${short(rate)} now, ${short(most(points))} at most in the time shown`;
  return chart(title, short(rate), null, lines([{ points, kind, filled: true }], width, top, label), round(top), kind);
}

function timeChart(port) {
  const [middle, slow] = [recent(`p50 ${port.port}`), recent(`p95 ${port.port}`)];
  const top = ceiling(Math.max(most(middle), most(slow)), 0.1);
  const { p50, p95 } = port.response;
  const label = `Time to first byte on port ${port.port}: median ${time(p50)}, 95th percentile ${time(p95)}`;
  const key = element("span", { class: "key tail" }, element("i"), element("span", { class: "quiet" }, "p95"), element("b", {}, time(p95)));
  const picture = lines([{ points: slow, kind: "tail" }, { points: middle, kind: "median" }], width, top, label);
  return chart("Response p50", time(p50), key, picture, time(top).replace(".0", ""), "median");
}

function portCard(port) {
  const facts = element("span", { class: "facts" });
  const say = (name, value) => facts.append(facts.childNodes.length ? " · " : "", `${name} `, element("b", {}, value));
  say("open", String(port.open));
  if (port.requests !== null) say("connections", `${short(port.connections["1s"])}/s`);
  if (port.handshake.p50 !== null) say("network", time(port.handshake.p50));
  if (port.dropped > 0) say("dropped", `${short(port.dropped)}/s`);
  const charts = element("div", { class: port.response ? "charts" : "charts single" }, rateChart(port));
  if (port.response) charts.append(timeChart(port));
  const title = port.port === "other" ? "Other ports" : `Port ${port.port}`;
  return element("article", { class: "card port" }, element("header", {}, element("h3", {}, title), facts), charts);
}

function showPorts(live) {
  const used = port => port.port !== "other" || port.open > 0 || port.requests !== null || most(tracks[`connections ${port.port}`]) > 0;
  find("ports").replaceChildren(...live.ports.filter(used).map(portCard));
  say("quiet-ports", live.ports.some(used) ? "" : "No port is named by a rule, and nobody has connected yet.");
}

function showDrops(live) {
  const kinds = Math.min(live.reasons.length, 6);
  const series = live.reasons.slice(0, kinds).map((reason, index) => ({ points: recent(`reason ${reason.reason}`), kind: `c${index}` }));
  if (live.reasons.length > 6) {
    // The sixth colour stands for all that are left.
    const rest = live.reasons.slice(5).map(reason => recent(`reason ${reason.reason}`));
    series[5].points = rest[0].map((_, index) => sum(rest.map(points => points[index] ?? 0)));
  }
  const total = (series[0]?.points ?? []).map((_, index) => sum(series.map(({ points }) => points[index] ?? 0)));
  const top = ceiling(most(total), 1);
  const label = `Packets dropped a second, by reason: ${short(live.packets.dropped)} now`;
  find("drops-chart").replaceChildren(framed(stack(series, width, top, label), `${round(top)}/s`, width));
  const rows = live.reasons.map((reason, index) => element("tr", {},
    element("th", { scope: "row" }, element("span", { class: `swatch c${Math.min(index, 5)}`, "aria-hidden": "true" }), reason.reason, element("small", {}, reason.meaning)),
    element("td", { class: "number" }, short(reason.rate)), element("td", { class: "number" }, short(reason.total))));
  find("reasons").replaceChildren(...(rows.length ? rows : [element("tr", {}, element("td", { colspan: 3, class: "quiet" }, "Nothing was dropped since the counters were made."))]));
}

function showTables(live) {
  find("interfaces").replaceChildren(...live.attachments.map(at => {
    const state = at.attached ? ["good", "yes"] : ["bad", "no"];
    const mode = element("td", {}, element("span", { class: at.mode === "generic" ? "tag warn" : "tag" }, at.mode));
    if (at.note) mode.append(element("small", {}, at.note));
    return element("tr", {}, element("th", { scope: "row" }, at.interface), element("td", {}, at.program), mode, element("td", {}, element("span", { class: `tag ${state[0]}` }, state[1])));
  }));
  const lists = live.lists.map(list => element("tr", {}, element("th", { scope: "row" }, list.name), element("td", {}, list.kind === "allow" ? "allowlist" : "blocklist"),
    element("td", { class: "number" }, list.ipv4.toLocaleString("en")), element("td", { class: "number" }, list.ipv6.toLocaleString("en"))));
  find("lists").replaceChildren(...(lists.length ? lists : [element("tr", {}, element("td", { colspan: 4, class: "quiet" }, "The configuration has no lists."))]));
}

function showTiles(live) {
  const asked = live.ports.filter(port => port.requests !== null);
  const mean = (ports, kind, window) => sum(ports.map(port => port[kind][window]));
  const note = (ports, kind) => `10 s: ${short(mean(ports, kind, "10s"))} · 60 s: ${short(mean(ports, kind, "60s"))}`;
  say("requests", asked.length ? short(mean(asked, "requests", "1s")) : "–");
  say("requests-note", asked.length ? note(asked, "requests") : "not observed");
  say("connections", short(mean(live.ports, "connections", "1s")));
  say("connections-note", note(live.ports, "connections"));
  say("dropped-title", live.mode === "audit" ? "Would be dropped" : "Dropped");
  say("dropped", short(live.packets.dropped));
  say("dropped-note", `${short(live.packets.passed)}/s passed`);
  say("mode", live.mode);
  say("policy-note", `generation ${live.generation}, for ${ago(live.applied_at)}`);
}

/** The word in the corner, and what needs attention. */
function showState(live, gone) {
  const notices = [];
  if (gone) notices.push(["bad", `foobar has not answered since ${answeredAt ? answeredAt.toLocaleTimeString() : "this page was opened"}. A filter that was in force stays so without its daemon; these numbers are old.`]);
  if (live?.problem) notices.push(["bad", live.problem]);
  if (live && live.age > LATE) notices.push(["bad", `The counters were read last ${Math.round(live.age)} s ago; the daemon's log says why.`]);
  for (const warning of live?.warnings ?? []) notices.push(["warn", warning]);
  const [kind, word] = gone ? ["bad", "no answer"] : notices.some(([kind]) => kind === "bad") ? ["bad", "failing"] : notices.length ? ["warn", notices.length === 1 ? "1 warning" : `${notices.length} warnings`] : ["good", "healthy"];
  find("state").className = `state ${kind}`;
  say("state-text", word);
  document.body.classList.toggle("gone", gone);
  const texts = notices.map(([kind, text]) => kind + text).join("\n");
  if (find("notices").dataset.texts !== texts) {
    find("notices").dataset.texts = texts;
    find("notices").replaceChildren(...notices.map(([kind, text]) => element("p", { class: `notice ${kind}` }, text)));
  }
  document.title = `${gone ? "✕ " : kind === "good" ? "" : "! "}foobar · ${location.hostname}`;
}

function draw(live) {
  // Full minutes, and no more than there are: a daemon that has just started has no empty charts.
  width = Math.min(span, Math.max(60, Math.ceil((tracks.dropped?.length ?? 0) / 60) * 60));
  showTiles(live); showPorts(live); showDrops(live); showTables(live);
  say("host", location.host);
  say("version", `foobar ${live.version}, started ${ago(live.started_at)} ago`);
  say("updated", live.time ? `counters of ${new Date(live.time * 1000).toLocaleTimeString()}` : "no reading yet");
}

async function ask() {
  const stop = AbortSignal.timeout(5000);
  try {
    const answer = await fetch(`/api/live?id=${past.id}&after=${past.last}`, { cache: "no-store", signal: stop });
    if (!answer.ok) throw new Error(answer.statusText);
    const live = await answer.json();
    answeredAt = new Date();
    shown = live;
    take(live);
    draw(live);
    showState(live, false);
  } catch {
    showState(shown, true);
  }
}

async function go() {
  clearTimeout(timer);
  timer = null;
  if (document.hidden) return;
  await ask();
  // Hidden meanwhile, or begun again by its return.
  if (!document.hidden && timer === null) timer = setTimeout(go, PERIOD);
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    span = Number(button.dataset.span);
    for (const other of document.querySelectorAll("[data-span]")) other.setAttribute("aria-pressed", String(other === button));
    if (shown) draw(shown);
  });
}
document.addEventListener("visibilitychange", go);
go();
