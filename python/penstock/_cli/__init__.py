"""The command line: `penstock lint` and others for workflows, `runs` and others for stores.

It is an extra, `penstock[cli]`: nothing of it is imported by `import penstock`. Exit codes: 0 for
nothing found, 1 for findings and refusals, 2 for a mistake in the call or in a user's module.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit; the entry point of `penstock`."""
    try:
        import rich  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import typer  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ModuleNotFoundError as error:
        sys.stderr.write(f"penstock: {error.name} is not installed; pip install 'penstock[cli]'\n")
        sys.exit(2)
    from ._app import app

    app()
