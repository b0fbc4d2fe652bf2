"""When transactions begin: pure arithmetic on times, no clock."""
