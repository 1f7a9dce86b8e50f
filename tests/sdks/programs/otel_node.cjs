// Run an Express app that has no code for OpenTelemetry. The option
// `--require @opentelemetry/auto-instrumentations-node/register` instruments it. The app calls itself once, and ends
// when its telemetry has been sent.
const http = require("http");
const express = require("express");

const app = express();
app.get("/seats/:seat", function findSeat(request) {
  throw new RangeError(`seat ${request.params.seat} is gone`);
});
app.use((error, request, response, next) => response.status(500).end());

const server = app.listen(0, "127.0.0.1", () => {
  http.get({ port: server.address().port, host: "127.0.0.1", path: "/seats/A-12" }, (answer) => {
    console.log("status", answer.statusCode);
    answer.resume().on("end", () => server.close(() => process.kill(process.pid, "SIGTERM")));
  });
});
