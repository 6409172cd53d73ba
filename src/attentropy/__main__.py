"""`python -m attentropy` is the command `attentropy`."""

import sys

from attentropy.report.cli import main

if __name__ == "__main__":
    sys.exit(main())
