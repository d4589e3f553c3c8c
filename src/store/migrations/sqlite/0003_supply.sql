-- What users changed in the supply catalogue for themselves: a log, of which the last row of a model's field counts.
CREATE TABLE supply_change (
    n          INTEGER PRIMARY KEY, -- the order in which they came
    user_id    TEXT    NOT NULL,
    model      TEXT    NOT NULL,
    field      TEXT    NOT NULL,
    old        TEXT    NOT NULL,    -- JSON
    new        TEXT    NOT NULL,    -- JSON
    confidence REAL    NOT NULL,
    reason     TEXT    NOT NULL,
    sources    TEXT    NOT NULL,    -- JSON: a list of {url, title}
    created    INTEGER NOT NULL
) STRICT;

CREATE INDEX supply_change_by_user ON supply_change (user_id, n);
CREATE INDEX supply_change_by_field ON supply_change (user_id, model, field, n);
