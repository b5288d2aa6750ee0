// Says at once that a picture is too large, before all of it is sent.
"use strict";

document.addEventListener("change", ({ target }) => {
  if (!target.matches(".picture-input input[type=file]")) return;
  const { files: [picture], dataset: { most } } = target;
  const large = picture && picture.size > Number(most);
  const size = large ? (picture.size / 1e6).toFixed(1) : "";
  target.parentElement.querySelector("output").textContent = large
    ? `The picture has ${size} MB. At most ${Number(most) / 1e6} MB are taken.` : "";
  if (large) target.value = "";
});
