//! The direct listener, with clients as their users have them: curl, and raw connections for what curl won't send.

mod archives;
mod curl;
mod downloads;
mod grants;
mod hostile;
mod listener;
mod names;
mod tus;

use std::{fs, path::PathBuf, time::Duration};

use tempfile::TempDir;
use uuid::Uuid;
use vfolder_common::token::{Grant, GrantMode};
use vfolder_proto::storage::{FenceTreeRequest, GetVolumeRequest};

use self::curl::{Answer, curl};
use crate::proxy::{Proxy, set_up};

/// A storage-proxy that serves bearers of grants, and a vfolder.
struct Direct {
    proxy: Proxy,
    url: String,
    vfolder: Uuid,
}

impl Direct {
    async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more lines in `[direct]`.
    async fn start_with(more: &str) -> Self {
        Self::on(Proxy::start_in(Self::set_up(more)).await).await
    }

    /// With fault points armed.
    async fn start_armed(faults: &str) -> Self {
        let armed = Proxy::start_armed(Self::set_up(""), faults).await;
        Self::on(armed.unwrap()).await
    }

    /// The same vfolder, after the process was killed.
    async fn again(self) -> Self {
        let proxy = Proxy::start_in(self.proxy.kill()).await;
        let url = direct_url(&proxy).await;
        let vfolder = self.vfolder;
        Self {
            proxy,
            url,
            vfolder,
        }
    }

    fn set_up(more: &str) -> TempDir {
        let dir = set_up();
        let file = dir.path().join("config.toml");
        let config = fs::read_to_string(&file).unwrap();
        let config = format!("{config}\n[direct]\nlisten = \"127.0.0.1:0\"\n{more}\n");
        fs::write(&file, config).unwrap();
        dir
    }

    async fn on(proxy: Proxy) -> Self {
        let vfolder = proxy.create().await;
        let url = direct_url(&proxy).await;
        Self {
            proxy,
            url,
            vfolder,
        }
    }

    /// "host:port".
    fn address(&self) -> &str {
        self.url.rsplit('/').next().unwrap()
    }

    fn tree(&self) -> PathBuf {
        self.proxy.tree(self.vfolder)
    }

    /// What comes before "/files/…".
    fn base(&self) -> String {
        format!("{}/v1/vfolders/{}", self.url, self.vfolder)
    }

    fn file(&self, path: &str) -> String {
        format!("{}/files/{path}", self.base())
    }

    fn grant(&self, mode: GrantMode, path: &[u8]) -> String {
        self.grant_at(1, mode, path)
    }

    fn grant_at(&self, epoch: i64, mode: GrantMode, path: &[u8]) -> String {
        let grant = self.granting(epoch, mode, path);
        let life = Duration::from_secs(60);
        self.proxy.secret.sign_grant(&grant, life).unwrap()
    }

    fn granting(&self, epoch: i64, mode: GrantMode, path: &[u8]) -> Grant {
        Grant {
            vfolder: self.vfolder,
            volume: "v".into(),
            mode,
            epoch,
            subject: "u".into(),
            path: path.to_vec(),
            quota: None,
        }
    }

    /// curl with a grant for all of it.
    fn read(&self, arguments: &[&str]) -> Answer {
        as_bearer(&self.grant(GrantMode::ReadOnly, b""), arguments)
    }

    fn write(&self, arguments: &[&str]) -> Answer {
        as_bearer(&self.grant(GrantMode::ReadWrite, b""), arguments)
    }

    /// Takes the tree from whoever has it by an epoch before `epoch`.
    async fn fence(&self, epoch: i64, readers: bool) {
        let request = FenceTreeRequest {
            volume: "v".into(),
            vfolder_id: self.vfolder.to_string(),
            epoch,
            readers,
        };
        let request = self.proxy.signed(request);
        self.proxy.storage().fence_tree(request).await.unwrap();
    }
}

async fn direct_url(proxy: &Proxy) -> String {
    let request = proxy.signed(GetVolumeRequest { volume: "v".into() });
    let answer = proxy.storage().get_volume(request).await.unwrap();
    answer.into_inner().direct_url
}

fn as_bearer(token: &str, arguments: &[&str]) -> Answer {
    let header = format!("Authorization: Bearer {token}");
    curl(&[&["-H", &header], arguments].concat())
}

/// Bytes that no two places have in common.
fn noise(size: usize) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&size.to_le_bytes());
    let mut bytes = vec![0; size];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}
