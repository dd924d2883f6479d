"""Whether stores and a text table belong together: a text id means nothing in another table, or an older one."""

from __future__ import annotations

from collections.abc import Sequence

from rfm.errors import RfmError
from rfm.store import Store, TextTable


def check_text_table(stores: Sequence[Store], texts: TextTable) -> None:
    """Raises RfmError for a store whose text ids point into another table than `texts`, or past its end."""
    for store in stores:
        if store.text_table != texts.identity:
            raise RfmError(
                f"store {store.path} was built with another text table than {texts.path}; "
                "use the one in its own root, or build all stores under one root"
            )
        if store.num_texts > len(texts):
            raise RfmError(
                f"store {store.path} was built with {store.num_texts} texts, {texts.path} was opened when it had "
                f"{len(texts)}; open the table again: store.texts"
            )
