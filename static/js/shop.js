// What a shopper's page does beyond htmx: keeps a final answer, sends a click again if its reply was lost
// or if Redis lost the purchase with its disk, sets the buttons by the sale's state, keeps two tabs in
// step, and polls slowly without its socket. Sending a ticket again is safe: it buys at most once.
// One file: its parts share the page's state (forms without an answer, the socket, the boxes of purchases).
"use strict";

// The next statuses of a purchase, by status. A reply or frame with another one is too old. A queued
// purchase that Redis lost with its disk is sent again, and may then be refused.
const NEXT = { queued: ["waiting", "held", "confirmed", "rejected", "expired", "cancelled", "refused"], waiting: ["held", "confirmed", "rejected", "cancelled"], held: ["confirmed", "expired", "cancelled"], confirmed: ["cancelled"], rejected: [], expired: ["held"], cancelled: [] };
const BOUGHT = { queued: "queued", waiting: "waiting", held: "held", confirmed: "done", expired: "over", cancelled: "done" }; // what the button of a form says after it
const USED = [...Object.values(BOUGHT), "entered"];
const FREE = ["idle", "enter", "join"]; // what the button of a form says that can be sent
const POLL = 8000; // ms between the requests of a page without a socket
const FIRST_RETRY = 1000; // ms until a click without an answer is sent again; doubles each time
const LONGEST_RETRY = 15_000;
const RETRIES = 30; // some six minutes
const MOST_ASKED = 60_000; // ms; the longest Retry-After that a page obeys, from a server or a proxy
const SAID = 10_000; // ms for which a screen reader can find an announced stock
const BLINK = 2000; // ms without a socket until the page says so: leaving a page closes its socket too
const REDIALLED = [1006, 1011, 1012, 1013]; // close codes after which htmx reconnects by itself

// Of two boxes of one purchase that waits, the one that knows its place, or another place, is newer. A frame
// cannot know it: "" is a place in the queue that only the server's answer tells.
function mayFollow({ status: was, place: from }, { status, place }) {
  if (was === "waiting" && status === "waiting") return place !== undefined && place !== from && (place !== "" || from === undefined);
  return !(was in NEXT) || NEXT[was].includes(status);
}

const jitter = (ms) => ms * (0.75 + Math.random() / 2); // random: pages that lost a server together must not return together

const page = document.querySelector("[data-live]");

// Sets only a new text: a screen reader would read the same one again.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showWords(element, what) {
  for (const words of element.querySelectorAll("[data-when]")) words.hidden = words.dataset.when !== what;
}

// Texts from a template in the page: the server renders them once for all forms.
const wordsFor = (template, what) => document.getElementById(template).content.querySelector(`[data-when="${what}"]`);

// --- Frames ------------------------------------------------------------------------------------

let heardAt = 0; // time of the socket's latest frame

// Drops the parts of a frame that this page has no place for, such as a product that joined the sale
// later. A purchase of another tab goes to the list of own purchases.
htmx.defineExtension("here", {
  transformResponse(html, xhr) {
    if (!html.includes("hx-swap-oob")) return html;
    const frame = document.createElement("template");
    frame.innerHTML = html;
    const late = xhr && xhr.askedAt < heardAt; // the frames since the request are newer than its reply
    if (!xhr) heardAt = Date.now();
    if (late) for (const part of frame.content.querySelectorAll("#state, .stock")) keepNewer(part);
    for (const part of [...frame.content.children].filter((part) => part.hasAttribute("hx-swap-oob"))) {
      const here = document.getElementById(part.id);
      if (!here) part.replaceWith(...asOwnPurchase(part));
      else if (here.closest(".own")) needsNoForm(part);
      else if (part.matches(".buying")) renewForm(part, here);
    }
    return frame.innerHTML;
  },
});

// A stock inside a fresh form becomes the one that the page shows.
function keepNewer(part) {
  const here = part.parentElement && document.getElementById(part.id);
  part.replaceWith(...(here ? [here.cloneNode(true)] : []));
}

