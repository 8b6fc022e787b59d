//! The layer itself.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tonic::{Status, body::Body};
use tower::{Layer, Service};
use vfolder_common::{
    body::unbroken,
    error::{Reason, Refusal},
};
use vfolder_proto::v1::MountMode;

use super::{Absent, Admitted, Rule, Rules, Verifier, forward::forward, message, rules::Target};
use crate::{
    context::Context as Services,
    model::{Access, Asked, Caller, Warrant},
    store::{Id, vfolders},
    vfolder::{list, quota, refuse},
};

/// The largest message of an RPC that needs no credentials.
pub const MAX_PUBLIC_MESSAGE: usize = 16 << 10;

/// Puts the gate in front of a service.
#[derive(Clone)]
pub struct GateLayer(Arc<Gate>);

struct Gate {
    rules: Rules,
    verifier: Verifier,
    ctx: Services,
}

/// A gated service.
#[derive(Clone)]
pub struct Gated<S> {
    gate: Arc<Gate>,
    inner: S,
}

impl GateLayer {
    /// A gate with these rules, keys and tables.
    #[must_use]
    pub fn new(rules: Rules, verifier: Verifier, ctx: Services) -> Self {
        Self(Arc::new(Gate {
            rules,
            verifier,
            ctx,
        }))
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated {
            gate: Arc::clone(&self.0),
            inner,
        }
    }
}

type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send + 'static>>;

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone is not ready; the one that is has to take the call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            let started = Instant::now();
            let path = request.uri().path().to_owned();
            if !is_grpc(request.headers()) {
                return Ok(not_grpc());
            }
            let answer = match gate.admit(unbroken(request).map(Body::new)).await {
                Ok(Passage::Handle(request)) => return inner.call(request).await,
                Ok(Passage::Forward(admitted, request, wrong)) => {
                    forward(&gate.ctx.volumes, &admitted, request, wrong).await
                }
                Err(refusal) => Err(refusal),
            };
            Ok(answer.unwrap_or_else(|refusal| {
                tracing::debug!(path, reason = refusal.reason().as_str(), elapsed = ?started.elapsed(), "refused");
                refused(refusal)
            }))
        })
    }
}

/// Where an admitted request goes.
enum Passage {
    Handle(Request<Body>),
    Forward(Box<Admitted>, Request<Body>, message::Wrong),
}

/// What the gate found about the target.
enum Finding {
    Admitted(Box<Admitted>),
    Absent(Box<Absent>),
}

impl Gate {
    async fn admit(&self, request: Request<Body>) -> Result<Passage, Refusal> {
        let path = request.uri().path();
        let Some(rule) = self.rules.get(path) else {
            return Err(Refusal::new(
                Reason::MethodUnknown,
                "there is no such RPC; `grpcurl … list` and `describe` show those there are",
            ));
        };
        let caller = if rule.public {
            None
        } else {
            Some(self.verifier.caller(request.headers())?)
        };
        if rule.admin && !caller.as_ref().is_some_and(|c| c.admin) {
            return Err(Refusal::new(
                Reason::PermissionTooSmall,
                "this is for administrators: the token has to say role \"admin\"",
            ));
        }
        if rule.target.is_none() && rule.client_streaming {
            // Nothing to look for, and perhaps nothing to read yet.
            let mut request = request;
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            return Ok(Passage::Handle(request));
        }
        let (parts, body) = request.into_parts();
        let first = self.first_message(rule, &parts.headers, body).await?;
        // Decoded for every RPC, so that what is malformed is refused in one way.
        let asked = DynamicMessage::decode(rule.input.clone(), first.message).map_err(|e| {
            Refusal::new(
                Reason::MessageMalformed,
                format!("the message is no {}: {e}", rule.input.full_name()),
            )
        })?;
        let mut request = Request::from_parts(parts, first.body);
        let Some(caller) = caller else {
            return Ok(Passage::Handle(request));
        };
        let finding = match &rule.target {
            Some(target) => Some(self.look(rule, target, &caller, &asked).await?),
            None => None,
        };
        request.extensions_mut().insert(caller);
        match finding {
            Some(Finding::Admitted(admitted)) if rule.forwarded => {
                return Ok(Passage::Forward(admitted, request, first.wrong));
            }
            Some(Finding::Admitted(admitted)) => {
                request.extensions_mut().insert(*admitted);
            }
            Some(Finding::Absent(absent)) => {
                request.extensions_mut().insert(*absent);
            }
            None => {}
        }
        Ok(Passage::Handle(request))
    }

