//! VFolderService.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use vfolder_common::error::{Fields, Reason, Refusal};
use vfolder_proto::{
    google::longrunning::Operation as Lro,
    v1::{
        AllowedAccess, CloneVFolderRequest, CreateVFolderRequest, DeleteVFolderRequest,
        ExplainRequest, ExplainResponse, GetVFolderRequest, ListEventsRequest, ListEventsResponse,
        ListVFoldersRequest, ListVFoldersResponse, PurgeVFolderRequest, RecountUsageRequest,
        ResetStatusRequest, ResetStatusResponse, RestoreVFolderRequest, UpdateVFolderRequest,
        VFolder, VFolderServiceWatchRequest, VFolderServiceWatchResponse, VFolderStatus,
        VerifyVFolderRequest, WatchVFoldersRequest, WatchVFoldersResponse,
        v_folder_service_server::VFolderService,
    },
};

use super::{
    convert, fields, lro, page,
    vfolder_requests::{backing, checked, edit, filter, request_key},
};
use crate::{
    context::Context,
    gate::admitted::{absent, admitted, caller},
    model::{Caller, State, Status as VfolderStatus},
    operation,
    store::{Operation, vfolders::Filter},
    vfolder::{
        self,
        clone::Cloned,
        create::Created,
        fields as checks, list,
        look::{Look, look},
        purge::Purged,
        refuse,
    },
};

/// How long CreateVFolder waits for the tree; making an empty one takes milliseconds.
const CREATE_PATIENCE: Duration = Duration::from_secs(10);

/// The service.
#[derive(Clone)]
pub struct Vfolders {
    /// What it works with.
    pub ctx: Context,
}

type Answer<T> = Result<Response<T>, Status>;
type WatchStream =
    Pin<Box<dyn Stream<Item = Result<VFolderServiceWatchResponse, Status>> + Send + 'static>>;
type FeedStream =
    Pin<Box<dyn Stream<Item = Result<WatchVFoldersResponse, Status>> + Send + 'static>>;

