//! google.longrunning.Operations and OperationService.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use vfolder_common::error::{Fields, Refusal};
use vfolder_proto::{
    google::longrunning::{
        CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
        ListOperationsResponse, Operation as Lro, WaitOperationRequest,
        operations_server::Operations as LongRunning,
    },
    v1::{OperationServiceWatchRequest, operation_service_server::OperationService},
};

use super::{fields, lro, page};
use crate::{
    context::Context,
    gate::admitted::caller,
    operation,
    store::{Id, operations::Filter},
};

const MAX_WAIT: Duration = Duration::from_secs(300);

/// Both services.
#[derive(Clone)]
pub struct Operations {
    /// What they work with.
    pub ctx: Context,
}

#[tonic::async_trait]
impl LongRunning for Operations {
    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        if !matches!(asked.name.as_str(), "" | "operations") {
            wrong.wrong("name", "must be \"operations\" or empty");
        }
        let filter = wrong
            .check("filter", parse_filter(&asked.filter))
            .unwrap_or_default();
        let page = page::parse(
            asked.page_size,
            &asked.page_token,
            &asked.filter,
            &mut wrong,
        );
        let before = fields::optional_id("page_token", &page.after, &mut wrong);
        wrong.finish()?;
        let filter = Filter { before, ..filter };
        let (rows, more) = operation::read::list(&self.ctx, &caller, filter, page.size).await?;
        let next_page_token = match rows.last() {
            Some(last) if more => page::token(&last.id.to_string(), &asked.filter),
            _ => String::new(),
        };
        let mut operations = Vec::with_capacity(rows.len());
        for op in &rows {
            operations.push(lro::listed(&self.ctx, &caller, op).await?);
        }
        Ok(Response::new(ListOperationsResponse {
            operations,
            next_page_token,
        }))
    }

    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Result<Response<Lro>, Status> {
        let caller = caller(&request)?;
        let id = name(&request.get_ref().name)?;
        let op = operation::read::get_visible(&self.ctx, &caller, id).await?;
        Ok(Response::new(
            lro::operation(&self.ctx, &caller, &op).await?,
        ))
    }

    async fn delete_operation(
        &self,
        request: Request<DeleteOperationRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = caller(&request)?;
        let id = name(&request.get_ref().name)?;
        operation::cancel::forget(&self.ctx, &caller, id).await?;
        Ok(Response::new(()))
    }

    async fn cancel_operation(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> Result<Response<()>, Status> {
        let caller = caller(&request)?;
        let id = name(&request.get_ref().name)?;
        operation::cancel::cancel(&self.ctx, &caller, id).await?;
        Ok(Response::new(()))
    }

    async fn wait_operation(
        &self,
        request: Request<WaitOperationRequest>,
    ) -> Result<Response<Lro>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut wrong = Fields::default();
        let id = fields::operation_name("name", &asked.name, &mut wrong);
        let day = Duration::from_secs(86_400);
        let timeout = fields::duration("timeout", asked.timeout, Duration::ZERO, day, &mut wrong);
        wrong.finish()?;
        let op = operation::read::get_visible(&self.ctx, &caller, id.unwrap_or_default()).await?;
        let timeout = timeout.unwrap_or(MAX_WAIT).min(MAX_WAIT);
        let op = operation::wait::wait(&self.ctx, op.id, timeout).await?;
        Ok(Response::new(
            lro::operation(&self.ctx, &caller, &op).await?,
        ))
    }
}

#[tonic::async_trait]
impl OperationService for Operations {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<Lro, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<OperationServiceWatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = caller(&request)?;
        let id = name(&request.get_ref().name)?;
        let op = operation::read::get_visible(&self.ctx, &caller, id).await?;
        let ctx = self.ctx.clone();
        let news =
            operation::wait::watch(self.ctx.clone(), caller.clone(), op.id).then(move |item| {
                let (ctx, caller) = (ctx.clone(), caller.clone());
                async move { Ok(lro::operation(&ctx, &caller, &item?).await?) }
            });
        Ok(Response::new(Box::pin(news)))
    }
}

fn name(text: &str) -> Result<Id, Refusal> {
    let mut wrong = Fields::default();
    let id = fields::operation_name("name", text, &mut wrong);
    wrong.finish()?;
    Ok(id.unwrap_or_default())
}

/// `done = true`, `vfolder_id = "…"`, `kind = CLONE`, joined by AND.
fn parse_filter(text: &str) -> Result<Filter, String> {
    let mut filter = Filter::default();
    if text.trim().is_empty() {
        return Ok(filter);
    }
    for term in text.split(" AND ") {
        let wrong = || {
            format!(
                "\"{}\" is not understood; terms are done = true|false, vfolder_id = \"<id>\", kind = CREATE|CLONE|PURGE|EXTRACT|REMOVE|VERIFY|RECOUNT, joined by AND",
                term.trim()
            )
        };
        let (key, value) = term.split_once('=').ok_or_else(wrong)?;
        let value = value.trim().trim_matches('"');
        match key.trim() {
            "done" => filter.done = Some(value.parse().map_err(|_| wrong())?),
            "vfolder_id" => filter.vfolder = Some(value.parse().map_err(|_| wrong())?),
            "kind" => filter.kind = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::Kind;

    #[test]
    fn filters_are_understood_or_refused_never_ignored() {
        let filter = parse_filter("done = false AND kind=CLONE").unwrap();
        assert_eq!((filter.done, filter.kind), (Some(false), Some(Kind::Clone)));
        assert!(parse_filter("  ").unwrap().done.is_none());
        for bad in [
            "done",
            "done = maybe",
            "kind = EAT",
            "vfolder_id = 7",
            "done = true OR kind = CLONE",
        ] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }
}
