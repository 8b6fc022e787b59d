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
    update_time TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (volume, owner_kind, owner_id)
);

-- Kinds of operations that work in a tree or count it.
ALTER TABLE operations DROP CONSTRAINT operations_kind_check;
ALTER TABLE operations ADD CONSTRAINT operations_kind_check CHECK (kind IN ('CREATE', 'CLONE', 'PURGE', 'VERIFY', 'EXTRACT', 'REMOVE', 'RECOUNT')) NOT VALID;
ALTER TABLE operations VALIDATE CONSTRAINT operations_kind_check;
