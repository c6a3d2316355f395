"""`python -m bench NAME ...` runs bench/NAME.py."""

import importlib
import pkgutil
import sys

import bench

NAMES = sorted(module.name for module in pkgutil.iter_modules(bench.__path__)
               if not module.ispkg and not module.name.startswith("_"))

if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
    print(f"usage: python -m bench {{{','.join(NAMES)}}} ...", file=sys.stderr)
    sys.exit(2)
sys.exit(importlib.import_module(f"bench.{sys.argv[1]}").main(sys.argv[2:]))
