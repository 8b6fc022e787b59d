//! The listener itself: what is on it, TLS, and how it starts and stops.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use rcgen::{CertificateParams, KeyPair};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use vfolder_common::token::GrantMode;
use vfolder_proto::storage::{HandshakeRequest, storage_service_client::StorageServiceClient};

use super::{Direct, curl, direct_url, noise};
use crate::proxy::{PROGRAM, Proxy, set_up};

#[tokio::test]
async fn nothing_of_the_managers_service_is_there() {
    let direct = Direct::start().await;
    let channel = Channel::from_shared(direct.url.clone())
        .unwrap()
        .connect_lazy();
    let request = direct.proxy.signed(HandshakeRequest { nonce: "n".into() });
    let refused = StorageServiceClient::new(channel.clone())
        .handshake(request)
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    let mut health = HealthClient::new(channel);
    for (service, served) in [
        ("vfolder.v1.FileService", true),
        ("vfolder.storage.v1.StorageService", false),
    ] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        assert_eq!(health.check(request).await.is_ok(), served, "{service}");
    }
    let nothing = direct.read(&[&format!(
        "{}/vfolder.storage.v1.StorageService/Handshake",
        direct.url
    )]);
    nothing.assert_refused(404, "METHOD_UNKNOWN");
}

#[tokio::test]
async fn without_a_section_there_is_no_listener_and_it_is_told_so() {
    let proxy = Proxy::start().await;
    assert_eq!(direct_url(&proxy).await, "");
}

#[tokio::test]
async fn what_is_told_is_what_the_configuration_says() {
    let direct = Direct::start_with("url = \"https://storage.example.org\"").await;
    assert_eq!(direct.url, "https://storage.example.org");
}

