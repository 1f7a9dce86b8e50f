// Wall mode: show one problem at a time, each for ten seconds. Without scripts, all are shown one below the other.
"use strict";
(() => {
  const SECONDS = 10;
  let shown = 0;
  const show = () => {
    const slides = [...document.querySelectorAll("[data-cycle] [data-slide]")];
    shown = slides.length ? shown % slides.length : 0;
    slides.forEach((slide, at) => { slide.hidden = at !== shown; });
  };
  show();
  document.addEventListener("htmx:afterSettle", show); // a refreshed card continues with the same place
  setInterval(() => { shown += 1; show(); }, SECONDS * 1000);
})();
