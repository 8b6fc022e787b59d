//! What no honest client sends. Nothing outside of the tree is reached, nothing is a fault of ours, and whoever comes
//! next is served.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tonic::{Request, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::ServiceExt as _;
use vfolder_common::token::GrantMode;
use vfolder_proto::v1::{ReadFileRequest, file_service_client::FileServiceClient};

use super::{Direct, noise};
use crate::proxy::refused;

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(direct: &Direct) -> TcpStream {
    let stream = TcpStream::connect(direct.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Until the other side closes. A reset is a close, too.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}: {all:?}"),
        _ => all,
    }
}

/// One request, as it is, and the status of its answer; none where there is no answer.
fn send(direct: &Direct, head: &[u8]) -> (Option<u16>, Vec<u8>) {
    let mut stream = connect(direct);
    // Whoever is refused before he is done may not be able to say all.
    let _ = stream.write_all(head);
    let answer = rest(&mut stream);
    let status = answer
        .strip_prefix(b"HTTP/1.1 ")
        .map(|line| std::str::from_utf8(&line[..3]).unwrap().parse().unwrap());
    (status, answer)
}

fn get(direct: &Direct, target: &[u8]) -> (Option<u16>, Vec<u8>) {
    let token = direct.grant(GrantMode::ReadOnly, b"");
    let mut head = b"GET ".to_vec();
    head.extend_from_slice(target);
    head.extend_from_slice(
        format!(
            " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        .as_bytes(),
    );
    send(direct, &head)
}

fn assert_serves(direct: &Direct) {
    assert_eq!(direct.read(&[&direct.file("f")]).body, b"data");
}

#[tokio::test]
async fn no_path_leads_out_however_it_is_written() {
    let direct = Direct::start().await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    // What must never be read: the volume's own file, and one beside the volume.
    let inside = fs::read(direct.proxy.dir.path().join("v/volume.json")).unwrap();
    let secret = fs::read(direct.proxy.dir.path().join("secret")).unwrap();
    let base = format!("/v1/vfolders/{}/files/", direct.vfolder);
    let up = "../".repeat(12);
    let encoded = "%2e%2e%2f".repeat(12);
    let targets = [
        "..",
        "../",
        "%2e%2e",
        "%2E%2e/",
        ".%2e/x",
        "../../../volume.json",
        "f/../../../../volume.json",
        "..%2f..%2f..%2fvolume.json",
        "%2e%2e/%2e%2e/%2e%2e/volume.json",
        "..%5c..%5cvolume.json",
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "f//",
        "f/",
        "/f",
        "./f",
        "f/.",
        "%00",
        "f%00",
        "f%00.txt",
        "%",
        "%f",
        "%zz",
        "f%",
        "..;/f",
        "%c0%ae%c0%ae/%c0%ae%c0%ae",
        "%u002e%u002e",
        "f%0d%0aX:%20y",
        "?path=../..",
        "f?grant=x",
        "...",
        "....//",
    ];
    let built = [
        format!("{up}etc/passwd"),
        format!("{encoded}etc%2fpasswd"),
        format!("{up}{}", direct.proxy.dir.path().join("secret").display()),
        "a".repeat(256),
        "a/".repeat(2_100) + "a",
    ];
    let targets = targets.into_iter().chain(built.iter().map(String::as_str));
    for target in targets {
        let (status, answer) = get(&direct, format!("{base}{target}").as_bytes());
        let status = status.unwrap_or_else(|| panic!("no answer to {target}"));
        assert!((400..500).contains(&status), "{target}: {status}");
        let has = |bytes: &[u8]| answer.windows(bytes.len()).any(|part| part == bytes);
        assert!(
            !has(&inside) && !has(&secret) && !has(b"root:x:"),
            "{target}"
        );
    }
    for target in [
        "/",
        "*",
        "http://x/v1",
        "/v1/vfolders//files/f",
        "/v1/vfolders/x/files/f",
        "/v1/vfolders/%2e%2e/files/f",
        "/etc/passwd",
        "/vfolder.storage.v1.StorageService/GetVolume",
    ] {
        let (status, _) = get(&direct, target.as_bytes());
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{target}: {status:?}"
        );
    }
    assert_serves(&direct);
}