    async fn first_message(
        &self,
        rule: &Rule,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<message::First, Refusal> {
        let limits = &self.ctx.settings.limits;
        // What anybody may send without credentials is small.
        let most = if rule.public {
            limits.max_message_bytes.min(MAX_PUBLIC_MESSAGE)
        } else {
            limits.max_message_bytes
        };
        let patience = match timeout_of(headers) {
            Some(timeout) => timeout.min(limits.first_message),
            None => limits.first_message,
        };
        tokio::time::timeout(
            patience,
            message::first(body, headers, most, rule.client_streaming),
        )
        .await
        .map_err(|_| {
            Refusal::new(
                Reason::MessageTimeout,
                format!("no message arrived within {patience:?}"),
            )
        })?
    }

    /// Permission, then status.
    async fn look(
        &self,
        rule: &Rule,
        target: &Target,
        caller: &Caller,
        asked: &DynamicMessage,
    ) -> Result<Finding, Refusal> {
        let id = target_id(target, asked)?;
        let warrant = warrant(target, caller, asked);
        let mut tx = self.ctx.store.read("gate.look").await?;
        let found = vfolders::get(&mut tx, id).await?;
        let visible = found.filter(|row| row.permission(caller).is_some());
        let Some(row) = visible else {
            if warrant.asked.allow_missing {
                return Ok(Finding::Absent(Box::new(Absent { id, vfolder: None })));
            }
            return Err(refuse::not_found(id));
        };
        refuse::unless_permitted(&row, &warrant)?;
        let (row, backing) = list::as_it_counts(&mut tx, row).await?;
        let write_mounts = backing.write_mounts;
        let now = tx.now().await?;
        if warrant.asked.allow_missing && target.settled.contains(&row.status) {
            return Ok(Finding::Absent(Box::new(Absent {
                id,
                vfolder: Some(row),
            })));
        }
        // A request that may have come before is answered as then, whatever the status is by now: the verb looks, and
        // admits under the row's lock.
        let repeatable = !text_at(asked, "request_id").is_empty();
        if !repeatable && !warrant.admitted_in(row.status, write_mounts) {
            tracing::trace!(path = rule.path, status = %row.status, "the status refuses");
            return Err(refuse::status(&mut tx, &row, &warrant, now).await?);
        }
        let quota = match rule.forwarded && warrant.access == Access::Writable {
            true => Some(quota::told(&mut tx, &row).await?),
            false => None,
        };
        Ok(Finding::Admitted(Box::new(Admitted {
            vfolder: row,
            warrant,
            quota,
        })))
    }
}

/// The vfolder's id, from where the rule says it is.
fn target_id(target: &Target, asked: &DynamicMessage) -> Result<Id, Refusal> {
    let text = text_at(asked, &target.field);
    if text.is_empty() {
        return Err(Refusal::field(target.field.clone(), "is required"));
    }
    text.parse()
        .map_err(|_| Refusal::field(target.field.clone(), "must be a UUID, as a vfolder's id is"))
}

/// The text at a path of fields; empty where a message on the way is unset.
fn text_at(message: &DynamicMessage, path: &str) -> String {
    let (field, rest) = path.split_once('.').unwrap_or((path, ""));
    match message.get_field_by_name(field).as_deref() {
        Some(Value::Message(inner)) => text_at(inner, rest),
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

fn warrant(target: &Target, caller: &Caller, asked: &DynamicMessage) -> Warrant {
    let says = |field: &str| {
        asked.descriptor().get_field_by_name(field).is_some()
            && asked
                .get_field_by_name(field)
                .and_then(|v| v.as_bool())
                .unwrap_or_default()
    };
    let writes = asked
        .get_field_by_name("mode")
        .and_then(|v| v.as_enum_number())
        == Some(MountMode::ReadWrite as i32);
    Warrant {
        caller: caller.clone(),
        access: if writes {
            target.access_read_write
        } else {
            target.access
        },
        settled: target.settled.clone(),
        permission: if writes {
            target.permission_read_write
        } else {
            target.permission
        },
        asked: Asked {
            read_only: !writes,
            skip_trash: says("skip_trash"),
            allow_missing: says("allow_missing"),
        },
    }
}

/// The `grpc-timeout` header: digits and a unit.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3_600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

/// As gRPC over HTTP/2 has it: 415 to what is not gRPC.
fn not_grpc() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn refused(refusal: Refusal) -> Response<Body> {
    let unsupported = refusal.reason() == Reason::CompressionUnsupported;
    let mut response = Status::from(refusal).into_http();
    if unsupported {
        response.headers_mut().insert(
            "grpc-accept-encoding",
            HeaderValue::from_static(message::ACCEPTED),
        );
    }
    response
}
