// If Chromium starts without a locale, for example on a wall screen, it reports the language "en-US@posix", which is
// not a valid language tag. uPlot, which is loaded after this script, would fail with this tag and draw no chart.
"use strict";
(() => {
  try {
    new Intl.NumberFormat(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: "en-US", configurable: true });
  }
})();