#[tokio::test]
async fn a_request_of_noise_is_refused_and_is_no_fault_of_ours() {
    let direct = Direct::start().await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let base = format!("/v1/vfolders/{}/", direct.vfolder);
    let token = direct.grant(GrantMode::ReadWrite, b"");
    let part = "[!-~]{0,12}";
    let headers = prop_oneof![
        Just("Range"),
        Just("If-Range"),
        Just("If-Match"),
        Just("If-None-Match"),
        Just("If-Modified-Since"),
        Just("Upload-Offset"),
        Just("Upload-Length"),
        Just("Upload-Metadata"),
        Just("Upload-Checksum"),
        Just("Upload-Defer-Length"),
        Just("X-HTTP-Method-Override"),
        Just("Content-Length"),
        Just("Content-Type"),
        Just("Transfer-Encoding"),
        Just("Expect"),
    ];
    let methods = prop_oneof![
        Just("GET"),
        Just("HEAD"),
        Just("POST"),
        Just("PATCH"),
        Just("DELETE"),
        Just("OPTIONS"),
        Just("PUT"),
        Just("TRACE")
    ];
    let places = prop_oneof![
        Just("files/"),
        Just("archive?"),
        Just("uploads"),
        Just("uploads/"),
        Just("")
    ];
    let request = (
        methods,
        places,
        part,
        prop::collection::vec((headers, "[ -~]{0,24}"), 0..4),
        any::<bool>(),
    );
    let mut runner = TestRunner::new(Config {
        cases: 300,
        ..Config::default()
    });
    runner
        .run(&request, |(method, place, target, headers, tus)| {
            let mut head = format!("{method} {base}{place}{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
            if tus {
                head.push_str("Tus-Resumable: 1.0.0\r\n");
            }
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            let mut stream = connect(&direct);
            let _ = stream.write_all(head.as_bytes());
            stream.shutdown(Shutdown::Write).ok();
            let answer = rest(&mut stream);
            let shown = String::from_utf8_lossy(&answer);
            prop_assert!(!shown.starts_with("HTTP/1.1 5"), "{head}{shown}");
            Ok(())
        })
        .unwrap();
    assert_serves(&direct);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let direct = Direct::start_with("max_header_bytes = 16384").await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let long = "a".repeat(20_000);
    let many = "X: y\r\n".repeat(5_000);
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {long}\r\n\r\n"),
    ] {
        let (status, _) = send(&direct, head.as_bytes());
        assert!(matches!(status, None | Some(400..500)), "{status:?}");
    }
    for garbage in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        &noise(4_096),
    ] {
        let mut stream = connect(&direct);
        let _ = stream.write_all(garbage);
        stream.shutdown(Shutdown::Write).ok();
        let answer = rest(&mut stream);
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{answer:?}");
    }
    // The preface of HTTP/2, and then noise.
    let mut stream = connect(&direct);
    let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let _ = stream.write_all(&noise(65_536));
    rest(&mut stream);
    assert_serves(&direct);
}

#[tokio::test]
async fn who_dawdles_is_hung_up_on_and_takes_no_place_from_others() {
    let direct = Direct::start_with("header_timeout = \"500ms\"\nmax_connections = 8").await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let begun = Instant::now();
    let beginnings = [
        &b""[..],
        b"G",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    ];
    let mut slow: Vec<_> = (0..16)
        .map(|i| {
            let mut stream = connect(&direct);
            stream.write_all(beginnings[i % beginnings.len()]).unwrap();
            stream
        })
        .collect();
    // There is a place as soon as the first of them have lost theirs.
    assert_serves(&direct);
    for stream in &mut slow {
        let said = rest(stream);
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
            "{said:?}"
        );
    }
    assert!(begun.elapsed() < PATIENCE);
}

