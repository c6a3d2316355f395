"""Measurements, one file a question: `python -m bench NAME --help`. Each prints a table and writes JSON."""
