"""run.py PROGRAM [ARGUMENT...]: a program for wasm32-wasip1 under Wasmtime, with this environment's
SIGNFOLD_* variables and the current folder. Exits as the program does. Needs requirements.txt. See
docs/testing.md.
"""

import os
import sys

from wasmtime import Engine, ExitTrap, Linker, Module, Store, WasiConfig

if len(sys.argv) < 2:
    sys.exit("usage: run.py PROGRAM [ARGUMENT...]")
wasi = WasiConfig()
wasi.argv = sys.argv[1:]
wasi.env = [(name, value) for name, value in os.environ.items() if name.startswith("SIGNFOLD_")]
wasi.inherit_stdout()
wasi.inherit_stderr()
# By its own name too, for paths that the compiler has written into the program.
wasi.preopen_dir(os.getcwd(), ".")
wasi.preopen_dir(os.getcwd(), os.getcwd())
store = Store(Engine())
store.set_wasi(wasi)
linker = Linker(store.engine)
linker.define_wasi()
program = linker.instantiate(store, Module.from_file(store.engine, sys.argv[1]))
try:
    program.exports(store)["_start"](store)
except ExitTrap as exit:
    sys.exit(exit.code)
