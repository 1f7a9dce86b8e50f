// Chromium that starts without a locale, such as on a wall screen, reports the language "en-US@posix". It is no valid
// language tag, and uPlot, which is loaded next, would fail with it and draw no chart.
"use strict";
(() => {
  try {
    new Intl.NumberFormat(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: "en-US", configurable: true });
  }
})();
