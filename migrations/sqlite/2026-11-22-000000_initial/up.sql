-- SQLite: the tables of the manager. Its twin in ../../postgres must give the same tables and columns; a test compares.
--
-- Times are microseconds since the Unix epoch, ids are hyphenated lower-case text, which sorts as the id does.

CREATE TABLE vfolders (
    id                TEXT PRIMARY KEY NOT NULL,
    name              TEXT NOT NULL,
    owner_kind        TEXT NOT NULL CHECK (owner_kind IN ('user', 'project')),
    owner_id          TEXT NOT NULL,
    volume            TEXT NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('CREATING', 'READY', 'PERFORMING', 'CLONING', 'MOUNTED', 'TRASHED', 'DELETING', 'DELETED', 'ERROR')),
    status_reason     TEXT NOT NULL,
    description       TEXT NOT NULL,
    labels            TEXT NOT NULL, -- a JSON object
    member_permission TEXT NOT NULL CHECK (member_permission IN ('READ', 'WRITE', 'DELETE', 'OWN')),
    creator           TEXT NOT NULL,
    create_time       BIGINT NOT NULL,
    update_time       BIGINT NOT NULL,
    delete_time       BIGINT,
    purge_time        BIGINT,
    revision          BIGINT NOT NULL, -- rises with every change; the sequence of the change's event; the etag
    epoch             BIGINT NOT NULL,
    CHECK ((status = 'TRASHED') = (purge_time IS NOT NULL))
);

-- A name is taken among the vfolders of an owner that are in use. What is in the trash or beyond never comes into the
-- way of its own purge; what is in ERROR gives its name up, and has to find it free, or another, when it comes back.
CREATE UNIQUE INDEX vfolders_name ON vfolders (owner_kind, owner_id, name) WHERE status IN ('CREATING', 'READY', 'PERFORMING', 'CLONING', 'MOUNTED');
CREATE INDEX vfolders_owner ON vfolders (owner_kind, owner_id, id);
CREATE INDEX vfolders_purge ON vfolders (purge_time) WHERE status = 'TRASHED';
CREATE INDEX vfolders_gone ON vfolders (update_time) WHERE status = 'DELETED';

CREATE TABLE operations (
    id                TEXT PRIMARY KEY NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('CREATE', 'CLONE', 'PURGE')),
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
    CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (end_time IS NOT NULL)),
    CHECK ((kind = 'CLONE') = (source_id IS NOT NULL))
);

CREATE INDEX operations_live ON operations (retry_time, create_time) WHERE state IN ('PENDING', 'RUNNING');
CREATE INDEX operations_vfolder ON operations (vfolder_id, state);
CREATE INDEX operations_source ON operations (source_id, state);
CREATE INDEX operations_ended ON operations (end_time) WHERE end_time IS NOT NULL;

CREATE TABLE mounts (
    id          TEXT PRIMARY KEY NOT NULL,
    vfolder_id  TEXT NOT NULL REFERENCES vfolders (id) ON DELETE CASCADE,
    session     TEXT NOT NULL,
    mode        TEXT NOT NULL CHECK (mode IN ('ro', 'rw')),
    holder      TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    expire_time BIGINT NOT NULL,
    UNIQUE (vfolder_id, session)
);

CREATE INDEX mounts_expire ON mounts (expire_time);

CREATE TABLE events (
    vfolder_id   TEXT NOT NULL REFERENCES vfolders (id) ON DELETE CASCADE,
    sequence     BIGINT NOT NULL,
    time         BIGINT NOT NULL,
    from_status  TEXT, -- none for the first event
    to_status    TEXT NOT NULL,
    action       TEXT NOT NULL,
    actor        TEXT NOT NULL,
    operation_id TEXT,
    mount_id     TEXT,
    reason       TEXT NOT NULL,
    PRIMARY KEY (vfolder_id, sequence)
);

-- Requests that may be repeated: what they made, and a digest of what they asked for.
CREATE TABLE requests (
    requester    TEXT NOT NULL,
    request_id   TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    create_time  BIGINT NOT NULL,
    PRIMARY KEY (requester, request_id)
);

CREATE INDEX requests_age ON requests (create_time);
CREATE INDEX requests_operation ON requests (operation_id);
