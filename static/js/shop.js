// What htmx does not do by itself: a final answer stays, a click whose reply was lost is sent again, so
// is a purchase that was lost with Redis' disk, buttons follow the sale, two tabs agree, and a page
// without its socket asks slowly. A ticket buys at most once, so sending one again is always safe.
"use strict";

const FINAL = ["confirmed", "rejected", "cancelled"];
const BOUGHT = { queued: "queued", confirmed: "done", cancelled: "done" }; // what such a form's button says
const POLL = 8000; // ms between the questions of a page without a socket
const FIRST_RETRY = 1000; // ms until a click without an answer is sent again; then twice as long, and so on
const LONGEST_RETRY = 15_000;
const RETRIES = 30; // some six minutes
const BLINK = 2000; // ms for which a missing socket is not worth a word: leaving a page closes it too
const REDIALLED = [1006, 1011, 1012, 1013]; // after these, htmx opens the socket again by itself

const about = (ms) => ms * (0.75 + Math.random() / 2); // a crowd that fell out together comes back in turn

const page = document.querySelector("[data-live]");

// A text that is set again is another one for a screen reader.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function say(element, what) {
  for (const words of element.querySelectorAll("[data-when]")) words.hidden = words.dataset.when !== what;
}

// What the server has put into a template of the page, once for all forms.
const wordsFor = (template, what) => document.getElementById(template).content.querySelector(`[data-when="${what}"]`);

// --- Frames ------------------------------------------------------------------------------------

// A frame may speak of what this page does not show: a product that joined later, or a purchase of
// another tab, which is put where this page would show it.
htmx.defineExtension("here", {
  transformResponse(html) {
    if (!html.includes("hx-swap-oob")) return html;
    const frame = document.createElement("template");
    frame.innerHTML = html;
    for (const part of [...frame.content.children]) {
      if (!document.getElementById(part.id)) part.replaceWith(...adopted(part));
    }
    return frame.innerHTML;
  },
});

function adopted(part) {
  const form = part.matches(".outcome[data-sku]") && formOf(part.dataset.sku);
  if (!form) return [];
  const list = document.createElement("div");
  list.setAttribute("hx-swap-oob", `afterbegin:[id='${form.closest(".product").querySelector(".own").id}']`);
  const box = part.cloneNode(true);
  box.removeAttribute("hx-swap-oob");
  if (box.dataset.status === "rejected") box.removeAttribute("hx-get"); // this page's form is still good
  list.append(box);
  return [list];
}

const formOf = (sku) =>
  [...document.querySelectorAll("form.buy")].find((form) => [...form.querySelectorAll("[name=product]")].some((field) => field.value === sku));

// What looks the same stays: a screen reader need not say it again. A final answer stays, too.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { fragment, target } = event.detail;
  const part = fragment.firstElementChild;
  const late = FINAL.includes(target.dataset.status) && part?.dataset.status === "queued";
  if (late || part?.isEqualNode(target)) event.detail.shouldSwap = false;
  else announce(target, part);
});

// Not every unit: only when a stock has come to another of its levels.
function announce(old, fresh) {
  const announcer = document.getElementById("announcer");
  if (!announcer || !old.matches(".stock") || old.dataset.level === fresh?.dataset.level) return;
  const name = old.closest(".product")?.querySelector("h2")?.textContent ?? "";
  const option = old.closest("label")?.querySelector(".name")?.textContent ?? "";
  announcer.textContent = `${name} ${option}: ${fresh.querySelector(".words").textContent}`;
}

// --- Answers -----------------------------------------------------------------------------------

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, serverResponse } = event.detail;
  const final = FINAL.includes(target.dataset?.status);
  if (final && /data-status="queued"/.test(serverResponse)) event.detail.shouldSwap = false;
});

document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { elt, xhr } = event.detail;
  if (elt.matches("form.buy, form.again")) {
    // A proxy in front of a server that is gone answers with a page of its own.
    const ours = xhr.status !== 503 && /class="(outcome|notice)"/.test(xhr.response);
    if (!ours) event.preventDefault();
    if (elt.matches("form.buy")) ours ? answered(elt) : unanswered(elt, xhr);
  } else if (elt.matches(".outcome")) {
    const again = elt.querySelector("form.again");
    if (xhr.status >= 500 || (xhr.status === 404 && again)) event.preventDefault(); // it goes on asking
    if (xhr.status === 404 && again) htmx.trigger(again, "submit"); // lost before it was decided
  } else if (elt === page) {
    const told = Number(xhr.getResponseHeader("x-now"));
    if (told) shopClock.measure(told, askedAt, Date.now());
  }
});

// Whoever is taken off the page need not be answered: htmx would look for it in vain.
document.addEventListener("htmx:beforeCleanupElement", ({ target }) => target.matches?.(".outcome") && htmx.trigger(target, "htmx:abort"));

for (const lost of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(lost, ({ detail: { elt } }) => elt.matches("form.buy") && unanswered(elt));
}

const tries = new Map(); // forms without an answer: how often they were sent, and the next time