#[test]
fn a_configuration_that_would_not_do_is_refused_at_the_start() {
    for (section, said) in [
        ("listen = \"0.0.0.0:0\"", "insecure"),
        ("listen = \"127.0.0.1:0\"\nurl = \"host\"", "direct.url"),
        (
            "listen = \"127.0.0.1:0\"\nmax_connections = 0",
            "max_connections",
        ),
        (
            "listen = \"127.0.0.1:0\"\nmax_header_bytes = 10",
            "max_header_bytes",
        ),
        (
            "listen = \"127.0.0.1:0\"\nheader_timeout = \"0s\"",
            "header_timeout",
        ),
        ("listen = \"127.0.0.1:0\"\ntypo = 1", "typo"),
        (
            "listen = \"127.0.0.1:0\"\nurl = \"http://host\"\n[direct.tls]\ncert_file = \"/none\"\nkey_file = \"/none\"",
            "https://",
        ),
        (
            "listen = \"127.0.0.1:0\"\n[direct.tls]\ncert_file = \"/none\"\nkey_file = \"/none\"",
            "/none",
        ),
    ] {
        let dir = set_up();
        let file = dir.path().join("config.toml");
        let config = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{config}\n[direct]\n{section}\n")).unwrap();
        let ended = Command::new(PROGRAM)
            .args(["serve", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(
            !ended.status.success() && stderr.contains(said),
            "{section}: {stderr}"
        );
    }
}

#[tokio::test]
async fn over_tls_the_caller_shows_a_grant_and_no_certificate() {
    let keys = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap().pem();
    let (cert_file, key_file) = (keys.path().join("cert.pem"), keys.path().join("key.pem"));
    fs::write(&cert_file, cert).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    let section = format!("[direct.tls]\ncert_file = {cert_file:?}\nkey_file = {key_file:?}");
    let direct = Direct::start_with(&section).await;
    assert!(
        direct.url.starts_with("https://127.0.0.1:"),
        "{}",
        direct.url
    );
    let data = noise(1 << 20);
    fs::write(direct.tree().join("f"), &data).unwrap();
    let port = direct.address().rsplit(':').next().unwrap();
    let url = format!(
        "https://localhost:{port}/v1/vfolders/{}/files/f",
        direct.vfolder
    );
    let to = format!("localhost:{port}:127.0.0.1");
    let cacert = cert_file.to_str().unwrap();
    for version in ["--http1.1", "--http2"] {
        let got = direct.read(&[version, "--cacert", cacert, "--resolve", &to, &url]);
        assert!(
            got.status == 200 && got.body == data,
            "{version}: {}",
            got.status
        );
    }
    curl(&["--cacert", cacert, "--resolve", &to, &url]).assert_refused(401, "GRANT_MISSING");
    let clear = Command::new("curl")
        .args(["-sS", "--max-time", "20", &url.replace("https", "http")])
        .output()
        .unwrap();
    assert!(!clear.status.success());
}

#[tokio::test]
async fn a_download_that_is_under_way_ends_well_when_the_process_is_told_to_stop() {
    let direct = Direct::start().await;
    let data = noise(8 << 20);
    fs::write(direct.tree().join("f"), &data).unwrap();
    let grant = direct.grant(GrantMode::ReadOnly, b"");
    let body = direct.proxy.dir.path().join("body");
    let mut slow = Command::new("curl")
        .args(["-sS", "-f", "--limit-rate", "6M", "-o"])
        .arg(&body)
        .args([
            "-H",
            &format!("Authorization: Bearer {grant}"),
            &direct.file("f"),
        ])
        .spawn()
        .unwrap();
    while fs::metadata(&body).map_or(0, |meta| meta.len()) == 0 {
        assert!(
            slow.try_wait().unwrap().is_none(),
            "it was over before it could be seen"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let _dir = direct.proxy.stop();
    assert!(slow.wait().unwrap().success());
    assert!(fs::read(_dir.path().join("body")).unwrap() == data);
}

#[tokio::test]
async fn browsers_are_let_in_where_the_configuration_says_and_not_elsewhere() {
    let preflight = |direct: &Direct, origin: &str| {
        let origin = format!("Origin: {origin}");
        curl(&[
            "-X",
            "OPTIONS",
            "-H",
            &origin,
            "-H",
            "Access-Control-Request-Method: PATCH",
            "-H",
            "Access-Control-Request-Headers: upload-offset,authorization,tus-resumable",
            &format!("{}/uploads", direct.base()),
        ])
    };
    let direct = Direct::start().await;
    let none = preflight(&direct, "https://app.example.org");
    assert_eq!(none.header("access-control-allow-origin"), "");

    let direct = Direct::start_with("cors_origins = [\"https://app.example.org\"]").await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let allowed = preflight(&direct, "https://app.example.org");
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://app.example.org"
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("upload-offset")
    );
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("PATCH")
    );
    // A client that looks what there is learns it all the same.
    assert!(allowed.header("tus-extension").contains("creation"));
    assert_eq!(
        preflight(&direct, "https://evil.example.org").header("access-control-allow-origin"),
        ""
    );
    let got = direct.read(&["-H", "Origin: https://app.example.org", &direct.file("f")]);
    assert_eq!(
        got.header("access-control-allow-origin"),
        "https://app.example.org"
    );
    assert!(
        got.header("access-control-expose-headers")
            .contains("upload-offset")
    );
    assert_eq!(got.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn a_connection_that_is_only_kept_open_makes_room_for_others() {
    let direct =
        Direct::start_with("max_connections = 1\n[transfers]\nidle_timeout = \"500ms\"").await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let channel = Channel::from_shared(direct.url.clone()).unwrap();
    let channel = channel.connect().await.unwrap();
    let request = HealthCheckRequest::default();
    HealthClient::new(channel.clone())
        .check(request.clone())
        .await
        .unwrap();
    let url = direct.file("f");
    let grant = direct.grant(GrantMode::ReadOnly, b"");
    // On a thread: the channel has to hear that it is asked to go.
    let got = tokio::task::spawn_blocking(move || super::as_bearer(&grant, &[&url]));
    assert_eq!(got.await.unwrap().body, b"data");
    // Whoever was sent away comes back when he has something to ask.
    HealthClient::new(channel).check(request).await.unwrap();
}

#[tokio::test]
async fn a_watch_that_needs_no_grant_takes_no_place_from_others() {
    let direct =
        Direct::start_with("max_connections = 1\n[transfers]\nidle_timeout = \"500ms\"").await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let channel = Channel::from_shared(direct.url.clone()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let watching = health.watch(HealthCheckRequest::default());
    let mut watch = watching.await.unwrap().into_inner();
    watch.message().await.unwrap();
    let (url, grant) = (direct.file("f"), direct.grant(GrantMode::ReadOnly, b""));
    let got = tokio::task::spawn_blocking(move || super::as_bearer(&grant, &[&url]));
    assert_eq!(got.await.unwrap().body, b"data");
    assert!(watch.message().await.is_err(), "it was hung up on");
}

/// Closing at once would reset the connection, and the reset may overtake the answer.
#[tokio::test]
async fn who_is_refused_while_he_still_sends_hears_why() {
    let direct = Direct::start().await;
    let token = direct.grant(GrantMode::ReadOnly, b"");
    let head = format!(
        "PATCH /v1/vfolders/{0}/uploads/{0} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Tus-Resumable: 1.0.0\r\nContent-Length: 16777216\r\n\r\n",
        direct.vfolder
    );
    let mut stream = TcpStream::connect(direct.address()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // More than any socket holds.
    stream.write_all(&vec![0; 16 << 20]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 403 "), "{answer:?}");
}

/// RFC 9110 §8.6.
#[tokio::test]
async fn an_answer_that_has_no_content_tells_no_length_of_it() {
    let direct = Direct::start().await;
    fs::write(direct.tree().join("f"), "data").unwrap();
    let url = direct.file("f");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let etag = direct.read(&[version, &url]).header("etag").to_owned();
        let same = direct.read(&[version, "-H", &format!("If-None-Match: {etag}"), &url]);
        assert_eq!(same.status, 304);
        let able = curl(&[
            version,
            "-X",
            "OPTIONS",
            &format!("{}/uploads", direct.base()),
        ]);
        assert_eq!(able.status, 204);
        for answer in [same, able] {
            assert!(!answer.headers.contains_key("content-length"), "{answer:?}");
        }
    }
}
