//! Certificates between the manager and its storage-proxies.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::Code;
use vfolder_proto::v1::ListFilesRequest;
use vfolder_tests::{Certificates, Engine, System, assert_refused, make_root, on_each_engine};

on_each_engine!(manager_and_storage_proxy_show_each_other_certificates);

/// An authority and a certificate for "localhost" that it has signed, in this folder.
fn certificates(folder: &Path) -> Certificates {
    fs::create_dir_all(folder).unwrap();
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    Certificates {
        cert: write("cert.pem", cert.pem()),
        key: write("key.pem", key.serialize_pem()),
        ca: write("ca.pem", ca_pem),
    }
}

async fn manager_and_storage_proxy_show_each_other_certificates(engine: Engine) {
    let place = make_root("tls").unwrap();
    let ours = certificates(&place.path().join("ours"));
    let theirs = certificates(&place.path().join("theirs"));
    let mut system = System::start(engine).await;
    let id = system.user("alice").create("before").await.unwrap().id;
    system.storage.kill();
    system.change(|s| s.storage_tls = Some(ours.clone()));
    system.launch_storage().await;

    // In the clear, and with a certificate of somebody else's authority, nobody gets in.
    let foreign = Certificates {
        ca: ours.ca.clone(),
        ..theirs
    };
    for manager_tls in [None, Some(foreign)] {
        system.manager.kill();
        system.change(|s| s.manager_tls = manager_tls);
        system.start_manager().await;
        let refused = system.user("alice").create("never").await;
        assert_refused(refused, Code::Unavailable, "VOLUME_UNAVAILABLE");
    }

    system.manager.kill();
    system.change(|s| s.manager_tls = Some(ours));
    system.start_manager().await;
    let alice = system.user("alice");
    alice.create("after").await.unwrap();
    let request = ListFilesRequest {
        vfolder_id: id,
        ..ListFilesRequest::default()
    };
    alice.files.clone().list_files(request).await.unwrap();
    system.assert_sound().await;
}
