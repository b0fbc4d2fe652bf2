"""`python -m bulkcmp`."""

from bulkcmp.cli.main import main

if __name__ == "__main__":
    main()
