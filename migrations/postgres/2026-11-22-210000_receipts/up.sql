-- Receipts: digests of trees, and a kind of operation that computes one.

ALTER TABLE operations DROP CONSTRAINT operations_kind_check;
ALTER TABLE operations ADD CONSTRAINT operations_kind_check CHECK (kind IN ('CREATE', 'CLONE', 'PURGE', 'VERIFY')) NOT VALID;
ALTER TABLE operations VALIDATE CONSTRAINT operations_kind_check;
-- For a clone: a receipt was asked for.
ALTER TABLE operations ADD COLUMN receipt BOOLEAN NOT NULL DEFAULT FALSE;
-- The tree's digest, once it has succeeded.
ALTER TABLE operations ADD COLUMN digest TEXT NOT NULL DEFAULT '';
-- For a verification: what to compare it with.
ALTER TABLE operations ADD COLUMN expected_digest TEXT NOT NULL DEFAULT '';
-- For a verification: somebody could write meanwhile.
ALTER TABLE operations ADD COLUMN may_have_changed BOOLEAN NOT NULL DEFAULT FALSE;

-- The digest of its tree as of its making: of a clone that was asked for a receipt.
ALTER TABLE vfolders ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE vfolders ADD COLUMN digest_files BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vfolders ADD COLUMN digest_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE vfolders ADD COLUMN digest_time TIMESTAMPTZ;
