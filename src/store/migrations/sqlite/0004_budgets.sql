-- What users and their sessions have used. One row per user, whose counts begin anew with each window, and one per session.
CREATE TABLE used (
    user_id           TEXT    NOT NULL,
    session_id        BLOB    NOT NULL, -- empty in the user's own row
    since             INTEGER NOT NULL, -- the beginning of the window that counts; 0 in a session's row
    steps             INTEGER NOT NULL,
    tool_calls        INTEGER NOT NULL,
    tokens            INTEGER NOT NULL,
    cost_micros       INTEGER NOT NULL, -- millionths of a US dollar
    time_ms           INTEGER NOT NULL,
    tool_output_bytes INTEGER NOT NULL,
    stored_bytes      INTEGER NOT NULL,
    PRIMARY KEY (user_id, session_id)
) STRICT, WITHOUT ROWID;
