DROP TABLE requests;
DROP TABLE events;
DROP TABLE mounts;
DROP TABLE operations;
DROP TABLE vfolders;
