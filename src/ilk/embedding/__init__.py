"""Items in, embeddings out: loaded in parallel, computed in batches, remembered by content."""

from ilk.embedding.cache import EmbeddingCache
from ilk.embedding.embed import Embedded, embed_items
from ilk.embedding.table import TABLE_SUFFIXES, check_table_path, write_table

__all__ = [
    "TABLE_SUFFIXES",
    "Embedded",
    "EmbeddingCache",
    "check_table_path",
    "embed_items",
    "write_table",
]
