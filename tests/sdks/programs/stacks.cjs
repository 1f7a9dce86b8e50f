// How the browser SDK reads stack texts: JSON on standard input {name: text}, JSON out {name: frames}.
const { defaultStackParser } = require("@sentry/browser");

const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
const read = Object.entries(texts).map(([name, text]) => [name, defaultStackParser(text)]);
process.stdout.write(JSON.stringify(Object.fromEntries(read)));
