//! ReadFile.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::symlink, net::UnixListener},
    process::Command,
};

use vfolder_proto::{storage::FenceTreeRequest, v1::ReadFileRequest};

use super::kit::{Client, all_of, content};
use crate::{
    proxy::{Proxy, refused, wrong_fields},
    support::eventually,
};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_file_is_read_from_any_place_in_messages_of_the_asked_size() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let whole = content(1, 3 * MIB + 17);
    fs::create_dir(client.path("d")).unwrap();
    fs::write(client.path("d/f"), &whole).unwrap();
    let size = whole.len();
    for (offset, length, chunk, from, to) in [
        (0, 0, 0, 0, size),
        (0, 0, 1000, 0, size),
        (0, 0, 2 * MIB, 0, size),
        (5, 7, 3, 5, 12),
        (-17, 0, 0, 3 * MIB, size),
        (-17, 3, 0, 3 * MIB, 3 * MIB + 3),
        (-(size as i64) - 1, 2, 0, 0, 2),
        (size as i64, 0, 0, size, size),
        (MIB as i64, i64::MAX, 0, MIB, size),
    ] {
        let request = ReadFileRequest {
            offset,
            length,
            chunk_size: i32::try_from(chunk).unwrap(),
            ..all_of("d/f")
        };
        let (entry, read) = client.read(request.clone()).await.unwrap();
        assert!(read == whole[from..to], "{offset} {length} {chunk}");
        assert_eq!((entry.path.as_str(), entry.name.as_str()), ("d/f", "f"));
        assert_eq!((entry.size as usize, entry.etag.len()), (size, 32));
        let mut stream = client.open(request).await.unwrap();
        let mut sizes = Vec::new();
        while let Some(next) = stream.message().await.unwrap() {
            sizes.push(next.data.len());
        }
        // Larger pieces are no faster, and only take memory.
        let wanted = if chunk == 0 {
            256 * 1024
        } else {
            chunk.min(MIB / 2)
        };
        let inner = sizes.get(1..sizes.len().max(2) - 1).unwrap_or_default();
        assert!(
            inner.iter().all(|size| *size == wanted),
            "{chunk}: {sizes:?}"
        );
    }
    let wrong = ReadFileRequest {
        length: -1,
        chunk_size: 2 * MIB as i32 + 1,
        path: "..".into(),
        ..ReadFileRequest::default()
    };
    let fields = wrong_fields(client.open(wrong).await);
    assert_eq!(fields, ["path", "length", "chunk_size"]);
    let past = ReadFileRequest {
        offset: size as i64 + 1,
        ..all_of("d/f")
    };
    assert_eq!(wrong_fields(client.open(past).await), ["offset"]);
}

#[tokio::test]
async fn nothing_but_regular_files_is_opened_and_no_symlink_is_followed() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    fs::create_dir(client.path("d")).unwrap();
    symlink("/etc/passwd", client.path("link")).unwrap();
    symlink("/etc", client.path("out")).unwrap();
    symlink("self", client.path("self")).unwrap();
    let fifo = Command::new("mkfifo").arg(client.path("fifo")).status();
    assert!(fifo.unwrap().success());
    let _socket = UnixListener::bind(client.path("socket")).unwrap();
    for (path, reason) in [
        ("", "NOT_A_FILE"),
        ("d", "NOT_A_FILE"),
        ("link", "NOT_A_FILE"),
        ("self", "NOT_A_FILE"),
        ("fifo", "NOT_A_FILE"),
        ("socket", "NOT_A_FILE"),
        ("out/passwd", "SYMLINK_IN_PATH"),
        ("fifo/x", "NOT_A_DIRECTORY"),
        ("none", "FILE_NOT_FOUND"),
        ("none/x", "FILE_NOT_FOUND"),
    ] {
        assert_eq!(refused(client.open(all_of(path)).await).1, reason, "{path}");
    }
    // Not that it has vanished: it may never have been there.
    let none = client.open(all_of("none")).await.unwrap_err();
    assert_eq!(none.message(), "\"none\" does not exist");
}

#[tokio::test]
async fn a_download_goes_on_only_with_the_file_that_it_began_with() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    fs::write(client.path("f"), "first").unwrap();
    let (entry, _) = client.read(all_of("f")).await.unwrap();
    let again = ReadFileRequest {
        offset: 2,
        etag: entry.etag,
        ..all_of("f")
    };
    assert_eq!(client.read(again.clone()).await.unwrap().1, b"rst");
    fs::write(client.path("f"), "second").unwrap();
    assert_eq!(refused(client.open(again).await).1, "ETAG_MISMATCH");
}

/// Reads to the end, which has to be an error; answers its reason and what came before.
async fn broken_off(
    mut stream: tonic::Streaming<vfolder_proto::v1::ReadFileResponse>,
) -> (String, Vec<u8>) {
    let mut read = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(next)) => read.extend_from_slice(&next.data),
            Ok(None) => panic!("it ended well after {} bytes", read.len()),
            ended => return (refused(ended).1, read),
        }
    }
}

#[tokio::test]
async fn a_reader_of_a_file_that_is_written_gets_no_byte_of_the_other_version() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    let whole = content(2, 64 * MIB);
    for (name, change) in [("grown", 0), ("overwritten", 1), ("cut", 2)] {
        let path = client.path(name);
        fs::write(&path, &whole).unwrap();
        let mut stream = client.open(all_of(name)).await.unwrap();
        stream.message().await.unwrap();
        match change {
            0 => {
                let mut file = fs::File::options().append(true).open(&path).unwrap();
                file.write_all(b"more").unwrap();
            }
            1 => fs::write(&path, content(3, 64 * MIB)).unwrap(),
            _ => fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(1)
                .unwrap(),
        }
        let (reason, read) = broken_off(stream).await;
        assert_eq!(reason, "FILE_CHANGED", "{name}");
        assert!(
            read.len() < whole.len() && read == whole[..read.len()],
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_leaves_when_the_tree_is_taken_away_even_if_nobody_reads() {
    let proxy = Proxy::start().await;
    let client = Client::new(&proxy, proxy.create().await);
    fs::write(client.path("f"), content(4, 64 * MIB)).unwrap();
    let mut stream = client.open(all_of("f")).await.unwrap();
    stream.message().await.unwrap();
    let fence = proxy.signed(FenceTreeRequest {
        volume: "v".into(),
        vfolder_id: client.vfolder.to_string(),
        epoch: 2,
        readers: true,
    });
    proxy.storage().fence_tree(fence).await.unwrap();
    eventually("the file is closed", || client.open_files() == 0).await;
    assert_eq!(broken_off(stream).await.0, "GRANT_STALE");
}
