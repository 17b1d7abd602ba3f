"""``python -m safeh5`` is the command ``safeh5``."""

from safeh5.cli import main

if __name__ == "__main__":
    main()
