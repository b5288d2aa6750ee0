// What htmx does not do by itself: a final answer stays, a lost purchase is sent again, buttons follow
// the sale's phase and stock, and a page without its socket asks slowly.
"use strict";

const FINAL = ["confirmed", "rejected", "cancelled"];
const POLL = 8000; // ms, without a socket

const page = document.querySelector("[data-live]");

function follow() {
  if (!page) return;
  const open = document.getElementById("state")?.dataset.phase === "open";
  for (const product of page.querySelectorAll(".product")) {
    const left = Number(product.querySelector(".stock")?.dataset.left);
    const button = product.querySelector("form.buy button");
    // htmx disables a button while its form is under way; that is not ours to undo.
    if (button && !product.querySelector(".htmx-request")) button.disabled = !open || left === 0;
  }
}

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, xhr, serverResponse } = event.detail;
  // The socket may have brought the outcome before the answer to the click: final stays final.
  const shown = target.dataset?.status;
  if (FINAL.includes(shown) && /data-status="(queued|unknown)"/.test(serverResponse)) {
    event.detail.shouldSwap = false;
  }
  if (!target.matches?.(".outcome") || !event.detail.requestConfig.path.startsWith("/orders/")) return;
  if (xhr.status === 404) {
    // Redis has lost it with its disk, before it was decided: the same ticket goes again.
    event.detail.shouldSwap = false;
    const again = target.querySelector("form.again");
    if (again) htmx.trigger(again, "submit");
  } else if (xhr.status >= 500) {
    event.detail.shouldSwap = false; // the box goes on asking
  }
});

document.addEventListener("htmx:afterSettle", follow);
document.addEventListener("htmx:afterRequest", follow);
document.addEventListener("htmx:wsAfterMessage", follow);

let polling = null;
function connected(live) {
  const hint = document.querySelector(".connection");
  if (hint) hint.hidden = live;
  clearInterval(polling);
  polling = null;
  if (!live && page) {
    polling = setInterval(() => htmx.ajax("GET", page.dataset.live, { source: page, swap: "none" }), POLL);
  }
}
document.addEventListener("htmx:wsOpen", () => connected(true));
document.addEventListener("htmx:wsClose", () => connected(false));
document.addEventListener("htmx:wsError", () => connected(false));

follow();
