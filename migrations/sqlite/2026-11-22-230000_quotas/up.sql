-- Quotas: how much may be in a vfolder, and in all of an owner's on one volume. 0: no limit.

-- Bytes of file data.
ALTER TABLE vfolders ADD COLUMN max_bytes BIGINT NOT NULL DEFAULT 0 CHECK (max_bytes >= 0);
-- Directory entries, the root not counted.
ALTER TABLE vfolders ADD COLUMN max_files BIGINT NOT NULL DEFAULT 0 CHECK (max_files >= 0);
-- The revision with which a session last gave up a mount for writing: what was counted before is no longer what is there.
ALTER TABLE vfolders ADD COLUMN mounted_revision BIGINT NOT NULL DEFAULT 0;

CREATE TABLE owner_quotas (
    volume      TEXT NOT NULL,
    owner_kind  TEXT NOT NULL CHECK (owner_kind IN ('user', 'project')),
    owner_id    TEXT NOT NULL,
    max_bytes   BIGINT NOT NULL CHECK (max_bytes >= 0),
    max_files   BIGINT NOT NULL CHECK (max_files >= 0),
    revision    BIGINT NOT NULL, -- rises with each change; the row stays when both limits are lifted
    update_time BIGINT NOT NULL,
    PRIMARY KEY (volume, owner_kind, owner_id)
);

-- Kinds of operations that work in a tree or count it. SQLite can't change a CHECK: the table is made anew. Nothing
-- refers to it.
CREATE TABLE operations_new (
    id                TEXT PRIMARY KEY NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('CREATE', 'CLONE', 'PURGE', 'VERIFY', 'EXTRACT', 'REMOVE', 'RECOUNT')),
    vfolder_id        TEXT NOT NULL REFERENCES vfolders (id) ON DELETE CASCADE,
    source_id         TEXT, -- no foreign key: the record of a clone outlives its source
    volume            TEXT NOT NULL,
    requester         TEXT NOT NULL,
    state             TEXT NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    attempt           INTEGER NOT NULL,
    lease_owner       TEXT,
    lease_expire_time BIGINT,
    retry_time        BIGINT NOT NULL,
    cancel_requested  BOOLEAN NOT NULL,
    epoch             BIGINT NOT NULL,
    files_done        BIGINT NOT NULL,
    files_total       BIGINT NOT NULL,
    bytes_done        BIGINT NOT NULL,
    bytes_total       BIGINT NOT NULL,
    files_per_second  BIGINT NOT NULL,
    bytes_per_second  BIGINT NOT NULL,
    error_reason      TEXT NOT NULL,
    error_text        TEXT NOT NULL,
    last_problem      TEXT NOT NULL,
    create_time       BIGINT NOT NULL,
    start_time        BIGINT,
    end_time          BIGINT,
    update_time       BIGINT NOT NULL,
    owner             TEXT NOT NULL DEFAULT '',
    source_epoch      BIGINT NOT NULL DEFAULT 0,
    lease_time        BIGINT,
    failing_since     BIGINT,
    receipt           BOOLEAN NOT NULL DEFAULT FALSE, -- for a clone: it was asked for
    digest            TEXT NOT NULL DEFAULT '', -- the tree's, once it has succeeded
    expected_digest   TEXT NOT NULL DEFAULT '', -- for a verification: what to compare it with
    may_have_changed  BOOLEAN NOT NULL DEFAULT FALSE, -- for a verification: somebody could write meanwhile
    CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (end_time IS NOT NULL)),
    CHECK ((kind = 'CLONE') = (source_id IS NOT NULL))
);
INSERT INTO operations_new (
    id, kind, vfolder_id, source_id, volume, requester,
    state, attempt, lease_owner, lease_expire_time, retry_time, cancel_requested,
    epoch, files_done, files_total, bytes_done, bytes_total, files_per_second,
    bytes_per_second, error_reason, error_text, last_problem, create_time, start_time,
    end_time, update_time, owner, source_epoch, lease_time, failing_since,
    receipt, digest, expected_digest, may_have_changed
) SELECT
    id, kind, vfolder_id, source_id, volume, requester,
    state, attempt, lease_owner, lease_expire_time, retry_time, cancel_requested,
    epoch, files_done, files_total, bytes_done, bytes_total, files_per_second,
    bytes_per_second, error_reason, error_text, last_problem, create_time, start_time,
    end_time, update_time, owner, source_epoch, lease_time, failing_since,
    receipt, digest, expected_digest, may_have_changed
FROM operations;
DROP TABLE operations;
ALTER TABLE operations_new RENAME TO operations;
CREATE INDEX operations_live ON operations (retry_time, create_time) WHERE state IN ('PENDING', 'RUNNING');
CREATE INDEX operations_vfolder ON operations (vfolder_id, state);
CREATE INDEX operations_source ON operations (source_id, state);
CREATE INDEX operations_ended ON operations (end_time) WHERE end_time IS NOT NULL;
CREATE INDEX operations_queue ON operations (volume, kind, owner, create_time, id) WHERE state = 'PENDING';
CREATE INDEX operations_running ON operations (volume, kind, owner) WHERE state = 'RUNNING';
