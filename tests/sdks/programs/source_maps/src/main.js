// Run a page that fails in cart.js. The URL contains the DSN.
import * as Sentry from "@sentry/browser";
import { checkout } from "./cart.js";

const dsn = new URLSearchParams(location.search).get("dsn");
Sentry.init({ dsn, release: "shop@1.0.0", environment: "test" });
window.Sentry = Sentry;

try {
  checkout({ total: 0, items: [] }, ["A-12"]);
} catch (error) {
  window.eventId = Sentry.captureException(error);
}
Sentry.flush(10000).then((sent) => { window.sent = sent; });
