// Counts down the holds on a page, by the shop's clock. At the end of one it asks what has become of it: the
// socket says so too, but a message may be lost.
"use strict";

{
  const DECIDED = 6000; // ms after the end; the server grants five seconds
  const PAUSE = 4000; // ms between two questions
  const askedAt = new WeakMap(); // by box

  const setHidden = (element, hidden) => (element.hidden = hidden);

  function showHold(hold) {
    const left = hold.dataset.until - shopClock.now();
    const over = left <= 0;
    const bar = hold.querySelector("progress");
    hold.querySelector(".left strong").textContent = shopClock.inWords(left);
    bar.max = hold.dataset.minutes * 60;
    bar.value = Math.ceil(left / 1000);
    setHidden(hold.querySelector(".left"), over);
    setHidden(bar, over);
    setHidden(hold.querySelector(".over"), !over);
    if (left < -DECIDED) askFor(hold.closest(".outcome"));
    return left;
  }

  function askFor(box) {
    if (document.hidden || performance.now() - (askedAt.get(box) ?? -PAUSE) < PAUSE) return;
    askedAt.set(box, performance.now());
    htmx.trigger(box, "over");
  }

  let timer;

  function tick() {
    clearTimeout(timer);
    const left = [...document.querySelectorAll(".hold")].map(showHold);
    timer = setTimeout(tick, (left[0] > 0 && left[0] % 1000) || 1000);
  }

  const order = document.querySelector(".order[data-now]");
  if (order) shopClock.measurePage(Number(order.dataset.now));
  for (const moved of ["htmx:afterSettle", "htmx:wsAfterMessage", "visibilitychange"]) document.addEventListener(moved, tick);
  tick();
}
