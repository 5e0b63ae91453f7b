// One page in a headless Chromium, driven line by line: a JSON command in, a JSON answer out.
//   node page.mjs CHROMIUM PROFILE_FOLDER
import { chromium } from "playwright-core";
import readline from "node:readline";

const [executablePath, profile] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1280, height: 900 },
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
  ],
});
let page, seen;

async function fresh() {
  const old = context.pages();
  await context.clearCookies();
  seen = { errors: [], requests: [] };
  page = await context.newPage();
  await page.emulateMedia({ reducedMotion: "reduce" });
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => seen.requests.push(request.url()));
  for (const other of old) await other.close();
}

async function until(js, end) {
  for (let last = ""; ; await page.waitForTimeout(50)) {
    try { if (await page.evaluate(js)) return true; } catch (error) { last = String(error); } // between two pages
    if (Date.now() > end) throw new Error(`never true: ${js} ${last}`);
  }
}

const COMMANDS = {
  fresh,
  open: async ({ url }) => (await page.goto(url)).status(),
  run: ({ js }) => page.evaluate(js),
  wait: ({ js, ms }) => until(js, Date.now() + ms), // page.waitForFunction would need eval, which the page forbids
  look: async ({ width, height, scheme }) => {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
  },
  shot: async ({ path, full = true }) => { await page.screenshot({ path, fullPage: full }); },
  type: ({ into, text }) => page.fill(into, text),
  click: ({ on }) => page.click(on),
  key: ({ key }) => page.keyboard.press(key),
  seen: () => seen,
};

console.log(JSON.stringify({ ok: true }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    console.log(JSON.stringify({ ok: true, value: (await COMMANDS[command.do](command)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ ok: false, value: String(error).slice(0, 2000) }));
  }
}
await context.close();
