// Build src/main.js with a bundler: `node build.mjs vite out`. If the environment has a token, use the Sentry plugin.
import path from "node:path";

const [bundler, out] = process.argv.slice(2);
const settings = {
  url: process.env.SENTRY_URL,
  org: "acme",
  project: "shop",
  authToken: process.env.SENTRY_AUTH_TOKEN,
  telemetry: false,
  release: { name: "shop@1.0.0" },
};
const plugins = (plugin) => (settings.authToken ? [plugin(settings)] : []);

if (bundler === "esbuild") {
  const { build } = await import("esbuild");
  const { sentryEsbuildPlugin } = await import("@sentry/esbuild-plugin");
  await build({
    entryPoints: ["src/main.js"],
    bundle: true,
    minify: true,
    sourcemap: true,
    outfile: `${out}/app.js`,
    plugins: plugins(sentryEsbuildPlugin),
  });
} else if (bundler === "vite") {
  const { build } = await import("vite");
  const { sentryVitePlugin } = await import("@sentry/vite-plugin");
  await build({
    configFile: false,
    logLevel: "warn",
    define: { "process.env.NODE_ENV": '"production"' },
    build: {
      sourcemap: true,
      outDir: out,
      lib: { entry: "src/main.js", formats: ["iife"], name: "Shop", fileName: () => "app.js" },
    },
    plugins: plugins(sentryVitePlugin),
  });
} else {
  const { default: webpack } = await import("webpack");
  const { sentryWebpackPlugin } = await import("@sentry/webpack-plugin");
  const configuration = {
    mode: "production",
    devtool: "source-map",
    entry: "./src/main.js",
    output: { path: path.resolve(out), filename: "app.js" },
    plugins: plugins(sentryWebpackPlugin),
  };
  await new Promise((resolve, reject) => {
    webpack(configuration, (error, stats) => {
      if (error || stats.hasErrors()) reject(error ?? new Error(stats.toString()));
      else resolve();
    });
  });
}
