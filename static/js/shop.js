// What htmx does not do by itself: a final answer stays, a click whose reply was lost is sent again, so
// is a purchase that was lost with Redis' disk, buttons follow the sale, and a page without its socket
// asks slowly. A ticket buys at most once, so sending one again is always safe.
"use strict";

const FINAL = ["confirmed", "rejected", "cancelled"];
const DONE = ["queued", "confirmed", "cancelled"]; // what this form can buy, it has bought
const POLL = 8000; // ms between the questions of a page without a socket
const RETRY = 3000; // ms until a click without an answer is sent again
const RETRIES = 20;
const BLINK = 2000; // ms for which a missing socket is not worth a word: leaving a page closes it too
const REDIALLED = [1006, 1011, 1012, 1013]; // after these, htmx opens the socket again by itself

const about = (ms) => ms * (0.75 + Math.random() / 2); // a crowd that fell out together comes back in turn

const page = document.querySelector("[data-live]");

// --- Frames ------------------------------------------------------------------------------------

// A frame may speak of what this page does not show: another tab's purchase, or a product's stock.
htmx.defineExtension("here", {
  transformResponse(html) {
    if (!html.includes("hx-swap-oob")) return html;
    const frame = document.createElement("template");
    frame.innerHTML = html;
    for (const part of [...frame.content.children]) {
      if (!document.getElementById(part.id)) part.remove();
    }
    return frame.innerHTML;
  },
});

// What looks the same stays: a screen reader need not say it again.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { fragment, target } = event.detail;
  if (fragment.firstElementChild?.isEqualNode(target)) event.detail.shouldSwap = false;
});

// --- Answers -----------------------------------------------------------------------------------

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, serverResponse } = event.detail;
  const final = FINAL.includes(target.dataset?.status);
  if (final && /data-status="(queued|unknown)"/.test(serverResponse)) event.detail.shouldSwap = false;
});

document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { elt, xhr } = event.detail;
  if (elt.matches("form.buy, form.again")) {
    // A proxy in front of a server that is gone answers with a page of its own.
    const ours = /class="(outcome|notice)"/.test(xhr.response);
    if (!ours) event.preventDefault();
    if (elt.matches("form.buy")) (ours ? answered : unanswered)(elt);
  } else if (elt.matches(".outcome")) {
    const again = elt.querySelector("form.again");
    if (xhr.status >= 500 || (xhr.status === 404 && again)) event.preventDefault(); // it goes on asking
    if (xhr.status === 404 && again) htmx.trigger(again, "submit"); // lost before it was decided
  }
});

for (const lost of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(lost, ({ detail: { elt } }) => elt.matches("form.buy") && unanswered(elt));
}

const tries = new WeakMap(); // forms without an answer: how often they were sent, and the next time

function unanswered(form) {
  const { count = 0, timer } = tries.get(form) ?? {};
  clearTimeout(timer);
  const again = () => form.isConnected && htmx.trigger(form, "submit");
  tries.set(form, { count: count + 1, timer: count < RETRIES ? setTimeout(again, about(RETRY)) : null });
  form.parentElement.querySelector(".unanswered").hidden = false;
}

function answered(form) {
  clearTimeout(tries.get(form)?.timer);
  tries.delete(form);
  form.parentElement.querySelector(".unanswered").hidden = true;
}

// --- Buttons -----------------------------------------------------------------------------------

function follow() {
  const open = document.getElementById("state")?.dataset.phase === "open";
  for (const product of page?.querySelectorAll(".product") ?? []) {
    const button = product.querySelector("form.buy button");
    const answer = product.querySelector(".answer");
    const done = DONE.includes(answer.querySelector(".outcome")?.dataset.status);
    // A button that is switched off under a shopper's finger would lose the keyboard's place.
    if (done && button === document.activeElement) answer.focus({ preventScroll: true });
    button.disabled = !open || done || product.querySelector(".stock").dataset.left === "0";
  }
  tellYourTime();
}

for (const moved of ["htmx:afterSettle", "htmx:afterRequest", "htmx:wsAfterMessage"]) {
  document.addEventListener(moved, follow);
}

// --- The reader's own clock ----------------------------------------------------------------------

// Beside the live state, not in it: a frame would put back what the server says.
function tellYourTime() {
  const line = page?.querySelector(".your-time");
  const time = document.querySelector("#state time");
  if (!line) return;
  const inZone = (timeZone) =>
    new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "short", timeZone }).format(new Date(time.dateTime));
  line.hidden = !time || inZone(undefined) === inZone(time.dataset.zone);
  if (!line.hidden) line.querySelector("span").textContent = inZone(undefined);
}

// --- The socket --------------------------------------------------------------------------------

const hint = document.querySelector(".connection");
let silence, asking;

function ask() {
  if (!page) return;
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
  silence ??= setTimeout(() => hint && (hint.hidden = false), BLINK);
  asking ??= setInterval(ask, about(POLL));
}

document.addEventListener("htmx:wsOpen", connected);
document.addEventListener("htmx:wsClose", ({ detail: { event, socketWrapper } }) => {
  disconnected();
  if (!REDIALLED.includes(event.code)) setTimeout(() => socketWrapper.reconnect(), about(POLL));
});

// A phone that was asleep may hold a socket that is dead and does not know it.
document.addEventListener("visibilitychange", () => document.hidden || ask());
window.addEventListener("online", ask);

if (page) disconnected(); // until the socket opens
follow();
