//! What a file is, by its digests.

use std::{os::fd::AsFd, sync::Arc};

use rustix::io::{Errno, pread};
use sha2::{Digest as _, Sha256};
use vfolder_common::error::Refusal;

use super::{
    FileCheck,
    live::{Live, Store},
    refused::{self, failed},
};
use crate::{file::Files, volume::KnownDigests};

/// Read and digested between two looks whether anybody still waits for it.
const STEP: u64 = 4 << 20;
const BUFFER: usize = 256 * 1024;

/// Digests of bytes that come in order.
#[derive(Clone, Debug)]
pub struct Digest {
    /// Boxed: two kilobytes, moved from step to step.
    blake3: Box<blake3::Hasher>,
    sha256: Option<Sha256>,
}

impl Digest {
    /// Those that `check` asks for, and always BLAKE3.
    pub fn for_check(check: &FileCheck) -> Self {
        Self {
            blake3: Box::default(),
            sha256: check.sha256.map(|_| Sha256::new()),
        }
    }

    pub fn update(&mut self, data: &[u8]) {
        self.blake3.update(data);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(data);
        }
    }

    /// The BLAKE3 of all that came.
    pub fn blake3(&self) -> [u8; 32] {
        self.blake3.finalize().into()
    }

    /// All that is known of what came.
    fn known(&self) -> KnownDigests {
        KnownDigests {
            sha256: self.sha256.clone().map(|sha256| sha256.finalize().into()),
            blake3: Some(self.blake3()),
        }
    }

    /// What came, which has to be what `check` says.
    ///
    /// # Errors
    /// DIGEST_MISMATCH.
    pub fn compare(&self, live: &Live, check: &FileCheck) -> Result<KnownDigests, Refusal> {
        let known = self.known();
        for (name, wanted, found) in pairs(check, &known) {
            if let (Some(wanted), Some(found)) = (wanted, found)
                && wanted != found
            {
                let text = format!(
                    "what has arrived has the {name} {}, not {}; send it again, or give the upload up",
                    hex(&found),
                    hex(&wanted)
                );
                return Err(refused::mismatch(live.id, text));
            }
        }
        Ok(known)
    }
}

impl Files {
    /// Digests the first `size` bytes of an upload, in steps: whoever stops waiting ends it.
    pub(super) async fn digest_upload(
        &self,
        live: &Arc<Live>,
        store: &Arc<Store>,
        size: u64,
        mut digest: Digest,
    ) -> Result<Digest, Refusal> {
        let mut at = 0;
        while at < size {
            let end = size.min(at + STEP);
            let (own, store) = (Arc::clone(live), Arc::clone(store));
            let step = self.serve(&live.volume, live.vfolder, move |_| {
                digest_range(&store, at, end, &mut digest)
                    .map_err(|errno| failed(&own, "read", errno))?;
                Ok::<_, Refusal>(digest)
            });
            digest = step.await??;
            at = end;
        }
        Ok(digest)
    }
}

type Value = Option<[u8; 32]>;

/// By name, what each digest has to be, and is.
pub fn pairs(check: &FileCheck, known: &KnownDigests) -> [(&'static str, Value, Value); 2] {
    [
        ("SHA-256", check.sha256, known.sha256),
        ("BLAKE3", check.blake3, known.blake3),
    ]
}

fn digest_range(store: &Store, mut at: u64, end: u64, digest: &mut Digest) -> Result<(), Errno> {
    let mut buffer = vec![0; BUFFER];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        match pread(store.data.as_fd(), &mut buffer[..wanted], at) {
            // It has arrived, and yet is not there.
            Ok(0) => return Err(Errno::IO),
            Ok(got) => {
                digest.update(&buffer[..got]);
                at += got as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
