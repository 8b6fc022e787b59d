//! Requests that come twice: `request_id`.

use serde::Serialize;
use vfolder_common::error::{Reason, Refusal};

use crate::{
    context::Context,
    store::{Id, Operation, StoreError, Timestamp, Tx, operations, requests},
};

/// A request that its sender may repeat.
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// Who sends it.
    pub requester: String,
    /// What the sender calls it.
    pub id: Id,
    /// What it asks for, in a canonical form.
    pub fingerprint: String,
}

impl RequestKey {
    /// `arguments` are all that make a difference. None if the sender gave no id.
    pub fn new(
        requester: &str,
        id: Option<Id>,
        method: &str,
        arguments: &impl Serialize,
    ) -> Option<Self> {
        let arguments = serde_json::to_string(arguments).unwrap_or_default();
        Some(Self {
            requester: requester.to_owned(),
            id: id?,
            fingerprint: format!("{method} {arguments}"),
        })
    }

    /// The operation that the request began when it came first. None: it comes for the first time.
    pub async fn seen(&self, tx: &mut Tx) -> Result<Option<Id>, Refusal> {
        let Some(before) = requests::get(tx, &self.requester, self.id).await? else {
            return Ok(None);
        };
        if before.fingerprint == self.fingerprint {
            return Ok(Some(before.operation_id));
        }
        Err(self.reused())
    }

    fn reused(&self) -> Refusal {
        Refusal::new(
            Reason::RequestIdReused,
            "this request_id came before with other arguments; use a new one for a new request",
        )
        .with_metadata("request_id", self.id.to_string())
    }

    /// Remembers which operation the request began.
    pub async fn remember(
        &self,
        tx: &mut Tx,
        operation: Id,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let row = requests::Request {
            requester: self.requester.clone(),
            request_id: self.id,
            fingerprint: self.fingerprint.clone(),
            operation_id: operation,
            create_time: now,
        };
        // Equal requests wait for each other and see each other: what comes in between asks for something else.
        requests::insert(tx, &row).await.map_err(|e| match e {
            StoreError::NotUnique { .. } => self.reused(),
            other => other.into(),
        })
    }
}

/// [`RequestKey::seen`] outside a transaction.
pub async fn seen(ctx: &Context, key: Option<&RequestKey>) -> Result<Option<Id>, Refusal> {
    match key {
        Some(key) => key.seen(&mut ctx.store.read("replay").await?).await,
        None => Ok(None),
    }
}

/// The operation that a request began when it came first.
pub async fn begun(ctx: &Context, id: Id) -> Result<Operation, Refusal> {
    let mut tx = ctx.store.read("replay.begun").await?;
    let found = operations::get(&mut tx, id).await?;
    // Its record and its request id go together, so only a race with DeleteOperation leads here.
    found.ok_or_else(|| {
        Refusal::new(
            Reason::OperationNotFound,
            "the operation that this request began was deleted at this moment; repeat the request to begin another",
        )
    })
}
