-- Which limit an operation would have exceeded: a JSON object; empty where it ended otherwise.
ALTER TABLE operations ADD COLUMN exceeded TEXT NOT NULL DEFAULT '';
