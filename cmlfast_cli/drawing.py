"""The command map, which draws what a model has learned."""

from __future__ import annotations

import argparse

from cmlfast import CML
from cmlfast_cli.reading import read_item_table, read_tags
from cmlfast_cli.streams import say


def map(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Draw a model's items, and users among them, to a page or a picture."""
    model = CML.load(options.model)
    column = None if options.color == "popularity" else options.color
    written = model.plot(
        options.output,
        titles=read_item_table(options.titles, column) if options.titles else None,
        color=options.color,
        users=options.users,
        item_features=read_tags(options, model).get("item_features"),
        random_state=options.seed,
    )
    if not options.quiet:
        say(f"wrote {written}")
