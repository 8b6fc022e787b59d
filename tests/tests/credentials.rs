//! Who is let in at all.

use std::fs;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use tonic::{Code, Request};
use vfolder_proto::v1::{ListVFoldersRequest, v_folder_service_client::VFolderServiceClient};
use vfolder_tests::{Engine, System, Tokens, assert_refused, on_each_engine};

use crate::raw::{Raw, frame};

on_each_engine!(
    without_credentials_nothing_but_health_and_reflection_answers,
    bad_credentials_say_what_is_wrong_with_them,
    a_clock_that_is_a_little_off_is_forgiven,
    a_token_signed_with_an_ed25519_key_is_good,
    the_storage_proxy_lets_nobody_in_without_its_secret,
);

/// Far in the future.
const LATE: u64 = 4_000_000_000;

async fn without_credentials_nothing_but_health_and_reflection_answers(engine: Engine) {
    let system = System::start(engine).await;
    let pool = prost_reflect::DescriptorPool::decode(vfolder_proto::DESCRIPTORS).unwrap();
    let mut asked = 0;
    for service in pool
        .services()
        .filter(|s| s.package_name() != "vfolder.storage.v1")
    {
        for method in service.methods() {
            let path = format!("{}/{}", service.full_name(), method.name());
            let raw = Raw::new(system.manager.channel(), &path);
            let answer = raw.send(frame(0, &[])).await.into_result();
            assert_refused(answer, Code::Unauthenticated, "CREDENTIALS_MISSING");
            asked += 1;
        }
    }
    assert!(asked > 25, "only {asked} methods");
    let health = Raw::new(system.manager.channel(), "grpc.health.v1.Health/Check");
    assert!(health.send(frame(0, &[])).await.into_result().is_ok());
}

async fn bad_credentials_say_what_is_wrong_with_them(engine: Engine) {
    let system = System::start(engine).await;
    let tokens = &system.tokens;
    let good = tokens.user("alice");
    let cases = [
        (
            "expired",
            format!("Bearer {}", tokens.expired("alice")),
            "CREDENTIALS_EXPIRED",
        ),
        (
            "forged",
            format!("Bearer {}", Tokens::forged("alice")),
            "CREDENTIALS_INVALID",
        ),
        (
            "alg none",
            format!("Bearer {}", tokens.unsigned("alice")),
            "CREDENTIALS_INVALID",
        ),
        (
            "other alg",
            format!("Bearer {}", tokens.other_algorithm("alice")),
            "CREDENTIALS_INVALID",
        ),
        (
            "no signature",
            format!("Bearer {}", good.rsplit_once('.').unwrap().0),
            "CREDENTIALS_INVALID",
        ),
        ("no JWT", "Bearer open sesame".into(), "CREDENTIALS_INVALID"),
        ("no token", "Bearer ".into(), "CREDENTIALS_INVALID"),
        (
            "another scheme",
            "Basic YWxpY2U6c2VzYW1l".into(),
            "CREDENTIALS_INVALID",
        ),
        (
            "no sub",
            bearer(tokens, &json!({ "exp": LATE })),
            "CREDENTIALS_INVALID",
        ),
        (
            "an empty sub",
            bearer(tokens, &json!({ "sub": "", "exp": LATE })),
            "CREDENTIALS_INVALID",
        ),
        (
            "no exp",
            bearer(tokens, &json!({ "sub": "alice" })),
            "CREDENTIALS_INVALID",
        ),
        (
            "an unknown role",
            bearer(
                tokens,
                &json!({ "sub": "alice", "role": "emperor", "exp": LATE }),
            ),
            "CREDENTIALS_INVALID",
        ),
    ];
    for (what, header, reason) in cases {
        let mut client = VFolderServiceClient::new(system.manager.channel());
        let mut request = Request::new(ListVFoldersRequest::default());
        request
            .metadata_mut()
            .insert("authorization", header.parse().unwrap());
        let answer = client.list_v_folders(request).await;
        let status = answer.expect_err(what);
        assert_eq!(
            vfolder_tests::reason_of(&status),
            reason,
            "{what}: {}",
            status.message()
        );
        assert_eq!(status.code(), Code::Unauthenticated, "{what}");
    }
    // A scheme's name is not case-sensitive (RFC 9110 §11.1).
    let lower = Raw::new(
        system.manager.channel(),
        "vfolder.v1.VFolderService/ListVFolders",
    )
    .with("authorization", &format!("bearer {good}"));
    assert!(lower.send(frame(0, &[])).await.into_result().is_ok());
}

async fn a_clock_that_is_a_little_off_is_forgiven(engine: Engine) {
    let system = System::start(engine).await;
    let list = async |token: &str| {
        let mut vfolders = system.caller(token).vfolders;
        vfolders
            .list_v_folders(ListVFoldersRequest::default())
            .await
    };
    assert!(list(&system.tokens.expired_since("alice", 5)).await.is_ok());
    let too_late = list(&system.tokens.expired_since("alice", 120)).await;
    assert_refused(too_late, Code::Unauthenticated, "CREDENTIALS_EXPIRED");
}

async fn a_token_signed_with_an_ed25519_key_is_good(engine: Engine) {
    let mut system = System::start(engine).await;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let public = system.folder().join("issuer.pem");
    fs::write(&public, pair.public_key_pem()).unwrap();
    system.change(|s| s.auth = format!("public_key_files = [{:?}]", public.display().to_string()));
    system.manager.kill();
    system.start_manager().await;

    let claims = json!({ "sub": "alice", "exp": LATE });
    let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    let token = encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap();
    system.caller(&token).create("by-ed25519").await.unwrap();
    system
        .user("alice")
        .create("by-hs256")
        .await
        .expect("the secret is still good");

    // The classic: the public key, taken for a shared secret.
    let confused = Tokens::new(pair.public_key_pem().as_bytes()).with_claims(&claims);
    let answer = system.caller(&confused).create("forged").await;
    assert_refused(answer, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

async fn the_storage_proxy_lets_nobody_in_without_its_secret(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.tokens.user("alice");
    let pool = prost_reflect::DescriptorPool::decode(vfolder_proto::DESCRIPTORS).unwrap();
    // A user's token is of no use here: where a grant could be in its place, it is taken for one.
    for (service, reason) in [
        ("vfolder.storage.v1.StorageService", "GRANT_MISSING"),
        ("vfolder.v1.FileService", "GRANT_INVALID"),
    ] {
        for method in pool.get_service_by_name(service).unwrap().methods() {
            let path = format!("{service}/{}", method.name());
            let send = |header: &'static str, value: &str| {
                let raw = Raw::new(system.storage.channel(), &path).with(header, value);
                raw.send(frame(0, &[]))
            };
            let answer = send("authorization", &format!("Bearer {alice}")).await;
            assert_refused(answer.into_result(), Code::Unauthenticated, reason);
            for header in ["vfolder-grant", "vfolder-service"] {
                let status = send(header, &alice).await.into_result().unwrap_err();
                assert_eq!(
                    status.code(),
                    Code::Unauthenticated,
                    "{path} {header}: {status:?}"
                );
            }
        }
    }
}

fn bearer(tokens: &Tokens, claims: &serde_json::Value) -> String {
    format!("Bearer {}", tokens.with_claims(claims))
}
