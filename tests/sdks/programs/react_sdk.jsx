// Render a React page whose component throws; the error boundary of an unmodified @sentry/react reports the error.
import * as Sentry from "@sentry/react";
import React from "react";
import { createRoot } from "react-dom/client";

const options = new URLSearchParams(location.search);
Sentry.init({
  dsn: options.get("dsn"),
  release: "site@3.0.0",
  environment: "test",
  beforeSend(event) {
    window.eventId = event.event_id;
    return event;
  },
});

function SeatMap() {
  throw new Error("seat map has no rows");
}

createRoot(document.getElementById("root")).render(
  <Sentry.ErrorBoundary fallback={<p>Something went wrong.</p>}>
    <SeatMap />
  </Sentry.ErrorBoundary>,
);
setTimeout(() => Sentry.flush(8000).then((sent) => { window.sent = sent; }), 200);
