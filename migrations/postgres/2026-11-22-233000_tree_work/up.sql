-- Work inside a tree: what its operations are to do. (Their kinds are there already.)

-- A JSON object; empty for all others.
ALTER TABLE operations ADD COLUMN arguments TEXT NOT NULL DEFAULT '';
