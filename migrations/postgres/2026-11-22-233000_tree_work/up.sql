-- Work inside a tree: kinds of operations, and what they are to do.

ALTER TABLE operations DROP CONSTRAINT operations_kind_check;
ALTER TABLE operations ADD CONSTRAINT operations_kind_check CHECK (kind IN ('CREATE', 'CLONE', 'PURGE', 'VERIFY', 'EXTRACT', 'REMOVE', 'RECOUNT')) NOT VALID;
ALTER TABLE operations VALIDATE CONSTRAINT operations_kind_check;
-- Of what works inside a tree: a JSON object.
ALTER TABLE operations ADD COLUMN arguments TEXT NOT NULL DEFAULT '';
