"""``python -m cmlfast_cli`` is the command ``cmlfast``, as ``python -m cmlfast`` is."""

import sys

from cmlfast_cli import main

sys.exit(main())
