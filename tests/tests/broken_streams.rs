//! Calls that are given up in the middle of a file, by clients of any kind: the file never appears, and nothing is left.

use std::{fs, net::SocketAddr};

use bytes::Bytes;
use h2::{Reason, client, client::SendRequest};
use prost::Message as _;
use tokio::net::TcpStream;
use vfolder_proto::v1::{
    CreateGrantRequest, MountMode, UploadTarget, WriteFileRequest, write_file_request::To,
};
use vfolder_tests::{Engine, System, eventually, on_sqlite};

use crate::raw::frame;

on_sqlite!(a_file_that_is_given_up_in_the_middle_never_appears);

/// Each way, so many times: what comes of it is decided between threads.
const TIMES: usize = 15;

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

/// Where calls go, and what opens it.
struct Door {
    name: &'static str,
    address: SocketAddr,
    token: String,
}

async fn a_file_that_is_given_up_in_the_middle_never_appears(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let vfolder = alice.create("data").await.unwrap().id;
    let request = CreateGrantRequest {
        vfolder_id: vfolder.clone(),
        mode: MountMode::ReadWrite.into(),
        ..CreateGrantRequest::default()
    };
    let grant = alice.grants.clone().create_grant(request).await;
    let grant = grant.unwrap().into_inner();
    let doors = [
        Door {
            name: "manager",
            address: system.manager.address(),
            token: system.tokens.user("alice"),
        },
        Door {
            name: "direct",
            address: grant
                .grpc_url
                .strip_prefix("http://")
                .unwrap()
                .parse()
                .unwrap(),
            token: grant.token,
        },
    ];
    for end in ENDS {
        for time in 0..TIMES {
            for door in &doors {
                give_up(&system, &vfolder, door, end).await;
                assert!(
                    !system.tree(&vfolder).join("half").exists(),
                    "{}, {end:?}, {time}: half a file appeared",
                    door.name
                );
            }
        }
    }
}

async fn give_up(system: &System, vfolder: &str, door: &Door, end: End) {
    let uploads = system.volume().join("uploads").join(vfolder);
    let stream = TcpStream::connect(door.address).await.unwrap();
    let (sender, connection) = client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let (answer, mut body) = call(sender, &door.token).await;
    let first = WriteFileRequest {
        vfolder_id: vfolder.into(),
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
    eventually(
        format!("{}, {end:?}: nothing is left", door.name),
        async || (!uploads.exists()).then_some(()),
    )
    .await;
    drop((answer, body));
    connection.abort();
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
