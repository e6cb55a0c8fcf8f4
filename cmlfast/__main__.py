"""``python -m cmlfast`` is the command ``cmlfast``."""

import sys

from cmlfast.cli import main

sys.exit(main())
