// Run a program with an unmodified @sentry/node, which sends chunked bodies: `node node_sdk.cjs DSN`.
const Sentry = require("@sentry/node");

Sentry.init({
  dsn: process.argv[2], release: "gate@1.4.0", environment: "test", tracesSampleRate: 1.0,
  includeLocalVariables: false, enableLogs: true,
});

function scanTicket(code) {
  throw new TypeError(`gate cannot read ${code}`);
}

async function main() {
  Sentry.addBreadcrumb({ category: "gate", message: "scanner ready" });
  Sentry.logger.warn("gate opened", { gate: "north" });
  Sentry.setTag("gate", "north");
  Sentry.setUser({ id: "u-7" });
  Sentry.startSpan({ name: "scan", op: "task" }, () => {});
  try {
    scanTicket("T-1");
  } catch (error) {
    console.log("exception", Sentry.captureException(error));
  }
  console.log("message", Sentry.captureMessage("gate opened by hand", "warning"));
  await Sentry.flush(10000);
}

main();
