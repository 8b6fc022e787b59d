//! Calls that are given up in the middle of a file, by clients of any kind: the file never appears, and nothing is left.

use std::fs;

use bytes::Bytes;
use h2::{Reason, client, client::SendRequest};
use prost::Message as _;
use tokio::net::TcpStream;
use vfolder_proto::v1::{UploadTarget, WriteFileRequest, write_file_request::To};
use vfolder_tests::{Engine, System, eventually, on_sqlite};

use crate::raw::frame;

on_sqlite!(a_file_that_is_given_up_in_the_middle_never_appears);

/// Each way, so many times: what comes of it is decided between threads.
const TIMES: usize = 25;

#[derive(Clone, Copy, Debug)]
enum End {
    /// RST_STREAM. Clients of gRPC say CANCEL; NO_ERROR is what others say when they close a stream.
    Reset(Reason),
    /// The connection goes.
    Lost,
}

const ENDS: [End; 4] = [
    End::Reset(Reason::CANCEL),
    End::Reset(Reason::NO_ERROR),
    End::Reset(Reason::INTERNAL_ERROR),
    End::Lost,
];

async fn a_file_that_is_given_up_in_the_middle_never_appears(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let vfolder = alice.create("data").await.unwrap().id;
    let uploads = system.volume().join("uploads").join(&vfolder);
    let token = system.tokens.user("alice");
    for end in ENDS {
        for time in 0..TIMES {
            let stream = TcpStream::connect(system.manager.address()).await.unwrap();
            let (sender, connection) = client::handshake(stream).await.unwrap();
            let connection = tokio::spawn(connection);
            let (answer, mut body) = call(sender, &token).await;
            let first = WriteFileRequest {
                vfolder_id: vfolder.clone(),
                to: Some(To::File(UploadTarget {
                    path: "half".into(),
                    ..UploadTarget::default()
                })),
                data: Bytes::from_static(b"some"),
                ..WriteFileRequest::default()
            };
            let first = frame(0, &first.encode_to_vec());
            body.send_data(first, false).unwrap();
            eventually("it has arrived", async || {
                let upload = fs::read_dir(&uploads).ok()?.next()?.ok()?;
                let data = fs::metadata(upload.path().join("data")).ok()?;
                (data.len() == 4).then_some(())
            })
            .await;
            match end {
                End::Reset(reason) => body.send_reset(reason),
                End::Lost => connection.abort(),
            }
            eventually(format!("{end:?}: nothing is left"), async || {
                (!uploads.exists()).then_some(())
            })
            .await;
            assert!(
                !system.tree(&vfolder).join("half").exists(),
                "{end:?}, {time}: half a file appeared"
            );
            drop((answer, body));
            connection.abort();
        }
    }
}

async fn call(
    sender: SendRequest<Bytes>,
    token: &str,
) -> (client::ResponseFuture, h2::SendStream<Bytes>) {
    let request = http::Request::post("http://service/vfolder.v1.FileService/WriteFile")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .unwrap();
    let mut ready = sender.ready().await.unwrap();
    ready.send_request(request, false).unwrap()
}
