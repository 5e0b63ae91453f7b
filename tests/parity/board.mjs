// Runs one script under MicroPython's WebAssembly build, as a board would.
//
//   node board.mjs [--heap KiB] [--root hostdir:/dir]... [--path /dir:/dir] script.py
//
// If the script leaves a list TESTS, each entry runs as a call of its own: garbage is collected
// only between calls. Exit code: 0 fine; 1 an exception, a failed test or a heap above --heap;
// N after sys.exit(N); 13 (Node's own) a test that awaits for ever; 70 a fault of this runner.
import fs from "node:fs";
import { loadMicroPython } from "@micropython/micropython-webassembly-pyscript/micropython.mjs";

// This build adds its growth limit to gc.mem_free(). A full heap grows instead of raising, and
// shrinks again after the call: so the look is taken inside it.
const GROWTH = 128 * 1024 * 1024;
const LOOK = `_used = gc.mem_alloc(); _total = _used + gc.mem_free() - ${GROWTH}`;

function options(args) {
  const found = { heap: 100, roots: [], path: [], script: null };
  for (let word = args.shift(); word !== undefined; word = args.shift()) {
    if (word === "--heap") found.heap = Number(args.shift());
    else if (word === "--root") found.roots.push(args.shift().split(":"));
    else if (word === "--path") found.path = args.shift().split(":");
    else found.script = word;
  }
  return found;
}

const { heap, roots, path, script } = options(process.argv.slice(2));
const board = await loadMicroPython({
  heapsize: heap * 1024,
  pystack: 4096,
  linebuffer: false,
  stdout: (bytes) => fs.writeSync(1, bytes),
  stderr: (bytes) => fs.writeSync(2, bytes),
});
const run = (text) => board.runPython(text);
const value = (name) => board.globals.get(name);

function copy(host, dir) {
  board.FS.mkdirTree(dir);
  for (const entry of fs.readdirSync(host, { withFileTypes: true })) {
    const from = `${host}/${entry.name}`;
    const to = `${dir}/${entry.name}`;
    if (entry.isDirectory()) copy(from, to);
    else board.FS.writeFile(to, fs.readFileSync(from));
  }
}

// The exit code that an error stands for; sys.exit() is one too.
function codeOf(error) {
  if (error?.name !== "PythonError") {
    console.error("runner:", String(error?.message).slice(0, 300));
    return 70;
  }
  if (error.type !== "SystemExit") {
    process.stderr.write(error.message);
    return 1;
  }
  const given = error.message.match(/SystemExit:?\s*(.*)\s*$/)?.[1] ?? "";
  if (given === "" || given === "None") return 0;
  return /^\d+$/.test(given) ? Number(given) & 255 : 1;
}

async function runTests() {
  run("_n = len(globals().get('TESTS', ()))");
  const count = value("_n");
  let failed = 0;
  let peak = 0;
  for (let i = 0; i < count; i++) {
    try {
      run("gc.collect()");
      run(`_name = TESTS[${i}].__name__; _r = TESTS[${i}]()\n${LOOK}\n_wait = hasattr(_r, "send")`);
      if (value("_wait")) await board.runPythonAsync(`await _r\n${LOOK}`);
      const grown = value("_total") > heap * 1024;
      peak = Math.max(peak, value("_used"));
      failed += grown;
      console.log(grown ? "HEAP" : "ok", value("_name"), value("_used"));
    } catch (error) {
      failed++;
      console.log("FAIL", value("_name"));
      codeOf(error);
    }
  }
  if (count) console.log(`${count - failed} of ${count} passed, peak ${peak} of ${heap * 1024} bytes`);
  return failed ? 1 : 0;
}

let code = 0;
try {
  for (const [host, dir] of roots) copy(host, dir);
  // Only what is asked for can be imported: the build brings modules that no board has.
  run(`import sys, gc, asyncio\nsys.path.clear()\nsys.path.extend(${JSON.stringify(["/", ...path])})\ngc.collect()`);
  await board.runPythonAsync(fs.readFileSync(script, "utf8"));
  code = await runTests();
} catch (error) {
  code = codeOf(error);
}
process.exit(code);
