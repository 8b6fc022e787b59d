//! A real tree to work on: the sources of the crates that VFolder is built from, put in and looked at through the API.

use std::{
    collections::BTreeMap,
    env, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::JoinSet;
use vfolder_proto::v1::{
    FileCheck, FileType, ListFilesRequest, ReadFileRequest, UploadTarget, WriteFileRequest,
    write_file_request::To,
};
use vfolder_tests::User;

use crate::{Told, check, story::said};

/// The story needs a tree of at least so many files.
pub(crate) const FILES: usize = 20_000;
/// So many are written at once.
const AT_ONCE: usize = 16;
/// Bytes in one message.
const CHUNK: usize = 1 << 20;
/// Every so many'th file is read back.
const SAMPLE: usize = 50;

/// What is to be in the tree: by its path there, where it comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Library {
    files: BTreeMap<String, Book>,
    pub(crate) shelves: usize,
}

#[derive(Clone, Debug)]
struct Book {
    source: PathBuf,
    size: u64,
    mode: u32,
}

impl Library {
    /// The crates' sources on one shelf after the other, until there are enough files.
    pub(crate) fn collect() -> io::Result<Self> {
        let registry = registry()?;
        let mut library = Self::default();
        while library.files.len() < FILES {
            let before = library.files.len();
            library.shelves += 1;
            let shelf = format!("shelf-{}", library.shelves);
            library.add(&registry, &shelf)?;
            if library.files.len() == before {
                let empty = format!("{} has no files", registry.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, empty));
            }
        }
        Ok(library)
    }

    fn add(&mut self, from: &Path, to: &str) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name());
            // The demo keeps to names that can be printed.
            let Some(name) = name.to_str() else {
                continue;
            };
            let to = format!("{to}/{name}");
            if kind.is_dir() {
                self.add(&entry.path(), &to)?;
            } else if kind.is_file() {
                let meta = entry.metadata()?;
                let book = Book {
                    source: entry.path(),
                    size: meta.len(),
                    mode: meta.permissions().mode() & 0o777,
                };
                self.files.insert(to, book);
            }
        }
        Ok(())
    }

    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|book| book.size).sum()
    }

    /// Writes all of it, several files at once.
    pub(crate) async fn write(&self, alice: &User, vfolder: &str) -> Told<()> {
        let all = Arc::new(Mutex::new(self.files.clone().into_iter()));
        let mut writers = JoinSet::<Told<()>>::new();
        for _ in 0..AT_ONCE {
            let (all, alice, vfolder) = (Arc::clone(&all), alice.clone(), vfolder.to_owned());
            writers.spawn(async move {
                let next = || all.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((path, book)) = next() {
                    write(&alice, &vfolder, path, &book).await?;
                }
                Ok(())
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.map_err(|error| error.to_string())??;
        }
        Ok(())
    }

    /// Lists the tree and compares paths and sizes, then reads some files and compares every byte. Answers how many were
    /// read.
    pub(crate) async fn check(&self, alice: &User, vfolder: &str) -> Told<usize> {
        let mut expected = self.files.iter();
        let mut request = ListFilesRequest {
            vfolder_id: vfolder.to_owned(),
            recursive: true,
            page_size: 10_000,
            ..ListFilesRequest::default()
        };
        // In the order of the list, which is not that of whole paths: a directory is followed by what is in it.
        let mut listed = BTreeMap::new();
        loop {
            let page = alice.files.clone().list_files(request.clone()).await;
            let page = page.map_err(said)?.into_inner();
            let files = page.entries.into_iter();
            let files = files.filter(|entry| entry.r#type() == FileType::Regular);
            listed.extend(files.map(|entry| (entry.path, entry.size)));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        for (path, size) in &listed {
            let same = expected.next().is_some_and(|(wanted, book)| {
                wanted == path && i64::try_from(book.size).is_ok_and(|wanted| wanted == *size)
            });
            check(
                same,
                format!("{path} was not written, or not with {size} bytes"),
            )?;
        }
        check(expected.next().is_none(), "the list has too few files")?;
        let mut read_back = 0;
        for (path, book) in self.files.iter().step_by(SAMPLE) {
            let wanted = fs::read(&book.source).map_err(|error| error.to_string())?;
            let got = read(alice, vfolder, path).await?;
            check(
                got == wanted,
                format!("{path} has other bytes than were written"),
            )?;
            read_back += 1;
        }
        Ok(read_back)
    }
}

/// Where cargo unpacks what it has fetched.
fn registry() -> io::Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let sources = home.map(|home| home.join("registry/src"));
    sources.filter(|path| path.is_dir()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "cargo's registry has no unpacked sources",
        )
    })
}

/// Writes one file in one call: it is there, whole, when that is answered.
async fn write(alice: &User, vfolder: &str, path: String, book: &Book) -> Told<()> {
    let content = tokio::fs::read(&book.source).await;
    let content = content.map_err(|error| error.to_string())?;
    let first = WriteFileRequest {
        vfolder_id: vfolder.to_owned(),
        to: Some(To::File(UploadTarget {
            path,
            parents: true,
            mode: book.mode,
            ..UploadTarget::default()
        })),
        check: Some(FileCheck {
            size: i64::try_from(content.len()).ok(),
            ..FileCheck::default()
        }),
        ..WriteFileRequest::default()
    };
    let data = content.chunks(CHUNK).map(|data| WriteFileRequest {
        data: data.to_vec().into(),
        ..WriteFileRequest::default()
    });
    let messages: Vec<_> = std::iter::once(first).chain(data).collect();
    let mut files = alice.files.clone();
    let written = files.write_file(tokio_stream::iter(messages)).await;
    let written = written.map_err(said)?.into_inner();
    let all = usize::try_from(written.written).is_ok_and(|written| written == content.len());
    check(all, "a file was answered with too few bytes")
}

async fn read(alice: &User, vfolder: &str, path: &str) -> Told<Vec<u8>> {
    let request = ReadFileRequest {
        vfolder_id: vfolder.to_owned(),
        path: path.to_owned(),
        ..ReadFileRequest::default()
    };
    let mut messages = alice.files.clone().read_file(request).await;
    let messages = messages.as_mut().map_err(|status| said(status.clone()))?;
    let mut content = Vec::new();
    while let Some(message) = messages.get_mut().message().await.map_err(said)? {
        content.extend_from_slice(&message.data);
    }
    Ok(content)
}
