-- Users' documents: what is known of them, their text in parts, and an index of the parts' words.

CREATE TABLE document (
    n          INTEGER PRIMARY KEY,     -- the order in which they came
    user_id    TEXT    NOT NULL,
    id         BLOB    NOT NULL UNIQUE, -- over all users: an id can't be taken by someone else
    name       TEXT    NOT NULL,
    media_type TEXT    NOT NULL,
    bytes      INTEGER NOT NULL,
    sha256     TEXT    NOT NULL,        -- in hexadecimal digits
    content    BLOB    NOT NULL UNIQUE, -- names its parts; a replacement has others
    created    INTEGER NOT NULL
) STRICT;

-- What a user has in all is read off here, without a look at the rows.
CREATE UNIQUE INDEX document_by_user ON document (user_id, id, bytes);
CREATE INDEX document_by_age ON document (user_id, n);

-- A document is written and taken away part by part, each in a commit of its own, so that no commit takes long.
CREATE TABLE document_part (
    n       INTEGER PRIMARY KEY, -- names it in the index of words
    content BLOB    NOT NULL,
    part    INTEGER NOT NULL,    -- 0, 1, 2 ... in the order of the text
    text    BLOB    NOT NULL,    -- UTF-8
    UNIQUE (content, part)
) STRICT;

-- Contents that no document has: one that is being written, or is to be taken away. Nobody reads them.
CREATE TABLE document_loose (
    content BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Words come here in small letters with single spaces between them, so both columns need ASCII's rules only. `owner` is the
-- user in hexadecimal digits: a search asks for it first, and so walks one user's parts. It keeps no text of its own.
CREATE VIRTUAL TABLE document_words USING fts5 (
    owner, words, tokenize = 'ascii', content = '', contentless_delete = 1, detail = 'column'
);

-- The documents that a run's message names: a JSON array of their ids; none where it names none.
ALTER TABLE run ADD COLUMN documents TEXT;
