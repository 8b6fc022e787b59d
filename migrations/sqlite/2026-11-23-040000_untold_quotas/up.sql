-- What the storage-proxy still has to be told about quotas: limits that changed, and sessions that gave up a mount for
-- writing. Set in the transaction of the change, cleared once the storage-proxy has answered.
ALTER TABLE vfolders ADD COLUMN quota_untold BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX vfolders_quota_untold ON vfolders (volume, id) WHERE quota_untold;
ALTER TABLE owner_quotas ADD COLUMN untold BOOLEAN NOT NULL DEFAULT FALSE;