function unanswered(form, xhr) {
  const { count = 0 } = tries.get(form) ?? {};
  stopTrying(form);
  const asked = 1000 * Number(xhr?.getResponseHeader("Retry-After") ?? 0) || 0;
  const pause = Math.max(asked, about(Math.min(FIRST_RETRY * 2 ** count, LONGEST_RETRY)));
  const given = count >= RETRIES ? "given-up" : xhr?.status === 503 ? "busy" : "lost";
  placeOfNoAnswer(form).replaceChildren(wordsFor("no-answer", given).cloneNode(true));
  if (count < RETRIES) tries.set(form, { count: count + 1, timer: setTimeout(sendAgain, pause, form) });
  follow();
}

function sendAgain(form) {
  if (form.isConnected) htmx.trigger(form, "submit");
}

function answered(form) {
  stopTrying(form);
  placeOfNoAnswer(form).replaceChildren();
}

const placeOfNoAnswer = (form) => form.parentElement.querySelector(".no-answer");

function stopTrying(form) {
  clearTimeout(tries.get(form)?.timer);
  tries.delete(form);
}

// --- Buttons -----------------------------------------------------------------------------------

function follow() {
  const state = document.getElementById("state")?.dataset;
  for (const section of page?.querySelectorAll(".buying") ?? []) {
    const button = section.querySelector("form.buy button");
    const says = saidBy(section, state);
    // A button that is switched off under a shopper's finger would lose the keyboard's place.
    if (says in { queued: 1, done: 1 } && button === document.activeElement) section.querySelector(".answer").focus({ preventScroll: true });
    setText(button.querySelector(".says"), wordsFor("button-words", says).textContent);
    button.disabled = !["idle", "sending"].includes(says);
    button.setAttribute("aria-disabled", says !== "idle");
    const quantity = section.querySelector(".quantity");
    quantity.hidden = state.limit === "1";
    quantity.querySelector("input").max = state.limit;
  }
  for (const link of page?.querySelectorAll(".another") ?? []) link.hidden = unitsBought() >= Number(state.limit);
  tellYourTime();
}

function saidBy(section, state) {
  const form = section.querySelector("form.buy");
  const bought = BOUGHT[section.querySelector(".answer .outcome")?.dataset.status];
  if (bought) return bought;
  if (form.matches(".htmx-request") || tries.has(form)) return "sending";
  if (state.phase !== "open") return state.phase;
  if (unitsBought() >= Number(state.limit)) return "limit";
  const stocks = [...section.querySelectorAll(".stock")];
  const chosen = form.querySelector("input:checked")?.closest("label").querySelector(".stock");
  const gone = (stock) => stock.dataset.left === "0";
  return (chosen ? gone(chosen) : stocks.every(gone)) ? "sold_out" : "idle";
}

function unitsBought() {
  const boxes = page.querySelectorAll(".outcome:is([data-status=queued], [data-status=confirmed])");
  return [...boxes].reduce((units, box) => units + Number(box.dataset.quantity), 0);
}

for (const moved of ["htmx:afterSettle", "htmx:beforeSend", "htmx:afterRequest", "htmx:wsAfterMessage", "change"]) {
  document.addEventListener(moved, follow);
}

// --- The reader's own clock ----------------------------------------------------------------------

// Beside the live state, not in it: a frame would put back what the server says.
function tellYourTime() {
  const line = page?.querySelector(".your-time span");
  const time = document.querySelector("#state time");
  if (!line) return;
  const inZone = (timeZone) =>
    new Intl.DateTimeFormat(shopClock.locale, { dateStyle: "long", timeStyle: "short", timeZone }).format(new Date(time.dateTime));
  line.hidden = !time || inZone(undefined) === inZone(time.dataset.zone);
  if (!line.hidden) setText(line.querySelector("b"), inZone(undefined));
}

// --- The socket, and asking without it ---------------------------------------------------------

const hint = document.querySelector(".connection");
let silence, asking, askedAt;

function ask() {
  if (!page) return;
  askedAt = Date.now();
  const gaveUp = () => {}; // it asks again soon
  htmx.ajax("GET", page.dataset.live, { source: page, swap: "none" }).catch(gaveUp);
}

function connected() {
  clearTimeout(silence);
  clearInterval(asking);
  silence = asking = undefined;
  if (hint) hint.hidden = true;
}

function disconnected() {
  silence ??= setTimeout(hintAtIt, BLINK);
  asking ??= setInterval(ask, about(POLL));
}

function hintAtIt() {
  if (!hint) return;
  say(hint, navigator.onLine ? "lost" : "offline");
  hint.hidden = false;
}

document.addEventListener("htmx:wsOpen", connected);
document.addEventListener("htmx:wsClose", ({ detail: { event, socketWrapper } }) => {
  disconnected();
  if (!REDIALLED.includes(event.code)) setTimeout(() => socketWrapper.reconnect(), about(POLL));
});

// A phone that was asleep may hold a socket that is dead and does not know it.
document.addEventListener("visibilitychange", () => document.hidden || ask());
window.addEventListener("offline", hintAtIt);
window.addEventListener("online", () => {
  ask();
  for (const form of [...tries.keys()]) sendAgain(form);
  if (asking) hintAtIt();
  else if (hint) hint.hidden = true;
});
// A page that the back button brings out of the browser's memory is as old as when it was left.
window.addEventListener("pageshow", ({ persisted }) => persisted && ask());

for (const button of document.querySelectorAll("button.print")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

if (page) {
  disconnected(); // until the socket opens
  if (page.dataset.own === "no") setTimeout(ask, about(POLL / 4));
  shopClock.run(page, follow, ask);
}
follow();
