"""Tables of the file, its version, and how a file of an older version is brought up to date.

Ids are handed out by the log: each of its rows keeps the last id of every table, so that no id is
used again and a single enrollment writes as few pages as it can. Rows that one change added are
found by those ids, rows that a later change touched by the index on `touched`.

A checksum is the CRC-32 of the embedding's bytes. The token of a change is random: it tells
histories of the same length apart, as of a gallery and of its restored backup.
"""

from __future__ import annotations

from collections.abc import Callable

from ilk.store import Role, Table
from ilk.stores.sqlite.connection import Connection

__all__ = [
    "APPLICATION_ID",
    "EMBEDDED",
    "EXPIRES",
    "MIGRATIONS",
    "OLDEST_READABLE",
    "ROLES",
    "TABLES",
    "statements",
    "version",
]

APPLICATION_ID = 0x696C6B67
"""Marks the file as ours: "ilkg" in ASCII."""

ROLES: tuple[Role, ...] = ("exemplar", "not", "ignore")
"""Roles by the number that the file keeps."""

TABLES: tuple[Table, ...] = ("class", "exemplar", "stranger", "unknown")
"""Tables whose rows have ids from the log."""

EMBEDDED: tuple[Table, ...] = ("exemplar", "stranger", "unknown")
"""Tables whose rows have an embedding and its checksum."""


def _add_checksums(connection: Connection) -> None:
    for table in EMBEDDED:
        connection.run(f"alter table {table} add column checksum integer")
        connection.run(f"update {table} set checksum = crc32(embedding)")
    connection.run("alter table change add column token integer")
    connection.run("update change set token = random()")


MIGRATIONS: list[Callable[[Connection], None]] = [_add_checksums]
"""The first brings a file of version 1 to version 2, and so on; each runs inside a transaction."""

OLDEST_READABLE = 1
"""A file of this version or a later one can be read as it is; to be written it is migrated."""

EXPIRES = (
    "create index if not exists exemplar_expires on exemplar(substr(expires, 1, 10)) "
    "where expires is not null"
)
"""Finds what has expired without reading all rows."""

_STATEMENTS = """
create table fact(key text primary key, value text not null) strict, without rowid;
create table internal(key text primary key, value blob not null) strict, without rowid;
create table setting(key text primary key, value text not null) strict, without rowid;
create table class(
    id integer primary key,
    is_live integer not null check(is_live between 0 and 1),
    added integer not null,
    touched integer not null,
    label text not null
) strict;
create unique index class_label on class(label) where is_live = 1;
create table exemplar(
    id integer primary key,
    class_id integer references class(id),
    role integer not null check(role between 0 and 2),
    is_live integer not null check(is_live between 0 and 1),
    added integer not null,
    touched integer not null,
    content_hash text not null,
    name text not null,
    metadata text not null,
    expires text,
    embedding blob not null check(length(embedding) = {num_bytes}),
    checksum integer
) strict;
create index exemplar_class on exemplar(class_id, role, is_live);
create unique index exemplar_content on exemplar(content_hash) where is_live = 1 and role = 0;
create index exemplar_barring on exemplar(content_hash) where is_live = 1 and role != 0;
create index exemplar_touched on exemplar(touched) where touched != added;
{expires};
create table crop(
    exemplar_id integer primary key references exemplar(id),
    picture blob not null
) strict;
create table stranger(
    id integer primary key,
    is_live integer not null check(is_live between 0 and 1),
    added integer not null,
    touched integer not null,
    content_hash text not null,
    "group" text not null,
    embedding blob not null check(length(embedding) = {num_bytes}),
    checksum integer
) strict;
create table unknown(
    id integer primary key,
    is_live integer not null check(is_live between 0 and 1),
    added integer not null,
    touched integer not null,
    content_hash text not null,
    name text not null,
    distance real not null,
    embedding blob not null check(length(embedding) = {num_bytes}),
    crop blob,
    checksum integer
) strict;
create unique index unknown_content on unknown(content_hash) where is_live = 1;
create table change(
    id integer primary key,
    time text not null,
    actor text not null,
    action text not null,
    call text not null,
    undoes integer,
    is_erased integer not null check(is_erased between 0 and 1),
    is_about_settings integer not null check(is_about_settings between 0 and 1),
    last_class integer not null,
    last_exemplar integer not null,
    last_stranger integer not null,
    last_unknown integer not null,
    effects text not null,
    token integer
) strict;
create table erased(
    change_id integer not null,
    id integer not null,
    primary key(change_id, id)
) strict, without rowid;
create table suppressed(hash blob primary key) strict, without rowid;
create table receipt(
    change_id integer primary key,
    time text not null,
    num_classes integer not null,
    num_exemplars integer not null,
    num_unknowns integer not null,
    num_strangers integer not null,
    num_changes integer not null,
    digest text not null
) strict;
"""


def version() -> int:
    """Return the version of the schema that this code reads and writes."""
    return len(MIGRATIONS) + 1


def statements(embedding_size: int) -> list[str]:
    """Return what makes an empty file of the present version for embeddings of that size."""
    text = _STATEMENTS.format(num_bytes=4 * embedding_size, expires=EXPIRES)
    return [statement for part in text.split(";") if (statement := part.strip())]
