"""`python -m stdo_min` is `stdo`."""

import sys

from stdo_min.cli import main

sys.exit(main())
