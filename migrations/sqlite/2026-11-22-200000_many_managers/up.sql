-- Several managers: turns, fences, notes of volumes, one feed of all events.

-- Whose turn in a volume's queue it takes: "user:<id>" or "project:<id>", as of its making.
ALTER TABLE operations ADD COLUMN owner TEXT NOT NULL DEFAULT '';
-- For a clone: the source's epoch while it is CLONING.
ALTER TABLE operations ADD COLUMN source_epoch BIGINT NOT NULL DEFAULT 0;
-- When the present holder of the lease took it.
ALTER TABLE operations ADD COLUMN lease_time BIGINT;
-- Since when no attempt has got as far as working on the tree.
ALTER TABLE operations ADD COLUMN failing_since BIGINT;
-- What is live goes on under the new rules.
UPDATE operations SET owner = (SELECT v.owner_kind || ':' || v.owner_id FROM vfolders v WHERE v.id = operations.vfolder_id)
    WHERE state IN ('PENDING', 'RUNNING');
UPDATE operations SET source_epoch = coalesce((SELECT v.epoch FROM vfolders v WHERE v.id = operations.source_id), 0)
    WHERE state IN ('PENDING', 'RUNNING') AND kind = 'CLONE';
CREATE INDEX operations_queue ON operations (volume, kind, owner, create_time, id) WHERE state = 'PENDING';
CREATE INDEX operations_running ON operations (volume, kind, owner) WHERE state = 'RUNNING';

-- The last epoch that the storage-proxy was told of apart from any operation: after a move to the trash.
ALTER TABLE vfolders ADD COLUMN fenced_epoch BIGINT NOT NULL DEFAULT 0;
CREATE INDEX vfolders_unfenced ON vfolders (id) WHERE status = 'TRASHED' AND fenced_epoch < epoch;

-- A volume's queue. Its row lock is what a worker holds while it claims, so that caps and turns hold among managers.
CREATE TABLE volumes (
    name         TEXT PRIMARY KEY NOT NULL,
    paused       BOOLEAN NOT NULL,
    pause_reason TEXT NOT NULL,
    pause_actor  TEXT NOT NULL,
    pause_time   BIGINT
);

-- The place of an event in the one feed of all: given after its commit, in the order in which they were found
-- committed. None: not given yet.
ALTER TABLE events ADD COLUMN position BIGINT;
CREATE UNIQUE INDEX events_position ON events (position) WHERE position IS NOT NULL;
CREATE INDEX events_unplaced ON events (vfolder_id, sequence) WHERE position IS NULL;

CREATE TABLE feed (
    id      TEXT PRIMARY KEY NOT NULL, -- of this feed: a token of another one is not good here
    last    BIGINT NOT NULL,           -- the last position given
    horizon BIGINT NOT NULL            -- the last position of an event that was removed with its vfolder's record
);
INSERT INTO feed (id, last, horizon) VALUES (lower(hex(randomblob(16))), 0, 0);
