-- Ids are UUIDs as BLOB(16), times are microseconds since 1970 in UTC, states are the words of the wire.

-- The lineage of the log: one row.
CREATE TABLE meta (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    epoch BLOB    NOT NULL
) STRICT;

CREATE TABLE session (
    id        BLOB    NOT NULL PRIMARY KEY,
    user_id   TEXT    NOT NULL,
    thread_id BLOB    NOT NULL, -- the current one; its row is written when something is said in it
    fence     INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    floor_seq INTEGER NOT NULL,
    created   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The truth. Appended in key order per session, and read the same way.
CREATE TABLE event (
    session_id BLOB    NOT NULL REFERENCES session (id),
    seq        INTEGER NOT NULL,
    run_id     BLOB    NOT NULL,
    thread_id  BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    PRIMARY KEY (session_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE thread (
    user_id TEXT    NOT NULL,
    id      BLOB    NOT NULL UNIQUE, -- over all users: an id can't be taken by someone else
    name    TEXT    NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,        -- when something was last said
    touched INTEGER NOT NULL,        -- the order of a list, and its cursor: updated, made unique within the user
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX thread_by_use ON thread (user_id, touched);

CREATE TABLE message (
    user_id   TEXT    NOT NULL,
    thread_id BLOB    NOT NULL,
    n         INTEGER NOT NULL, -- the place in the thread, and the cursor of a page
    id        BLOB    NOT NULL,
    run_id    BLOB    NOT NULL,
    role      TEXT    NOT NULL,
    content   TEXT    NOT NULL,
    status    TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    PRIMARY KEY (user_id, thread_id, n),
    FOREIGN KEY (user_id, thread_id) REFERENCES thread (user_id, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX message_by_run ON message (user_id, run_id);

CREATE TABLE run (
    n          INTEGER PRIMARY KEY, -- the order in which runs were accepted
    id         BLOB    NOT NULL UNIQUE,
    user_id    TEXT    NOT NULL,
    thread_id  BLOB    NOT NULL,
    session_id BLOB    NOT NULL REFERENCES session (id),
    request_id BLOB    NOT NULL,
    message_id BLOB    NOT NULL,
    agent      TEXT    NOT NULL,
    metadata   TEXT,
    state      TEXT    NOT NULL,
    first_seq  INTEGER NOT NULL,    -- the session's last event when it was accepted or started: its own come after
    created    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX one_active_run ON run (thread_id) WHERE state IN ('running', 'waiting', 'cancelling');
CREATE INDEX active_runs_of_user ON run (user_id) WHERE state IN ('running', 'waiting', 'cancelling');
CREATE INDEX open_runs_of_session ON run (session_id) WHERE state IN ('queued', 'running', 'waiting', 'cancelling');
CREATE INDEX run_by_thread ON run (user_id, thread_id);

-- What makes sending again safe; kept for days.
CREATE TABLE client_message (
    user_id    TEXT    NOT NULL,
    message_id BLOB    NOT NULL,
    digest     BLOB    NOT NULL,
    thread_id  BLOB    NOT NULL,
    run_id     BLOB,
    created    INTEGER NOT NULL,
    PRIMARY KEY (user_id, message_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX client_message_by_age ON client_message (created);

CREATE TABLE note (
    n       INTEGER PRIMARY KEY,
    user_id TEXT    NOT NULL,
    id      BLOB    NOT NULL UNIQUE,
    text    TEXT    NOT NULL,
    created INTEGER NOT NULL
) STRICT;

CREATE INDEX note_by_user ON note (user_id, n);
