-- Attempts of an operation that have failed at work: one that finds the storage-proxy away is none.
ALTER TABLE operations ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
