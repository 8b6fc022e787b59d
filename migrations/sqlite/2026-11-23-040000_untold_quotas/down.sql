ALTER TABLE owner_quotas DROP COLUMN untold;
DROP INDEX vfolders_quota_untold;
ALTER TABLE vfolders DROP COLUMN quota_untold;
