"""The command map, which draws what a model has learned."""

from __future__ import annotations

import argparse
import logging

from cmlfast import CML
from cmlfast.data.columns import LOG
from cmlfast_cli.reading import read_item_table, read_tags
from cmlfast_cli.streams import say


def map(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Draw a model's items, and users among them, to a page or a picture."""
    column = None if options.color == "popularity" else options.color
    titles = read_item_table(options.titles, column) if options.titles else None  # what is wrong there is told at once
    model = CML.load(options.model)
    item_features = read_tags(options, model).get("item_features")
    LOG.addFilter(_is_news)
    try:
        written = model.plot(
            options.output,
            titles=titles,
            color=options.color,
            users=options.users,
            item_features=item_features,
            random_state=options.seed,
        )
    finally:
        LOG.removeFilter(_is_news)
    if not options.quiet:
        say(f"wrote {written}")


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is more than what the columns are taken as once they have their names from `read_item_table`."""
    return not record.getMessage().startswith("the frame: ")