#[tokio::test]
async fn who_has_said_all_and_closes_his_side_is_still_answered() {
    let direct = Direct::start().await;
    let data = noise(5_000_000);
    fs::write(direct.tree().join("f"), &data).unwrap();
    let token = direct.grant(GrantMode::ReadOnly, b"");
    let target = format!("/v1/vfolders/{}/files/f", direct.vfolder);
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut stream = connect(&direct);
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = rest(&mut stream);
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{:?}",
        &answer[..40.min(answer.len())]
    );
    assert!(answer.ends_with(&data));
}

#[tokio::test]
async fn who_takes_nothing_is_hung_up_on_and_leaves_nothing_open() {
    let direct = Direct::start_with("[transfers]\nidle_timeout = \"500ms\"").await;
    // More than what the sockets hold.
    fs::write(direct.tree().join("f"), noise(64 << 20)).unwrap();
    let token = direct.grant(GrantMode::ReadOnly, b"");
    let target = format!("/v1/vfolders/{}/files/f", direct.vfolder);
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut stream = connect(&direct);
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let open = || {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", direct.proxy.process.id())).unwrap();
        let links = descriptors.filter_map(|one| fs::read_link(one.unwrap().path()).ok());
        links.filter(|link| link.ends_with("f")).count()
    };
    let begun = Instant::now();
    while open() > 0 {
        assert!(begun.elapsed() < PATIENCE, "the file is still open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A caller of HTTP/2 can hold up one answer while his connection lives: no socket is ever full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_of_one_answer_of_several_is_hung_up_on() {
    let direct = Direct::start_with("[transfers]\nidle_timeout = \"500ms\"").await;
    fs::write(direct.tree().join("f"), noise(8 << 20)).unwrap();
    let channel = Channel::from_shared(direct.url.clone()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut files = FileServiceClient::new(channel.clone());
    let mut request = Request::new(ReadFileRequest {
        vfolder_id: direct.vfolder.to_string(),
        path: "f".into(),
        ..ReadFileRequest::default()
    });
    let grant = direct.grant(GrantMode::ReadOnly, b"");
    let bearer = format!("Bearer {grant}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let mut answer = files.read_file(request).await.unwrap().into_inner();
    answer.message().await.unwrap();
    // The connection is there and answers, until it does not: a watch hears of that.
    let mut health = HealthClient::new(channel);
    let watching = health.watch(HealthCheckRequest::default());
    let mut watch = watching.await.unwrap().into_inner();
    watch.message().await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, watch.message()).await;
    assert!(ended.expect("it was hung up on").is_err());
    let rest = async {
        while answer.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    assert!(rest.await.is_err(), "half a file ended as a whole one");
}

#[tokio::test]
async fn what_is_no_message_is_told_so_with_a_reason() {
    let direct = Direct::start().await;
    let grant = direct.grant(GrantMode::ReadOnly, b"");
    let base = format!("{}/vfolder.v1.FileService", direct.url);
    let channel = Channel::from_shared(direct.url.clone()).unwrap();
    let channel = channel.connect().await.unwrap();
    for (method, body, reason) in [
        (
            "StatFile",
            &b"\0\0\0\0\x02\xff\xff"[..],
            "MESSAGE_MALFORMED",
        ),
        ("StatFile", b"\x07\0\0\0\0", "MESSAGE_MALFORMED"),
        ("StatFile", b"\0\x7f\0\0\0", "MESSAGE_TOO_LARGE"),
        ("Nothing", b"\0\0\0\0\0", "METHOD_UNKNOWN"),
    ] {
        let request = http::Request::post(format!("{base}/{method}"))
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {grant}"))
            .body(tonic::body::Body::new(axum::body::Body::from(body)));
        let answer = channel.clone().oneshot(request.unwrap()).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(refused::<()>(Err(status)).1, reason, "{method} {body:?}");
    }
}
