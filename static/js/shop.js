// What htmx does not do by itself: a final answer stays, a click whose reply was lost is sent again, so
// is a purchase that was lost with Redis' disk, buttons follow the sale, two tabs agree, and a page
// without its socket asks slowly. A ticket buys at most once, so sending one again is always safe.
"use strict";

// What can become of a purchase. Whatever says otherwise was under way for too long. One whose place in
// line was lost with Redis' disk is sent again, and may be refused by then.
const NEXT = { queued: ["confirmed", "rejected", "cancelled", "refused"], confirmed: ["cancelled"], rejected: [], cancelled: [] };
const BOUGHT = { queued: "queued", confirmed: "done", cancelled: "done" }; // what such a form's button says
const POLL = 8000; // ms between the questions of a page without a socket
const FIRST_RETRY = 1000; // ms until a click without an answer is sent again; then twice as long, and so on
const LONGEST_RETRY = 15_000;
const RETRIES = 30; // some six minutes
const MOST_ASKED = 60_000; // ms that a page waits because a server, or what stands before it, says so
const SAID = 10_000; // ms until a stock that was said aloud is no news
const BLINK = 2000; // ms for which a missing socket is not worth a word: leaving a page closes it too
const REDIALLED = [1006, 1011, 1012, 1013]; // after these, htmx opens the socket again by itself

const becomes = (was, is) => !(was in NEXT) || NEXT[was].includes(is);

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

let heardAt = 0; // when the socket brought its latest frame

// A frame may speak of what this page does not show: a product that joined later, or a purchase of
// another tab, which is put where this page would show it.
htmx.defineExtension("here", {
  transformResponse(html, xhr) {
    if (!html.includes("hx-swap-oob")) return html;
    const frame = document.createElement("template");
    frame.innerHTML = html;
    const late = xhr && xhr.askedAt < heardAt; // a reply knows less than the frames since its question
    if (!xhr) heardAt = Date.now();
    if (late) for (const part of frame.content.querySelectorAll("#state, .stock")) part.remove();
    for (const part of [...frame.content.children]) {
      const here = document.getElementById(part.id);
      if (!here) part.replaceWith(...adopted(part));
      else if (here.closest(".own")) needsNoForm(part);
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
  needsNoForm(box);
  list.append(box);
  return [list];
}

// A rejection asks for a fresh form in the place of the one that it has used up; of an earlier purchase
// or another tab's, this page's form is still good.
function needsNoForm(box) {
  if (box.dataset.status === "rejected") box.removeAttribute("hx-get");
}

const formOf = (sku) =>
  [...document.querySelectorAll("form.buy")].find((form) => [...form.querySelectorAll("[name=product]")].some((field) => field.value === sku));

// What says the same stays: a screen reader need not say it again, and the box of a click holds its
// ticket, which frames do not. An answer that has come stays.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { fragment, target } = event.detail;
  const part = fragment.firstElementChild;
  const known = target.matches(".outcome") && !becomes(target.dataset.status, part?.dataset.status);
  if (known || part?.isEqualNode(target)) event.detail.shouldSwap = false;
  else announce(target, part);
});

// Not every unit: only when a stock has come to another of its levels.
function announce(old, fresh) {
  const announcer = document.getElementById("announcer");
  if (!announcer || !old.matches(".stock") || old.dataset.level === fresh?.dataset.level) return;
  const named = [old.closest(".product")?.querySelector("h2"), old.closest("label")?.querySelector(".name")];
  const name = named.map((element) => element?.textContent.trim()).filter(Boolean).join(" ");
  announcer.textContent = `${name}: ${fresh.querySelector(".words").textContent}`;
  setTimeout(() => (announcer.textContent = ""), SAID); // not to be found there much later
}

// --- Answers -----------------------------------------------------------------------------------

document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, target, serverResponse } = event.detail;
  const section = elt.closest(".buying");
  const [, status] = /class="outcome" data-status="(\w+)"/.exec(serverResponse) ?? [];
  if (section && serverResponse.includes('<section id="buy-')) {
    event.detail.target = section; // a fresh form, in the place of the one that asked
    event.detail.swapOverride = "outerHTML";
  } else if (target.matches(".outcome") && status && !becomes(target.dataset.status, status)) {
    event.detail.shouldSwap = false;
  }
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
    if (told) shopClock.measure(told, xhr.askedAt, Date.now());
  }
});

