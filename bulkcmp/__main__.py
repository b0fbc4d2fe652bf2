"""The program `bulkcmp`, also as `python -m bulkcmp`."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    # the imports take half a second, in which Ctrl-C may come, and `ps` look
    try:
        from bulkcmp.cli.title import hide_secrets

        hide_secrets()
        from bulkcmp.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
