ALTER TABLE operations DROP COLUMN arguments;
DELETE FROM operations WHERE kind IN ('EXTRACT', 'REMOVE', 'RECOUNT');
ALTER TABLE operations DROP CONSTRAINT operations_kind_check;
ALTER TABLE operations ADD CONSTRAINT operations_kind_check CHECK (kind IN ('CREATE', 'CLONE', 'PURGE', 'VERIFY'));
