// The shop's clock: counts down, and opens or closes the page on time without a request.
// `shopClock.measure(server, sent, received)` sets it by any response that carries the server's time, in ms.
"use strict";

const shopClock = (() => {
  const JUMP = 1000; // ms of drift between the browser's two clocks: the machine slept, or its clock was set
  const AGE = (10 + 5 * Math.random()) * 60_000; // ms after which the quartz's drift may be visible
  const QUIET = 30_000; // ms before a turn, and after a request for the time, without another request
  const SOON = 1000; // ms

  const { lang } = document.documentElement;
  const locale = lang === "en" ? "en-GB" : lang; // as the server writes dates

  let offset = 0; // ms from the browser's clock to the shop's
  let measuredAt = 0; // by performance.now(), which cannot be set
  let apart = 0;
  let askedAt = -Infinity;

  const apartNow = () => Date.now() - performance.now();
  const now = () => Date.now() + offset;

  // Cristian's algorithm: assumes that the server read its clock midway between sending and receiving.
  function measure(server, sent, received) {
    offset = server - (sent + received) / 2;
    measuredAt = performance.now();
    apart = apartNow();
  }

  // The first measurement uses the loading of the page, without a request.
  function measurePage(server) {
    const [loading] = performance.getEntriesByType("navigation");
    const began = apartNow(); // not `timeOrigin`: the clock may have been set since then
    if (loading?.responseStart > 0) {
      measure(server, began + loading.requestStart, began + loading.responseStart);
    } else {
      measure(server, Date.now(), Date.now());
    }
  }

  const slept = () => Math.abs(apartNow() - apart) > JUMP;
  const since = (moment) => performance.now() - moment;

  // --- Counting down -----------------------------------------------------------------------------

  const unit = (amount, name) =>
    new Intl.NumberFormat(locale, { style: "unit", unit: name, unitDisplay: "long" }).format(amount);

  function inWords(milliseconds) {
    const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
    const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
    const padded = [hours, minutes, seconds % 60].map((part) => String(part).padStart(2, "0"));
    return (days ? `${unit(days, "day")} ` : "") + padded.join(":");
  }

  function show(line, state) {
    const { phase, until } = state.dataset;
    line.hidden = !["upcoming", "entering", "open"].includes(phase);
    for (const words of line.querySelectorAll("[data-when]")) words.hidden = words.dataset.when !== phase;
    line.querySelector("strong").textContent = inWords(until - now());
  }

  // --- Turning -----------------------------------------------------------------------------------

  // The page already holds its next state: a crowd that waits for the opening sends no request then.
  function turnIfDue(state) {
    const next = state.querySelector("template[data-at]");
    if (!next || now() < next.dataset.at) return false;
    state.replaceWith(next.content.cloneNode(true));
    return true;
  }

  let timer;

  function tick(line, turned, ask) {
    clearTimeout(timer);
    let state = document.getElementById("state");
    if (!slept() && turnIfDue(state)) {
      state = document.getElementById("state");
      turned();
    }
    show(line, state);
    const left = state.dataset.until - now();
    const stale = slept() || (since(measuredAt) > AGE && left > QUIET);
    if (stale && !document.hidden && since(askedAt) > QUIET) {
      askedAt = performance.now();
      ask();
    }
    const wait = left > 0 && state.dataset.until ? Math.min(SOON, left % 1000 || SOON, left) : SOON;
    timer = setTimeout(tick, wait, line, turned, ask);
  }

  // Calls `turned` after the page opened or closed by itself, and `ask` to request the server's time.
  function run(page, turned, ask) {
    measurePage(Number(page.dataset.now));
    const again = () => tick(page.querySelector(".countdown"), turned, ask);
    document.addEventListener("visibilitychange", () => {
      askedAt = performance.now(); // shop.js already asks when the page becomes visible
      again();
    });
    again();
  }

  return { inWords, locale, measure, measurePage, now, run };
})();
