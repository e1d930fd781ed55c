-- A log of format 1, as released. Never changed: every later version opens it.
PRAGMA application_id = 0x4c53656c;
PRAGMA user_version = 1;
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1), local TEXT NOT NULL, settled TEXT NOT NULL, upstream TEXT NOT NULL,
    cursor_after INTEGER NOT NULL, cursor_token BLOB, backend_id TEXT, generation INTEGER NOT NULL,
    term INTEGER NOT NULL, client_id TEXT, secret BLOB
) STRICT;
CREATE TABLE event (
    global INTEGER NOT NULL, client INTEGER NOT NULL, generation INTEGER NOT NULL, name TEXT NOT NULL,
    args TEXT NOT NULL, client_id TEXT NOT NULL, session_id TEXT NOT NULL, commit_n INTEGER, commit_index INTEGER,
    unit_end INTEGER NOT NULL, is_own INTEGER NOT NULL, PRIMARY KEY (global, client)
) STRICT, WITHOUT ROWID;
CREATE TABLE session (session_id TEXT PRIMARY KEY, persisted INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE gone (
    session_id TEXT NOT NULL, n INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (session_id, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE archive (
    id INTEGER PRIMARY KEY, base TEXT NOT NULL, head TEXT NOT NULL, backend_id TEXT, reason TEXT NOT NULL
) STRICT;
CREATE TABLE archived_event (
    archive INTEGER NOT NULL, global INTEGER NOT NULL, client INTEGER NOT NULL, generation INTEGER NOT NULL,
    name TEXT NOT NULL, args TEXT NOT NULL, client_id TEXT NOT NULL, session_id TEXT NOT NULL, commit_n INTEGER,
    commit_index INTEGER, unit_end INTEGER NOT NULL, is_own INTEGER NOT NULL, PRIMARY KEY (archive, global, client)
) STRICT, WITHOUT ROWID;
INSERT INTO head VALUES (1, 'e1.1r2', 'e1', 'e1', 1, x'00ff', 'b1', 2, 9, 'c1', x'000102030405060708090a0b0c0d0e0f');
INSERT INTO event VALUES (1, 0, 0, 'v1.A', '{"a":1}', 'c2', 's9', NULL, NULL, 1, 0);
INSERT INTO event VALUES (1, 1, 2, 'v1.B', 'null', 'c1', 's1', 3, 1, 0, 1);
INSERT INTO session VALUES ('s1', 3);
INSERT INTO gone VALUES ('s1', 1, '"Archived"'), ('s1', 2, '{"Rejected":"no"}');
INSERT INTO archive VALUES (1, 'e1', 'e2', NULL, 'replaced');
INSERT INTO archived_event VALUES (1, 2, 0, 0, 'v1.A', '[]', 'c1', 's1', 1, 0, 1, 1);
