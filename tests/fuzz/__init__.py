"""Random and mutated input for every parser: `python -m tests.fuzz <parser> --minutes M --seed S`."""
