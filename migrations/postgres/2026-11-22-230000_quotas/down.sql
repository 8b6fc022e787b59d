DELETE FROM operations WHERE kind IN ('EXTRACT', 'REMOVE', 'RECOUNT');
ALTER TABLE operations DROP CONSTRAINT operations_kind_check;
ALTER TABLE operations ADD CONSTRAINT operations_kind_check CHECK (kind IN ('CREATE', 'CLONE', 'PURGE', 'VERIFY'));
DROP TABLE owner_quotas;
ALTER TABLE vfolders DROP COLUMN mounted_revision;
ALTER TABLE vfolders DROP COLUMN max_files;
ALTER TABLE vfolders DROP COLUMN max_bytes;
