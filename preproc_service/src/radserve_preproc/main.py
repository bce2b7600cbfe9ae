"""``radserve-service``: the environment in, a running service out."""

from __future__ import annotations

import argparse
import os
import sys

from radserve_preproc import log
from radserve_preproc.settings import ConfigurationError, load
from radserve_preproc.settings_table import as_lines, as_markdown

USAGE_ERROR = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status: 0 stopped or printed, 2 the settings are wrong, 3 it could not start."""
    options = _parser().parse_args(arguments)
    if options.settings_md:
        print(as_markdown(), end="")
        return 0
    try:
        settings = load(os.environ)
    except ConfigurationError as error:
        print(f"radserve-service: {error}", file=sys.stderr)
        return USAGE_ERROR
    if options.print_settings:
        print(as_lines(settings))
        return 0
    log.configure(settings.log_level.value)
    # imported here: --help and wrong settings should not wait for it
    from radserve_preproc.app import create_app
    from radserve_preproc.server import Server

    try:
        app = create_app(settings)
    except ConfigurationError as error:
        print(f"radserve-service: {error}", file=sys.stderr)
        return USAGE_ERROR
    Server(app, settings).run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "radserve-service",
        description="Serve the pipelines over HTTP, in front of a Triton server.",
        epilog="Everything is set by RADSERVE_* environment variables: docs/settings.md, or --settings-md.",
    )
    parser.add_argument(
        "--print-settings", action="store_true", help="print what is in force, secrets masked, and stop"
    )
    parser.add_argument("--settings-md", action="store_true", help="print all settings as a Markdown table, and stop")
    return parser