for (const failed of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failed, ({ detail: { elt } }) => elt.matches("form.buy") && unanswered(elt));
}

const tries = new Map(); // forms without an answer: how often they were sent, and the next time

function unanswered(form, xhr) {
  const { count = 0 } = tries.get(form) ?? {};
  stopTrying(form);
  const asked = Math.min(1000 * Number(xhr?.getResponseHeader("Retry-After") ?? 0) || 0, MOST_ASKED);
  const pause = Math.max(asked, about(Math.min(FIRST_RETRY * 2 ** count, LONGEST_RETRY)));
  const given = count >= RETRIES ? "given-up" : xhr?.status === 503 ? "busy" : "lost";
  placeOfNoAnswer(form).replaceChildren(wordsFor("no-answer", given).cloneNode(true));
  if (count < RETRIES) tries.set(form, { count: count + 1, timer: setTimeout(sendAgain, pause, form) });
  follow();
}

function sendAgain(form) {
  if (form.isConnected) htmx.trigger(form, "submit");
  else tries.delete(form);
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
    if (says in { queued: 1, done: 1 }) answered(section.querySelector("form.buy")); // the socket was first
    setText(button.querySelector(".says"), wordsFor("button-words", says).textContent);
    // Not `disabled`: that would lose the keyboard's place under a shopper's finger.
    button.setAttribute("aria-disabled", says !== "idle");
    button.classList.toggle("off", says !== "idle"); // as the server says it to a browser without scripts
    hold(section, button, says);
    limitTo(state.limit, section.querySelector(".quantity"));
  }
  for (const link of page?.querySelectorAll(".another") ?? []) link.hidden = unitsBought() >= Number(state.limit);
  tellYourTime();
}

// What is sent again is what was clicked: it cannot be changed meanwhile.
function hold(section, button, says) {
  const held = ["sending", "queued", "done", "ended"].includes(says);
  for (const field of section.querySelectorAll(".options, .quantity")) {
    if (held && field.contains(document.activeElement)) button.focus({ preventScroll: true });
    field.inert = held;
  }
}

function limitTo(limit, quantity) {
  const input = quantity.querySelector("input");
  quantity.hidden = limit === "1";
  input.max = limit;
  if (Number(input.value) > Number(limit)) input.value = limit;
}

document.addEventListener(
  "submit",
  (event) => {
    const off = event.target.matches("form.buy") && page && !["idle", "sending"].includes(saidBy(event.target.parentElement, document.getElementById("state").dataset));
    if (!off) return;
    event.preventDefault();
    event.stopPropagation();
  },
  { capture: true },
);

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
let silence, asking;

function ask() {
  if (!page) return;
  const gaveUp = () => {}; // it asks again soon
  htmx.ajax("GET", page.dataset.live, { source: page, swap: "none" }).catch(gaveUp);
}

document.addEventListener("htmx:beforeSend", ({ detail: { elt, xhr } }) => {
  if (elt === page) xhr.askedAt = Date.now(); // its own: questions may overlap
});

// Whether nobody could say what was bought before: then the page asks until somebody can, no more often
// than one without its socket, for this is when Redis is in trouble.
let ownUnknown = page?.dataset.own === "no";
let askingAgain;

function askAgainIfUnknown() {
  clearTimeout(askingAgain);
  if (ownUnknown) askingAgain = setTimeout(ask, about(POLL));
}

document.addEventListener("htmx:afterRequest", ({ detail: { elt, xhr } }) => {
  if (elt !== page) return;
  const known = xhr.getResponseHeader("x-own");
  if (known) ownUnknown = known === "no";
  askAgainIfUnknown();
});

let lost = false; // whether there was a socket, and something may have been missed since

function connected() {
  if (lost) setTimeout(ask, about(POLL / 2));
  lost = false;
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
  lost = true;
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
  askAgainIfUnknown();
  if (page.matches(".sale")) shopClock.run(page, follow, ask); // the dashboard is live, too
}
follow();
