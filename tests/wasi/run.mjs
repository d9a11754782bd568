// run.mjs PROGRAM [ARGUMENT...]: a program for wasm32-wasip1 under node, with this environment's
// SIGNFOLD_* variables and the current folder. Exits as the program does. Fit as cargo's runner:
// CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings --single-threaded tests/wasi/run.mjs": with threads
// of its own node 20 crashes as some programs end. See docs/testing.md.
import { readFile } from "node:fs/promises";
import { argv, cwd, env, exit } from "node:process";
import { WASI } from "node:wasi";

const [program, ...args] = argv.slice(2);
if (!program) {
    console.error("usage: run.mjs PROGRAM [ARGUMENT...]");
    exit(2);
}
const wasi = new WASI({
    version: "preview1",
    args: [program, ...args],
    env: Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith("SIGNFOLD_"))),
    // By its own name too, for paths that the compiler has written into the program.
    preopens: { ".": cwd(), [cwd()]: cwd() },
    returnOnExit: true,
});
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
exit(wasi.start(instance));