function asOwnPurchase(part) {
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

// A rejection requests a fresh form, because it used up the form of its ticket. A rejection from another
// tab or of an earlier purchase used up another form: this page's is still valid.
function needsNoForm(box) {
  if (["rejected", "cancelled"].includes(box.dataset.status)) box.removeAttribute("hx-get");
}

// A form that was sent, or that still shows what is sold, stays. Another one goes on with what was chosen.
function renewForm(part, here) {
  const says = saidBy(here, document.getElementById("state").dataset);
  if (part.dataset.shown === here.dataset.shown || ["sending", ...USED].includes(says)) return part.remove();
  const chosen = here.querySelector("input:checked")?.value;
  for (const field of part.querySelectorAll("[type=radio]")) field.toggleAttribute("checked", field.value === chosen);
  part.querySelector("[name=quantity]").setAttribute("value", here.querySelector("[name=quantity]").value);
  const words = wordsFor("no-answer", "changed").cloneNode(true);
  part.querySelector(".no-answer").replaceChildren(words);
  say(words.textContent);
}

const formOf = (sku) =>
  [...document.querySelectorAll("form.buy")].find((form) => [...form.querySelectorAll("[name=product]")].some((field) => field.value === sku));

// Skips a swap that changes nothing: a screen reader would read the text again, and the box of a click
// would lose its ticket, which frames lack. Also skips a status that is older than the one shown.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { fragment, target } = event.detail;
  const part = fragment.firstElementChild;
  const known = target.matches(".outcome") && !mayFollow(target.dataset, part?.dataset ?? {});
  if (known || part?.isEqualNode(target)) event.detail.shouldSwap = false;
  else announce(target, part);
});

// Announces a stock to screen readers when its level changes, not for every unit.
function announce(old, fresh) {
  const announcer = document.getElementById("announcer");
  if (!announcer || !old.matches(".stock") || old.dataset.level === fresh?.dataset.level) return;
  const named = [old.closest(".product")?.querySelector("h2"), old.closest("label")?.querySelector(".name")];
  const name = named.map((element) => element?.textContent.trim()).filter(Boolean).join(" ");
  say(`${name}: ${fresh.querySelector(".words").textContent}`);
}

function say(text) {
  const announcer = document.getElementById("announcer");
  announcer.textContent = text;
  setTimeout(() => (announcer.textContent = ""), SAID); // so that it is not read much later
}

// --- Answers -----------------------------------------------------------------------------------

document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, target, serverResponse } = event.detail;
  const section = elt.closest(".buying");
  const [, status, place] = /class="outcome" data-status="(\w+)"(?: data-place="(\d*)")?/.exec(serverResponse) ?? [];
  if (section && serverResponse.includes('<section id="buy-')) {
    event.detail.target = section; // a fresh form replaces the one that was sent
    event.detail.swapOverride = "outerHTML";
  } else if (target.matches(".outcome") && status && !mayFollow(target.dataset, { status, place })) {
    event.detail.shouldSwap = false;
  }
});

document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { elt, xhr } = event.detail;
  if (elt.matches("form.buy, form.again")) {
    // If the server is down, the proxy answers with a page of its own.
    const ours = xhr.status !== 503 && /class="(outcome|notice)"/.test(xhr.response);
    if (!ours) event.preventDefault();
    if (elt.matches("form.buy")) ours ? answered(elt) : unanswered(elt, xhr);
  } else if (elt.matches(".outcome")) {
    const again = elt.querySelector("form.again");
    if (xhr.status >= 500 || (xhr.status === 404 && again)) event.preventDefault(); // it polls on
    if (xhr.status === 404 && again) htmx.trigger(again, "submit"); // Redis lost the entry before the decision
  } else if (elt === page) {
    const serverTime = Number(xhr.getResponseHeader("x-now"));
    if (serverTime) shopClock.measure(serverTime, xhr.askedAt, Date.now());
    const look = xhr.getResponseHeader("x-look");
    if (look) haveLook(look, xhr.response);
  }
});

for (const failed of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failed, ({ detail: { elt } }) => elt.matches("form.buy") && unanswered(elt));
}

const tries = new Map(); // by form without an answer: its number of tries, and the timer of the next

