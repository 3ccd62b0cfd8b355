"""How Sluice is tried out and deployed; no part of the installed package."""
