// Parse stack traces with the browser SDK. The program reads JSON {name: text} and writes JSON {name: frames}.
const { defaultStackParser } = require("@sentry/browser");

const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
const frames = Object.entries(texts).map(([name, text]) => [name, defaultStackParser(text)]);
process.stdout.write(JSON.stringify(Object.fromEntries(frames)));