function unanswered(form, xhr) {
  const { count = 0 } = tries.get(form) ?? {};
  stopTrying(form);
  const asked = Math.min(1000 * Number(xhr?.getResponseHeader("Retry-After") ?? 0) || 0, MOST_ASKED);
  const pause = Math.max(asked, jitter(Math.min(FIRST_RETRY * 2 ** count, LONGEST_RETRY)));
  const given = count >= RETRIES ? "given-up" : xhr?.status === 503 ? "busy" : "lost";
  placeOfNoAnswer(form).replaceChildren(wordsFor("no-answer", given).cloneNode(true));
  if (count < RETRIES) tries.set(form, { count: count + 1, timer: setTimeout(sendAgain, pause, form) });
  updateControls();
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

function updateControls() {
  const state = document.getElementById("state")?.dataset;
  for (const section of page?.querySelectorAll(".buying") ?? []) {
    const button = section.querySelector("form.buy button");
    const says = saidBy(section, state);
    if (USED.includes(says)) answered(section.querySelector("form.buy")); // the frame outran the reply
    setText(button.querySelector(".says"), wordsFor("button-words", says).textContent);
    // Not `disabled`: the button would lose the keyboard's focus.
    button.setAttribute("aria-disabled", !FREE.includes(says));
    button.classList.toggle("off", !FREE.includes(says)); // the class that the server sets for browsers without scripts
    lockChoice(section, button, says);
    limitTo(state.limit, section.querySelector(".quantity"));
  }
  for (const link of page?.querySelectorAll(".another") ?? []) link.hidden = unitsBought() >= Number(state.limit);
  tellYourTime();
  askIfItLooksDifferent();
  askIfDrawn(state?.phase);
}

// Locks option and quantity while the form may be sent again: a ticket is good for one choice.
function lockChoice(section, button, says) {
  const locked = ["sending", ...USED, "ended"].includes(says);
  for (const field of section.querySelectorAll(".options, .quantity")) {
    if (locked && field.contains(document.activeElement)) button.focus({ preventScroll: true });
    field.inert = locked;
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
    const off = event.target.matches("form.buy") && page && ![...FREE, "sending"].includes(saidBy(event.target.parentElement, document.getElementById("state").dataset));
    if (!off) return;
    event.preventDefault();
    event.stopPropagation();
  },
  { capture: true },
);

function saidBy(section, state) {
  const form = section.querySelector("form.buy");
  const box = section.querySelector(".answer .outcome")?.dataset ?? {};
  if (box.status === "waiting" && box.place === undefined) return "entered";
  const bought = BOUGHT[box.status];
  if (bought) return bought;
  if (form.matches(".htmx-request") || tries.has(form)) return "sending";
  if (state.phase === "entering") return unitsBought() > 0 ? "entered" : "enter";
  if (state.phase !== "open") return state.phase;
  if (unitsBought() >= Number(state.limit)) return "limit";
  const stocks = [...section.querySelectorAll(".stock")];
  const chosen = form.querySelector("input:checked")?.closest("label").querySelector(".stock");
  const gone = (stock) => stock.dataset.left === "0";
  if (!(chosen ? gone(chosen) : stocks.every(gone))) return "idle";
  return state.standby === undefined ? "sold_out" : "join";
}

function unitsBought() {
  const boxes = page.querySelectorAll(".outcome:is([data-status=queued], [data-status=waiting], [data-status=held], [data-status=confirmed])");
  return [...boxes].reduce((units, box) => units + Number(box.dataset.quantity), 0);
}

for (const moved of ["htmx:afterSettle", "htmx:beforeSend", "htmx:afterRequest", "htmx:wsAfterMessage", "change"]) {
  document.addEventListener(moved, updateControls);
}

// --- The shopper's time zone ----------------------------------------------------------------------

// Outside the live state: each frame would overwrite it.
function tellYourTime() {
  const line = page?.querySelector(".your-time span");
  const time = document.querySelector("#state time");
  if (!line) return;
  const moment = time && new Date(time.dateTime);
  // By the server's offset: a browser may be older than the name of the sale's zone, and `Intl` then throws.
  line.hidden = !time || -moment.getTimezoneOffset() === Number(time.dataset.offset) || !knowsOwnZone();
  if (!line.hidden) setText(line.querySelector("b"), new Intl.DateTimeFormat(shopClock.locale, { dateStyle: "long", timeStyle: "short" }).format(moment));
}

// A browser that does not know its zone would show another one's time.
function knowsOwnZone() {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  return Boolean(timeZone) && timeZone !== "Etc/Unknown";
}

// --- The socket, and polling without it --------------------------------------------------------

const hint = document.querySelector(".connection");
let silence, asking;

function ask() {
  if (!page) return;
  const gaveUp = () => {}; // the next poll comes soon
  const headers = page.dataset.look ? { "X-Look": page.dataset.look } : {};
  htmx.ajax("GET", page.dataset.live, { source: page, swap: "none", headers }).catch(gaveUp);
}

// The sale's state names what the sale looks like: names, prices, texts and pictures. A page that shows
// something else asks, at a random time: a crowd that waits would ask in the same moment.
let askingLook;

function askIfItLooksDifferent() {
  const look = document.getElementById("state")?.dataset.look;
  if (!page?.dataset.look || !look || look === page.dataset.look || askingLook) return;
  askingLook = setTimeout(() => {
    askingLook = undefined;
    ask();
  }, Math.random() * POLL);
}

// A draw tells its outcomes by the socket too, and a message may be lost. Each state after the draw asks once
// more about an entry that still has none.
let askingDrawn;

function askIfDrawn(phase) {
  const undecided = page?.querySelector(".outcome[data-status=waiting]:not([data-place])");
  if (!undecided || askingDrawn || ["upcoming", "entering", "paused", "drawing"].includes(phase)) return;
  askingDrawn = setTimeout(() => {
    askingDrawn = undefined;
    ask();
  }, Math.random() * POLL);
}

// A renamed product may have other forms than the page has places for.
function haveLook(look, html) {
  const sections = [...page.querySelectorAll(".buying")].map((section) => section.id);
  const fresh = [...html.matchAll(/<section id="([^"]+)"/g)].map(([, id]) => id);
  if (String(sections) === String(fresh)) page.dataset.look = look;
  else if (tries.size === 0) location.reload();
}

document.addEventListener("htmx:beforeSend", ({ detail: { elt, xhr } }) => {
  if (elt === page) xhr.askedAt = Date.now(); // on the request itself: requests may overlap
});

// True if the server could not read the shopper's purchases: the page asks until it can, but only as often
// as a page without a socket, because Redis is probably overloaded or down.
let ownUnknown = page?.dataset.own === "no";
let askingAgain;

function askAgainIfUnknown() {
  clearTimeout(askingAgain);
  if (ownUnknown) askingAgain = setTimeout(ask, jitter(POLL));
}

document.addEventListener("htmx:afterRequest", ({ detail: { elt, xhr } }) => {
  if (elt !== page) return;
  const known = xhr.getResponseHeader("x-own");
  if (known) ownUnknown = known === "no";
  askAgainIfUnknown();
});

let lost = false; // true if the socket closed: the page may have missed outcomes since

function connected() {
  if (lost) setTimeout(ask, jitter(POLL / 2));
  lost = false;
  clearTimeout(silence);
  clearInterval(asking);
  silence = asking = undefined;
  if (hint) hint.hidden = true;
}

function disconnected() {
  silence ??= setTimeout(hintAtIt, BLINK);
  asking ??= setInterval(ask, jitter(POLL));
}

function hintAtIt() {
  if (!hint) return;
  showWords(hint, navigator.onLine ? "lost" : "offline");
  hint.hidden = false;
}

document.addEventListener("htmx:wsOpen", connected);
document.addEventListener("htmx:wsClose", ({ detail: { event, socketWrapper } }) => {
  lost = true;
  disconnected();
  if (!REDIALLED.includes(event.code)) setTimeout(() => socketWrapper.reconnect(), jitter(POLL));
});

// After sleep, a phone may have a dead socket without knowing it.
document.addEventListener("visibilitychange", () => document.hidden || ask());
window.addEventListener("offline", hintAtIt);
window.addEventListener("online", () => {
  ask();
  for (const form of [...tries.keys()]) sendAgain(form);
  if (asking) hintAtIt();
  else if (hint) hint.hidden = true;
});
// The back button may restore a page from the browser's memory, with its old state.
window.addEventListener("pageshow", ({ persisted }) => persisted && ask());

for (const button of document.querySelectorAll("button.print")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

if (page) {
  disconnected(); // until the socket opens
  askAgainIfUnknown();
  if (page.matches(".sale")) shopClock.run(page, updateControls, ask); // not on the dashboard, which has `data-live` too
}
updateControls();
