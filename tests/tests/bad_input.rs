//! Bad input to every RPC: INVALID_ARGUMENT with each wrong field named, never INTERNAL. The RPCs come from the
//! descriptors, so that a new one without a case here fails the test.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use tonic::Code;
use vfolder_proto::v1::RestoreVFolderRequest;
use vfolder_tests::{Engine, System, assert_field_refused, on_each_engine};

use crate::{
    bad_requests::{Bad, bad_requests},
    raw::{Raw, frame},
};

on_each_engine!(
    each_wrong_field_is_named,
    an_id_that_is_no_uuid_is_named_wherever_there_is_one,
    a_bad_new_name_is_named_when_restoring,
    random_bytes_are_never_an_internal_error,
);

/// Every RPC that the manager serves to users.
fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(vfolder_proto::DESCRIPTORS).unwrap();
    let served = pool
        .services()
        .filter(|s| matches!(s.package_name(), "vfolder.v1" | "google.longrunning"));
    served
        .flat_map(|s| s.methods().collect::<Vec<_>>())
        .collect()
}

fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

/// The field that holds the vfolder's id, as the RPC's rule says; none where it has no vfolder.
fn target(method: &MethodDescriptor) -> Option<String> {
    let pool = method.parent_pool();
    let extension = pool.get_extension_by_name("vfolder.v1.admission").unwrap();
    let options = method.options();
    let rule = options.get_extension(&extension);
    let Value::Message(rule) = rule.as_ref() else {
        panic!("the option is a message")
    };
    let access = rule
        .get_field_by_name("access")
        .unwrap()
        .as_enum_number()
        .unwrap();
    if !options.has_extension(&extension) || access == 1 {
        return None;
    }
    let field = rule
        .get_field_by_name("target")
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();
    Some(if field.is_empty() {
        "vfolder_id".into()
    } else {
        field
    })
}

async fn each_wrong_field_is_named(engine: Engine) {
    let system = System::start(engine).await;
    let vfolder = system.user("alice").create("target").await.unwrap().id;
    let token = system.tokens.admin("alice");
    let mut tried = BTreeSet::new();
    for Bad {
        method,
        what,
        request,
        fields,
    } in bad_requests(&vfolder)
    {
        let raw = Raw::new(system.manager.channel(), method).bearer(&token);
        let answer = raw.send(frame(0, &request)).await.into_result();
        println!("{method} with {what}");
        assert_field_refused(answer, fields);
        tried.insert(method.to_owned());
    }
    // What has no field but its target is tried in the next test.
    let untried: Vec<_> = methods()
        .iter()
        .filter(|m| !tried.contains(&path(m)))
        .filter(|m| m.input().fields().len() > 1 || target(m).is_none())
        .map(path)
        .filter(|path| !NOTHING_ELSE_TO_GET_WRONG.contains(&path.as_str()))
        .collect();
    assert!(
        untried.is_empty(),
        "no bad request is known for {untried:?}"
    );
}

/// Beside the target they have only flags and etags, of which any value is fine. RestoreVFolder's name is looked at
/// once its vfolder is in the trash: its own test, below.
const NOTHING_ELSE_TO_GET_WRONG: [&str; 3] = [
    "vfolder.v1.VFolderService/GetVFolder",
    "vfolder.v1.VFolderService/PurgeVFolder",
    "vfolder.v1.VFolderService/RestoreVFolder",
];

async fn a_bad_new_name_is_named_when_restoring(engine: Engine) {
    let system = System::start(engine).await;
    let alice = system.user("alice");
    let vfolder_id = alice.create("target").await.unwrap().id;
    alice.trash(&vfolder_id).await.unwrap();
    let name = "a/b".to_owned();
    let request = RestoreVFolderRequest {
        vfolder_id,
        name,
        ..RestoreVFolderRequest::default()
    };
    let answer = alice.vfolders.clone().restore_v_folder(request).await;
    assert_field_refused(answer, &["name"]);
}

async fn an_id_that_is_no_uuid_is_named_wherever_there_is_one(engine: Engine) {
    let system = System::start(engine).await;
    let token = system.tokens.admin("alice");
    let mut tried = 0;
    for method in methods() {
        let Some(target) = target(&method) else {
            continue;
        };
        for id in [
            "",
            "no uuid",
            "01890a5d-ac96-774b-bcce-b302099a805",
            "../../etc",
            "%00",
            "\u{202e}",
        ] {
            let mut request = DynamicMessage::new(method.input());
            set(&mut request, &target, id);
            let raw = Raw::new(system.manager.channel(), &path(&method)).bearer(&token);
            let answer = raw
                .send(frame(0, &request.encode_to_vec()))
                .await
                .into_result();
            assert_field_refused(answer, &[&target]);
            tried += 1;
        }
    }
    assert!(tried > 60, "only {tried}");
}

fn set(message: &mut DynamicMessage, path: &str, id: &str) {
    match path.split_once('.') {
        None => message.set_field_by_name(path, Value::String(id.into())),
        Some((first, rest)) => {
            let mut inner = message
                .get_field_by_name(first)
                .unwrap()
                .as_message()
                .unwrap()
                .clone();
            set(&mut inner, rest, id);
            message.set_field_by_name(first, Value::Message(inner));
        }
    }
}

/// Whatever decodes is checked, whatever doesn't is malformed.
async fn random_bytes_are_never_an_internal_error(engine: Engine) {
    let system = System::start(engine).await;
    let token = system.tokens.admin("alice");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = |length: usize| -> Bytes {
        (0..length)
            .map(|_| {
                // xorshift64 (Marsaglia 2003)
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            })
            .collect()
    };
    for method in methods() {
        for length in [1, 2, 3, 8, 30] {
            let body = bytes(length);
            let raw = Raw::new(system.manager.channel(), &path(&method)).bearer(&token);
            let answer = raw.send(frame(0, &body)).await.into_result();
            if let Err(status) = answer {
                let fault = matches!(
                    status.code(),
                    Code::Internal | Code::Unknown | Code::DataLoss
                );
                assert!(!fault, "{} {body:?}: {status:?}", path(&method));
            }
        }
    }
}
