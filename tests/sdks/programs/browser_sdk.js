// Run a page with an unmodified @sentry/browser. The URL contains the DSN and, optionally, the tunnel's URL.
import * as Sentry from "@sentry/browser";

const options = new URLSearchParams(location.search);
Sentry.init({
  dsn: options.get("dsn"),
  tunnel: options.get("tunnel") || undefined,
  release: "site@3.0.0",
  environment: "test",
  integrations: [Sentry.browserTracingIntegration()],
  tracesSampleRate: 1.0,
});
Sentry.addBreadcrumb({ category: "ui", message: "clicked buy" });

function buySeat(seat) {
  throw new RangeError(`seat ${seat} is gone`);
}

try {
  buySeat("A-12");
} catch (error) {
  window.eventId = Sentry.captureException(error);
}
if (options.get("feedback")) {
  Sentry.captureFeedback({ message: "the seat map froze", name: "A visitor", associatedEventId: window.eventId });
}
Sentry.flush(8000).then((sent) => {
  window.sent = sent;
});
