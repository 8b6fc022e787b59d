//! The bad requests, by hand: what is wrong and which fields have to be named. The ids of their vfolders are good.

mod changes;
mod creations;
mod files;
mod grants;
mod lists;
mod mounts;
mod quotas;
mod transfers;
mod trees;

use prost::Message;
use prost_types::Duration;
use vfolder_proto::v1::{Owner, owner};

/// One bad request.
pub struct Bad {
    /// "package.Service/Method".
    pub method: &'static str,
    /// What is wrong, for who reads of a failure.
    pub what: &'static str,
    /// The encoded message.
    pub request: Vec<u8>,
    /// What has to be named, in this order.
    pub fields: &'static [&'static str],
}

const UUID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const GARBAGE: &str = "garbage";

/// All of them, about this vfolder.
pub fn bad_requests(id: &str) -> Vec<Bad> {
    let mut list = List(Vec::new());
    creations::creations(&mut list, id);
    changes::changes(&mut list, id);
    mounts::mounts(&mut list, id);
    files::files(&mut list, id);
    grants::grants(&mut list, id);
    transfers::transfers(&mut list, id);
    trees::trees(&mut list, id);
    lists::lists(&mut list, id);
    lists::operations(&mut list);
    quotas::quotas(&mut list);
    list.0
}

struct List(Vec<Bad>);

impl List {
    fn add(
        &mut self,
        method: &'static str,
        what: &'static str,
        request: impl Message,
        fields: &'static [&'static str],
    ) {
        self.0.push(Bad {
            method,
            what,
            request: request.encode_to_vec(),
            fields,
        });
    }
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn user(id: &str) -> Option<Owner> {
    Some(Owner {
        owner: Some(owner::Owner::User(id.into())),
    })
}
