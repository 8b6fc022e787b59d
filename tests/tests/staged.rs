//! Puts vfolders into statuses, with what backs them, by writing to the database directly: so that a test can look at
//! a status that would be over in a moment. The backing operations are leased to a manager that doesn't exist, until
//! [`release`] lets a real one have them.

use uuid::Uuid;
use vfolder_proto::v1::VFolderStatus;
use vfolder_tests::Database;

/// How long what is staged stays: longer than any test.
const LONG: i64 = 86_400;

/// Statements that stage something on one vfolder.
pub struct Staged<'a> {
    database: &'a Database,
    vfolder: &'a str,
    statements: Vec<String>,
}

/// A clone that waits for its manager.
#[derive(Clone, Debug)]
pub struct StagedClone {
    /// The operation's id.
    pub operation: String,
    /// The destination's id.
    pub destination: String,
}

impl<'a> Staged<'a> {
    /// Nothing yet.
    pub fn on(database: &'a Database, vfolder: &'a str) -> Self {
        Self {
            database,
            vfolder,
            statements: Vec::new(),
        }
    }

    /// The status and what has to back it; for MOUNTED that is up to [`Staged::mount`].
    pub fn status(mut self, status: VFolderStatus) -> Self {
        let later = self.database.time(LONG);
        let set = match status {
            VFolderStatus::Trashed => {
                format!(
                    ", delete_time = {}, purge_time = {later}",
                    self.database.time(0)
                )
            }
            VFolderStatus::Error => ", status_reason = 'staged by a test'".to_owned(),
            _ => String::new(),
        };
        let (name, id) = (status.as_str_name(), self.vfolder);
        self.statements.push(format!(
            "UPDATE vfolders SET status = '{name}'{set} WHERE id = '{id}'"
        ));
        match status {
            VFolderStatus::Creating => self.operation("CREATE", &new_id(), id, None),
            VFolderStatus::Deleting => self.operation("PURGE", &new_id(), id, None),
            VFolderStatus::Cloning => self.clone_to(&StagedClone::new()),
            // No kind of operation works in place yet: PERFORMING has its row and its cells, and nothing backs it.
            _ => self,
        }
    }

    /// A live mount.
    pub fn mount(mut self, session: &str, mode: &str) -> Self {
        let (mount, id) = (new_id(), self.vfolder);
        let (now, later) = (self.database.time(0), self.database.time(LONG));
        self.statements.push(format!(
            "INSERT INTO mounts (id, vfolder_id, session, mode, holder, create_time, expire_time) \
             VALUES ('{mount}', '{id}', '{session}', '{mode}', 'alice', {now}, {later})"
        ));
        self
    }

    /// A live clone of it, with the destination's record.
    pub fn clone_to(mut self, clone: &StagedClone) -> Self {
        let StagedClone {
            operation,
            destination,
        } = clone;
        let source = self.vfolder;
        let same = "owner_kind, owner_id, volume, description, labels, member_permission, creator, \
                    create_time, update_time";
        self.statements.push(format!(
            "INSERT INTO vfolders (id, name, status, status_reason, revision, epoch, {same}) \
             SELECT '{destination}', 'copy-{destination}', 'CREATING', '', 1, 1, {same} \
             FROM vfolders WHERE id = '{source}'"
        ));
        self.statements.push(format!(
            "UPDATE vfolders SET status = 'CLONING' WHERE id = '{source}'"
        ));
        self.operation("CLONE", operation, destination, Some(source))
    }

    /// A live operation.
    fn operation(mut self, kind: &str, id: &str, vfolder: &str, source: Option<&str>) -> Self {
        let nobody = new_id();
        let source = source.map_or("NULL".to_owned(), |id| format!("'{id}'"));
        let (now, later) = (self.database.time(0), self.database.time(LONG));
        self.statements.push(format!(
            "INSERT INTO operations (id, kind, vfolder_id, source_id, volume, requester, state, attempt, lease_owner, \
             lease_expire_time, retry_time, cancel_requested, epoch, files_done, files_total, bytes_done, bytes_total, \
             files_per_second, bytes_per_second, error_reason, error_text, last_problem, create_time, start_time, \
             update_time) \
             VALUES ('{id}', '{kind}', '{vfolder}', {source}, 'local', 'alice', 'RUNNING', 1, '{nobody}', \
             {later}, {now}, FALSE, 1, 0, 0, 0, 0, 0, 0, '', '', '', {now}, {now}, {now})"
        ));
        self
    }

    /// The statements.
    pub fn into_sql(self) -> String {
        self.statements.join(";\n")
    }

    /// Writes it.
    pub async fn write(self) {
        let database = self.database;
        database.execute(&self.into_sql()).await;
    }
}

impl StagedClone {
    /// With new ids.
    pub fn new() -> Self {
        Self {
            operation: new_id(),
            destination: new_id(),
        }
    }

    /// The operation's name.
    pub fn name(&self) -> String {
        format!("operations/{}", self.operation)
    }
}

/// Ends the lease of the manager that doesn't exist: the next real one takes the operation over.
pub async fn release(database: &Database, operation: &str) {
    let past = database.time(-1);
    database
        .execute(&format!(
            "UPDATE operations SET lease_expire_time = {past} WHERE id = '{operation}'"
        ))
        .await;
}

fn new_id() -> String {
    Uuid::now_v7().to_string()
}
