"""Builds the compiled parts, each beside the Python that does the same; without a C compiler Sluice runs on that."""

from pathlib import Path

from setuptools import Extension, setup

PACKAGES = ("parsers", "sources", "streaming", "tables")

setup(
    ext_modules=[
        Extension(
            f"{path.parent.name}.{path.stem}",
            [str(path)],
            depends=[str(part) for part in sorted(path.parent.glob("_*.pxi"))],
            optional=True,
        )
        for package in PACKAGES
        for path in sorted(Path(package).glob("_*.pyx"))
    ]
)
