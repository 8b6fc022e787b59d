//! The database: stopped and started by the nemesis, looked at by who measures.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use diesel::{
    QueryableByName, sql_query,
    sql_types::{Integer, Nullable, Text},
};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::postgres::{Cluster, Stop, url_of};

/// A cluster of the storm's own.
pub struct Postgres {
    cluster: Arc<Mutex<Cluster>>,
    socket_dir: PathBuf,
    /// Ends the server when we are gone, however we went: its standard input closes.
    guard: Mutex<Child>,
}

/// A live operation as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The operation.
    pub id: Uuid,
    /// Its volume.
    pub volume: String,
    /// PENDING or RUNNING, or how it ended.
    pub state: String,
    /// Which attempt.
    pub attempt: i32,
    /// Whose lease it is.
    pub lease_owner: Option<Uuid>,
    /// What changes as the work goes on.
    pub progress: String,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    volume: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Integer)]
    attempt: i32,
    #[diesel(sql_type = Nullable<Text>)]
    lease_owner: Option<String>,
    #[diesel(sql_type = Text)]
    progress: String,
}

const WORKERS: &str = "SELECT id::text, volume, state, attempt, lease_owner::text, \
    files_done || ' files, ' || bytes_done || ' bytes' AS progress FROM operations";

impl Postgres {
    /// Makes a cluster and starts it.
    pub(super) async fn start(folder: &Path) -> Result<Self, String> {
        let made = spawn_blocking(Cluster::start_surviving).await;
        let cluster = made
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())?;
        let socket_dir = cluster.socket_dir().to_owned();
        // Not through the kernel's death signal, which would have to survive the change of the user.
        let script = "trap '' INT TERM HUP; read -r _; pid=$(head -n 1 \"$1/data/postmaster.pid\"); \
            [ \"$(cat \"/proc/$pid/comm\")\" = postgres ] && kill -QUIT \"$pid\"";
        let log = fs::File::create(folder.join("guard.log")).map_err(|e| e.to_string())?;
        let guard = Command::new("sh")
            .args(["-c", script, "guard"])
            .arg(&socket_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| e.to_string())?;
        Ok(Self {
            cluster: Arc::new(Mutex::new(cluster)),
            socket_dir,
            guard: Mutex::new(guard),
        })
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.socket_dir.join(".s.PGSQL.5432")
    }

    /// For whoever must not go through a relay.
    #[must_use]
    pub fn url(&self) -> String {
        url_of(&self.socket_dir, "postgres")
    }

    /// Stops the server.
    ///
    /// # Errors
    /// If it does not stop.
    pub async fn stop(&self, how: Stop) -> Result<(), String> {
        self.with_cluster(move |cluster| cluster.stop(how)).await
    }

    /// Starts it again.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&self) -> Result<(), String> {
        self.with_cluster(Cluster::restart).await
    }

    /// Ends every session but ours.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn end_sessions(&self) -> Result<(), String> {
        let mut connection = self.connect().await?;
        let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        sql_query(all)
            .execute(&mut connection)
            .await
            .map(drop)
            .map_err(|e| e.to_string())
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn connect(&self) -> Result<AsyncPgConnection, String> {
        AsyncPgConnection::establish(&self.url())
            .await
            .map_err(|e| e.to_string())
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.socket_dir.join("log")).unwrap_or_default()
    }

    async fn with_cluster(
        &self,
        act: impl FnOnce(&mut Cluster) -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), String> {
        let cluster = Arc::clone(&self.cluster);
        let done = spawn_blocking(move || {
            act(&mut cluster.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())
    }
}

/// The operations that are live, and those among `also` that have ended.
///
/// # Errors
/// If the database does not answer.
pub async fn workers(
    connection: &mut AsyncPgConnection,
    also: &[Uuid],
) -> Result<Vec<Worker>, String> {
    let also: Vec<String> = also.iter().map(|id| format!("'{id}'")).collect();
    let also = if also.is_empty() {
        String::new()
    } else {
        format!(" OR id IN ({})", also.join(", "))
    };
    let query = format!("{WORKERS} WHERE state IN ('PENDING', 'RUNNING'){also}");
    let rows: Vec<Row> = sql_query(query)
        .load(connection)
        .await
        .map_err(|e| e.to_string())?;
    let worker = |row: Row| {
        Some(Worker {
            id: row.id.parse().ok()?,
            volume: row.volume,
            state: row.state,
            attempt: row.attempt,
            lease_owner: row.lease_owner.and_then(|owner| owner.parse().ok()),
            progress: row.progress,
        })
    };
    Ok(rows.into_iter().filter_map(worker).collect())
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let guard = self.guard.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The cluster ends with us in any case; the guard may end it first.
        drop(guard.stdin.take());
        let _ = guard.wait();
    }
}
