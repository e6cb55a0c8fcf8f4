"""``python -m cmlfast`` is the command ``cmlfast``."""

import sys

from cmlfast_cli import main

sys.exit(main())