#[tonic::async_trait]
impl VFolderService for Vfolders {
    async fn create_v_folder(&self, request: Request<CreateVFolderRequest>) -> Answer<VFolder> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let request_id = fields::optional_id("request_id", &asked.request_id, &mut wrong);
        let volumes = &self.ctx.volumes;
        let new = fields::new_vfolder(asked.vfolder.as_ref(), &caller, volumes, &mut wrong);
        let new = checked(wrong, new)?;
        let sent = asked.vfolder.as_ref();
        let key = request_key(&caller, request_id, "CreateVFolder", "", &new, sent);
        match vfolder::create::create(&self.ctx, &caller, new, key, asked.validate_only).await? {
            Created::Checked(row) => answer(&list::Shown {
                row: *row,
                operations: Vec::new(),
            }),
            Created::Begun(op) => {
                let op = operation::wait::wait(&self.ctx, op.id, CREATE_PATIENCE).await?;
                self.created(&caller, op).await
            }
        }
    }

    async fn get_v_folder(&self, request: Request<GetVFolderRequest>) -> Answer<VFolder> {
        let found = admitted(&request)?.vfolder;
        if found.status == VfolderStatus::Deleted && !request.get_ref().show_deleted {
            return Err(refuse::not_found(found.id).into());
        }
        answer(&list::show_one(&self.ctx, found).await?)
    }

    async fn list_v_folders(
        &self,
        request: Request<ListVFoldersRequest>,
    ) -> Answer<ListVFoldersResponse> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let filter = filter(&asked, &mut wrong);
        let bound = format!("{filter:?}");
        let page = page::parse(asked.page_size, &asked.page_token, &bound, &mut wrong);
        let after = fields::optional_id("page_token", &page.after, &mut wrong);
        wrong.finish()?;
        let filter = Filter { after, ..filter };
        let (rows, next) = list::list(&self.ctx, &caller, filter, page.size).await?;
        let next_page_token =
            next.map_or_else(String::new, |last| page::token(&last.to_string(), &bound));
        Ok(Response::new(ListVFoldersResponse {
            vfolders: rows.iter().map(convert::vfolder).collect(),
            next_page_token,
        }))
    }

    async fn update_v_folder(&self, request: Request<UpdateVFolderRequest>) -> Answer<VFolder> {
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let wire = asked.vfolder.unwrap_or_default();
        let mut wrong = Fields::default();
        let edit = edit(&wire, asked.update_mask, &gate.warrant.caller, &mut wrong);
        wrong.finish()?;
        let row = vfolder::update::update(
            &self.ctx,
            &gate.warrant,
            gate.vfolder.id,
            &wire.etag,
            edit,
            asked.validate_only,
        )
        .await?;
        answer(&list::show_one(&self.ctx, row).await?)
    }

    async fn clone_v_folder(&self, request: Request<CloneVFolderRequest>) -> Answer<Lro> {
        let gate = admitted(&request)?;
        let caller = &gate.warrant.caller;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let request_id = fields::optional_id("request_id", &asked.request_id, &mut wrong);
        let source = &gate.vfolder;
        let volumes = &self.ctx.volumes;
        let new = fields::new_clone(asked.vfolder.as_ref(), source, caller, volumes, &mut wrong);
        let new = checked(wrong, new)?;
        let from = source.id.to_string();
        // With and without a receipt are two different requests.
        let method = match asked.receipt {
            true => "CloneVFolder with a receipt",
            false => "CloneVFolder",
        };
        let sent = asked.vfolder.as_ref();
        let key = request_key(caller, request_id, method, &from, &new, sent);
        let (ctx, dry, receipt) = (&self.ctx, asked.validate_only, asked.receipt);
        let warrant = &gate.warrant;
        match vfolder::clone::clone(ctx, warrant, source.id, new, receipt, key, dry).await? {
            Cloned::Checked(op, estimate) => Ok(Response::new(lro::dry(&op, estimate))),
            Cloned::Begun(op) => self.operation(caller, &op).await,
        }
    }

    async fn delete_v_folder(&self, request: Request<DeleteVFolderRequest>) -> Answer<VFolder> {
        if let Some(absent) = absent(&request) {
            return match absent.vfolder {
                Some(row) => answer(&list::show_one(&self.ctx, row).await?),
                None => Ok(Response::new(VFolder {
                    id: absent.id.to_string(),
                    status: VFolderStatus::Deleted.into(),
                    ..VFolder::default()
                })),
            };
        }
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let retention = fields::retention(asked.retention, &mut wrong);
        wrong.finish()?;
        let done = vfolder::delete::delete(
            &self.ctx,
            &gate.warrant,
            &gate.vfolder,
            &asked.etag,
            retention,
            asked.validate_only,
        )
        .await;
        let row = match done {
            Ok(row) => row,
            Err(refusal) => {
                list::settled_meanwhile(&self.ctx, &gate.warrant, gate.vfolder.id, refusal).await?
            }
        };
        answer(&list::show_one(&self.ctx, row).await?)
    }

    async fn restore_v_folder(&self, request: Request<RestoreVFolderRequest>) -> Answer<VFolder> {
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let name = (!asked.name.is_empty()).then_some(asked.name);
        if let Some(name) = &name {
            wrong.check("name", checks::check_name(name));
        }
        wrong.finish()?;
        let row = vfolder::restore::restore(
            &self.ctx,
            &gate.warrant,
            gate.vfolder.id,
            &asked.etag,
            name,
            asked.validate_only,
        )
        .await?;
        answer(&list::show_one(&self.ctx, row).await?)
    }

    async fn purge_v_folder(&self, request: Request<PurgeVFolderRequest>) -> Answer<Lro> {
        if let Some(absent) = absent(&request) {
            return Ok(Response::new(lro::nothing_to_do(absent.id.to_string())));
        }
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let (ctx, vfolder, dry) = (&self.ctx, &gate.vfolder, asked.validate_only);
        let (etag, volume) = (&asked.etag, &vfolder.volume);
        match vfolder::purge::purge(ctx, &gate.warrant, vfolder.id, etag, volume, dry).await {
            Ok(Purged::Checked(op, estimate)) => Ok(Response::new(lro::dry(&op, estimate))),
            Ok(Purged::Begun(op)) => self.operation(&gate.warrant.caller, &op).await,
            Err(refusal) => {
                let row = list::settled_meanwhile(ctx, &gate.warrant, vfolder.id, refusal).await?;
                Ok(Response::new(lro::nothing_to_do(row.id.to_string())))
            }
        }
    }

    async fn verify_v_folder(&self, request: Request<VerifyVFolderRequest>) -> Answer<Lro> {
        let gate = admitted(&request)?;
        let expected = &request.get_ref().expected_digest;
        let mut wrong = Fields::default();
        wrong.check("expected_digest", checks::check_digest(expected));
        wrong.finish()?;
        let (ctx, vfolder) = (&self.ctx, &gate.vfolder);
        let volume = &vfolder.volume;
        let asked = Look::Verify { expected };
        let op = look(ctx, &gate.warrant, vfolder.id, volume, asked).await?;
        self.operation(&gate.warrant.caller, &op).await
    }

    async fn recount_usage(&self, request: Request<RecountUsageRequest>) -> Answer<Lro> {
        let gate = admitted(&request)?;
        let (ctx, vfolder) = (&self.ctx, &gate.vfolder);
        let volume = &vfolder.volume;
        let op = look(ctx, &gate.warrant, vfolder.id, volume, Look::Recount).await?;
        self.operation(&gate.warrant.caller, &op).await
    }

    type WatchStream = WatchStream;

    async fn watch(&self, request: Request<VFolderServiceWatchRequest>) -> Answer<WatchStream> {
        let gate = admitted(&request)?;
        let (id, caller) = (gate.vfolder.id, gate.warrant.caller);
        let after = match request.get_ref().after_sequence {
            0 => None,
            after @ 1.. => Some(after),
            _ => return Err(Refusal::field("after_sequence", "must not be negative").into()),
        };
        let news = vfolder::watch::watch(self.ctx.clone(), caller, id, after).map(|item| {
            let (shown, event) = item?;
            Ok(VFolderServiceWatchResponse {
                vfolder: Some(convert::vfolder(&shown)),
                event: event.as_ref().map(convert::event),
            })
        });
        Ok(Response::new(Box::pin(news)))
    }

    type WatchVFoldersStream = FeedStream;

    async fn watch_v_folders(&self, request: Request<WatchVFoldersRequest>) -> Answer<FeedStream> {
        let caller = caller(&request)?;
        let mut wrong = Fields::default();
        let resume =
            page::feed_position("resume_token", &request.get_ref().resume_token, &mut wrong);
        wrong.finish()?;
        let from = vfolder::feed::begin(&self.ctx, resume).await?;
        let news = vfolder::feed::watch(self.ctx.clone(), caller, from).map(|item| {
            let news = item?;
            let (event, shown) = news.event.unzip();
            Ok(WatchVFoldersResponse {
                event: event.as_ref().map(convert::event),
                vfolder: shown.as_ref().map(convert::vfolder),
                resume_token: page::feed_token(news.position),
            })
        });
        Ok(Response::new(Box::pin(news)))
    }

    async fn list_events(&self, request: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let id = admitted(&request)?.vfolder.id;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let bound = id.to_string();
        let page = page::parse(asked.page_size, &asked.page_token, &bound, &mut wrong);
        wrong.finish()?;
        let after = page.after.parse().unwrap_or_default();
        let (events, more) = list::history(&self.ctx, id, after, page.size).await?;
        let next_page_token = match events.last() {
            Some(last) if more => page::token(&last.sequence.to_string(), &bound),
            _ => String::new(),
        };
        Ok(Response::new(ListEventsResponse {
            events: events.iter().map(convert::event).collect(),
            next_page_token,
        }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Answer<ExplainResponse> {
        let gate = admitted(&request)?;
        let why =
            vfolder::explain::explain(&self.ctx, &gate.warrant.caller, gate.vfolder.id).await?;
        let volume = &why.vfolder.row.volume;
        Ok(Response::new(ExplainResponse {
            vfolder: Some(convert::vfolder(&why.vfolder)),
            explanation: why.text.clone(),
            operations: why.operations.iter().map(backing).collect(),
            mounts: why
                .mounts
                .iter()
                .map(|m| convert::mount(m, volume))
                .collect(),
            allowed: why
                .allowed
                .iter()
                .map(|(access, cell)| AllowedAccess {
                    access: convert::access(*access).into(),
                    condition: cell.condition().into(),
                })
                .collect(),
            last_event: why.last_event.as_ref().map(convert::event),
        }))
    }

    async fn reset_status(
        &self,
        request: Request<ResetStatusRequest>,
    ) -> Answer<ResetStatusResponse> {
        let gate = admitted(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        wrong.check("reason", checks::check_description(&asked.reason));
        wrong.finish()?;
        let done = vfolder::reset::reset(
            &self.ctx,
            &gate.warrant.caller,
            &gate.vfolder,
            &asked.reason,
            asked.validate_only,
        )
        .await?;
        let to = done.row.status;
        Ok(Response::new(ResetStatusResponse {
            vfolder: Some(convert::vfolder(
                &list::show_one(&self.ctx, done.row).await?,
            )),
            from_status: convert::status(done.from).into(),
            to_status: convert::status(to).into(),
            finding: done.finding,
        }))
    }
}

impl Vfolders {
    async fn operation(&self, caller: &Caller, op: &Operation) -> Answer<Lro> {
        Ok(Response::new(lro::operation(&self.ctx, caller, op).await?))
    }

    /// The answer to CreateVFolder once its operation has ended, or patience has.
    async fn created(&self, caller: &Caller, op: Operation) -> Answer<VFolder> {
        match op.state {
            State::Succeeded => answer(&list::get(&self.ctx, caller, op.vfolder_id).await?),
            State::Failed | State::Cancelled => Err(lro::refusal(&op).into()),
            State::Pending | State::Running => {
                // Nobody waits for it any more: don't leave the name taken by a tree that may come one day.
                operation::cancel::request(&self.ctx, &op).await?;
                Err(Refusal::new(
                    Reason::VolumeUnavailable,
                    format!(
                        "the vfolder's tree was not made in time ({}); the creation is being cancelled, and its operation tells how that ended: try again later",
                        if op.last_problem.is_empty() { "the volume is slow" } else { &op.last_problem }
                    ),
                )
                .with_metadata("operation", op.name())
                .with_retry(Duration::from_secs(5))
                .into())
            }
        }
    }
}

fn answer(shown: &list::Shown) -> Answer<VFolder> {
    Ok(Response::new(convert::vfolder(shown)))
}
