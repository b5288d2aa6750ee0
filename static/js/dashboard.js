// Complements htmx on the dashboard: draws the charts, shows the result of each control, and marks figures
// that are not updated. shop.js handles the socket, and polls without it.
"use strict";

{
  const board = document.querySelector(".dashboard");
  const STALE = 4000; // ms without new figures until they are marked as stale
  const SPAN = 600; // seconds
  const SENT_AWAY = 4403; // the socket's close code: logged out, or not permitted any more (dashboard/live.py)

  // --- Charts ----------------------------------------------------------------------------------

  const PLOTS = {
    clicks: (name) => columns.indexOf(name) < columns.indexOf("settled"),
    settled: (name) => ["accepted", "settled"].includes(name),
    latency: (name) => columns.indexOf(name) > columns.indexOf("settled"),
  };
  const DASHES = { p95: [8, 4], p99: [3, 4] };
  const points = new Map(); // second: row
  let columns = []; // the names of a row's values after its second
  let redraws = [];

  const colour = (name) => getComputedStyle(board).getPropertyValue(name).trim();

  function series(name) {
    const number = /^(settled|confirmed)/.test(name) ? 5 : /^accepted/.test(name) ? 0 : columns.indexOf(name);
    return {
      label: name,
      stroke: colour(`--series-${number}`),
      dash: DASHES[name.slice(-3)],
      width: 2,
      points: { show: false },
      value: (_, value) => (value == null ? "–" : Math.round(value * 10) / 10),
    };
  }

  function plot(box) {
    const names = columns.filter(PLOTS[box.dataset.plot]);
    const utc = (_, seconds) => seconds.map((second) => new Date(second * 1000).toISOString().slice(11, 19));
    const axis = { stroke: colour("--ink-soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const size = () => ({ width: box.clientWidth, height: 200 });
    const chart = new uPlot(
      {
        ...size(),
        series: [{ label: "UTC", value: (_, second) => (second ? utc(_, [second])[0] : "–") }, ...names.map(series)],
        axes: [{ ...axis, values: utc, space: 80 }, { ...axis, size: 56 }],
        scales: { y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.1] } },
      },
      table(names),
      box,
    );
    new ResizeObserver(() => chart.setSize(size())).observe(box);
    return () => chart.setData(table(names));
  }

  function table(names) {
    const rows = [...points.values()].sort((a, b) => a[0] - b[0]);
    return [rows.map((row) => row[0]), ...names.map((name) => rows.map((row) => row[1 + columns.indexOf(name)]))];
  }

  function take(rows) {
    for (const row of rows) points.set(row[0], row);
    const newest = Math.max(...points.keys());
    for (const at of points.keys()) if (at <= newest - SPAN) points.delete(at);
    for (const redraw of redraws) redraw();
  }

  // Fetches all points, at first and after each gap of the socket.
  async function takeHistory() {
    const answer = await fetch(board.dataset.history, { headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const history = await answer.json();
    if (!columns.length) {
      columns = history.columns;
      redraws = [...board.querySelectorAll("[data-plot]")].map(plot);
    }
    take(history.points);
  }

  document.addEventListener("htmx:wsOpen", takeHistory);
  takeHistory();

  // --- New figures -----------------------------------------------------------------------------

  let shown = "";
  let silence;

  function renewed() {
    const shop = document.getElementById("shop");
    if (shop.dataset.at === shown) return;
    shown = shop.dataset.at;
    take(JSON.parse(shop.dataset.points));
    holdStill();
    followLineup();
    board.classList.remove("stale");
    clearTimeout(silence);
    silence = setTimeout(() => board.classList.add("stale"), STALE);
  }

  // When a sale's phase changes, other controls move under the finger: disable them for a moment.
  const REST = 1500; // ms
  const phases = new Map();
  function holdStill() {
    for (const figures of board.querySelectorAll(".desk .figures")) {
      const { phase, status } = figures.dataset;
      const now = `${phase} ${status}`;
      const controls = figures.closest(".desk").querySelector("header .controls");
      if (controls && phases.has(figures.id) && phases.get(figures.id) !== now) {
        controls.inert = true;
        setTimeout(() => (controls.inert = false), REST);
      }
      phases.set(figures.id, now);
    }
  }

  // Reloads all desks when a sale came or left, but not while a form is open or filled in.
  function followLineup() {
    const wanted = document.getElementById("lineup").dataset.sales.trim();
    const here = [...board.querySelectorAll("[data-sale]")].map((desk) => desk.dataset.sale).join(" ");
    const busy = document.activeElement?.closest("#sales form, #sales details") || isFilledIn();
    board.querySelector(".lineup-changed").hidden = wanted === here || !busy;
    if (wanted === here || busy) return;
    htmx.ajax("GET", location.pathname, { source: board, target: "#sales", select: "#sales", swap: "outerHTML" });
  }

  // Not compared with `defaultValue`: browsers write 18:00:00 as 18:00.
  document.addEventListener("focusin", ({ target }) => {
    if (target.matches("#sales input, #sales select")) target.dataset.began ??= target.value;
  });

  function isFilledIn() {
    const fields = [...board.querySelectorAll("#sales [data-began]")];
    return board.querySelector("#sales details[open]") || fields.some((field) => field.value !== field.dataset.began);
  }

  for (const moved of ["htmx:wsAfterMessage", "htmx:afterSettle"]) document.addEventListener(moved, renewed);
  renewed();

  // --- Controls --------------------------------------------------------------------------------

  // Shows a message if the answer is not a result of the dashboard, such as a 403, or a proxy's page.
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    const { elt, xhr } = event.detail;
    if (!elt.matches(".desk form") || xhr.response.includes('class="result"')) return;
    event.preventDefault();
    const refused = xhr.status === 403;
    say(elt, "refused", refused ? "You may not do this, or are logged out. Nothing was changed." : `The server answered ${xhr.status}. See the audit before you repeat this.`);
  });
  for (const lost of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(lost, ({ detail: { elt } }) => {
      if (elt.matches(".desk form")) say(elt, "unsure", "No answer came. See the audit before you repeat this.");
    });
  }

  function say(form, kind, words) {
    const line = document.querySelector(form.getAttribute("hx-target"));
    line.hidden = false;
    line.dataset.kind = kind;
    line.textContent = words;
    line.focus({ preventScroll: true });
  }

  // The pressed control may be hidden now: move the keyboard's focus to its result.
  document.addEventListener("htmx:afterSettle", ({ detail: { elt } }) => {
    if (elt.matches(".result")) elt.focus({ preventScroll: true });
  });
  document.addEventListener("htmx:afterRequest", ({ detail: { elt, xhr } }) => {
    if (!elt.matches(".desk form") || xhr.status < 200 || xhr.status >= 300) return; // keep the typed values
    elt.closest("details")?.removeAttribute("open");
    for (const used of elt.querySelectorAll("input[name=units], input[name=reason]")) used.value = "";
    for (const field of elt.elements) delete field.dataset.began;
  });

  // --- Disconnected ----------------------------------------------------------------------------

  const signedOut = board.querySelector(".signed-out");
  document.addEventListener("htmx:wsClose", ({ detail: { event } }) => {
    if (event.code === SENT_AWAY) signedOut.hidden = false;
  });
  document.addEventListener("htmx:wsOpen", () => (signedOut.hidden = true));
}
