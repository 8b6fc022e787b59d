ALTER TABLE operations DROP COLUMN exceeded;
