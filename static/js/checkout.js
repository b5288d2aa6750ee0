// Keeps what is typed at the checkout until it is sent for good: a reload, a lost connection or a failed
// payment costs no text. Leaves the page when the order is not held any more. On the order's own page it
// only forgets what is not needed any more.
"use strict";

{
  const PREFIX = "checkout:"; // by order; kept as long as the tab
  const page = document.querySelector(".order[data-order]");
  const form = document.getElementById("checkout");
  const order = page?.dataset.order;

  // A browser may forbid to keep anything. The form works without, so it is asked once and not again.
  const memory = {};
  let store = memory;
  try {
    store = window.sessionStorage;
  } catch {
    store = memory;
  }

  function typed() {
    try {
      return JSON.parse(store[PREFIX + order] ?? "{}");
    } catch {
      return {}; // cut off, or of another version: what the server knows stays
    }
  }

  const isKept = (field) => field.name && !["hidden", "checkbox", "submit"].includes(field.type);

  function keep(field) {
    if (!isKept(field)) return;
    try {
      store[PREFIX + order] = JSON.stringify({ ...typed(), [field.name]: field.value });
    } catch {
      store = memory; // it is full
    }
  }

  function forget(which) {
    delete store[PREFIX + which];
  }

  function restore(fields) {
    const known = typed();
    for (const field of fields) {
      if (!isKept(field) || !(field.name in known) || field.name === "country") continue;
      field.value = known[field.name];
    }
  }

  // What was typed is newer than what the server knew when it made the page. Another country has other
  // fields, which are fetched first.
  function restoreAll() {
    const { country } = typed();
    const select = form.elements.namedItem("country");
    restore(form.elements);
    if (!select || country === undefined || country === select.value) return;
    select.value = country;
    htmx.trigger(select, "change");
  }

  // --- Another country ---------------------------------------------------------------------------

  // Without an answer the old fields stay; the server asks for the country's own when they are sent.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "address" && event.detail.xhr.status !== 200) event.detail.shouldSwap = false;
  });

  document.addEventListener("htmx:afterSwap", ({ detail: { target } }) => {
    if (target.id !== "address") return;
    restore(target.querySelectorAll("input, select, textarea"));
    form.elements.namedItem("shown").value = form.elements.namedItem("country").value;
  });

  // --- The end ------------------------------------------------------------------------------------

  const OVER = ["confirmed", "expired", "cancelled", "rejected"];

  function lookAtOrder() {
    for (const box of document.querySelectorAll(".outcome[id^='purchase-']")) {
      const number = box.id.slice("purchase-".length);
      if (!OVER.includes(box.dataset.status)) continue;
      forget(number);
      if (number === order && isOpen()) location.assign(box.dataset.status === "confirmed" ? `/orders/${order}/` : `/orders/${order}/checkout/`);
    }
  }

  // Whether this page still shows an order that is held.
  const isOpen = () => form !== null || page?.dataset.state === "checking";

  for (const moved of ["htmx:wsAfterMessage", "htmx:afterSettle"]) document.addEventListener(moved, lookAtOrder);
  lookAtOrder();

  if (form) {
    for (const changed of ["input", "change"]) form.addEventListener(changed, ({ target }) => keep(target));
    form.addEventListener("submit", () => [...form.elements].forEach(keep)); // what the browser filled in by itself
    document.addEventListener("DOMContentLoaded", restoreAll); // after htmx, which then knows the page
  }
}
