"""The development server behind `make run`: the service with PostgreSQL, Valkey and Node from wheels."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def status(component: str, text: str) -> None:
    """Print the status of a component."""
    print(f"{component:<11} {text}", flush=True)  # noqa: T201 # command-line output
