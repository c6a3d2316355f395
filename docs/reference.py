"""Builds the reference from the docstrings: python docs/reference.py FOLDER. Whatever pdoc warns of ends it."""

import re
import sys
import typing
import warnings
from importlib import import_module
from pathlib import Path

import pdoc
import pdoc.docstrings

PACKAGE, OURS_ALONE = "stdo_min", "!stdo_min._stdo"  # the C extension speaks through library.py and convolution.py


def literal(text: str, *_) -> str:
    """Markdown in which stars, underlines and brackets outside of `code` are themselves: 2*halo is a product."""
    return re.sub(r"(`[^`]*`)|([*_<\[\]])", lambda found: found[1] or "\\" + found[2], text)


def resolve_named_tuples() -> None:
    """Give fields of named tuples their types: pdoc looks for the names in typing, where they are not known."""
    for name, module in list(sys.modules.items()):
        if name.startswith(PACKAGE):
            for item in vars(module).values():
                if isinstance(item, type) and issubclass(item, tuple) and hasattr(item, "_fields"):
                    item.__new__.__annotations__ = typing.get_type_hints(item)


def main(folder: Path) -> None:
    """Write a page for each module."""
    warnings.simplefilter("error")
    root = Path(__file__).parents[1]
    for path in sorted((root / PACKAGE).rglob("[!_]*.py")):
        import_module(".".join(path.relative_to(root).with_suffix("").parts))
    resolve_named_tuples()
    pdoc.docstrings.convert = literal
    pdoc.render.configure(docformat="markdown", footer_text="stdo", search=False)
    pdoc.pdoc(PACKAGE, OURS_ALONE, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
