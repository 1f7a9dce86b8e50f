// Show one problem at a time in wall mode, each for ten seconds. Without scripts, all problems are shown in a list.
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
  document.addEventListener("htmx:afterSettle", show); // A refreshed card continues with the same problem.
  setInterval(() => { shown += 1; show(); }, SECONDS * 1000);
})();
