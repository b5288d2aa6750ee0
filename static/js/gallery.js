// A thumbnail scrolls its strip to the picture. Without this script the link does, and scrolls the page too.
"use strict";

document.addEventListener("click", (event) => {
  const picture = document.getElementById(event.target.closest(".thumbnails a")?.hash.slice(1));
  if (!picture) return;
  event.preventDefault();
  picture.scrollIntoView({ block: "nearest", inline: "start" });
});
