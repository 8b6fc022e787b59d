-- Older versions know no such work: what is under way would be forgotten, and its vfolder stay PERFORMING for good. So this
-- is refused until all of it has ended, by a check that says so.
CREATE TEMPORARY TABLE live_work (
    operations BIGINT CONSTRAINT "wait for EXTRACT and REMOVE operations to end, or cancel them" CHECK (operations = 0)
);
INSERT INTO live_work SELECT count(*) FROM operations WHERE kind IN ('EXTRACT', 'REMOVE') AND state IN ('PENDING', 'RUNNING');
DROP TABLE live_work;
-- Without its arguments, such an operation is nothing.
DELETE FROM operations WHERE kind IN ('EXTRACT', 'REMOVE');
ALTER TABLE operations DROP COLUMN arguments;
