"""Linting of issued certificates, by pkilint, which the extra `bulkcmp[lint]` brings."""
