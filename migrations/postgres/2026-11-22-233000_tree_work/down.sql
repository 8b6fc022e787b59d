-- Without its arguments, such an operation is nothing.
DELETE FROM operations WHERE kind IN ('EXTRACT', 'REMOVE');
ALTER TABLE operations DROP COLUMN arguments;
