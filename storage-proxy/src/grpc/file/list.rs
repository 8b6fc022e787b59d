//! ListFiles.

use std::ffi::CString;

use tonic::{Request, Response, Status};
use uuid::Uuid;
use vfolder_common::{
    error::{Fields, Refusal},
    token::{Grant, GrantMode},
};
use vfolder_proto::v1::{ListFilesRequest, ListFilesResponse, ListOrder};

use super::{
    Service,
    entry::{entry, entry_at},
    page,
};
use crate::{
    file::{Find, ListPage, granted},
    grpc::{page_token::Asked, path},
    tree::{By, Order, Position, RelativePath},
};

/// A request that is in order.
struct Listing {
    path: RelativePath,
    order: Order,
    /// Nothing: the directory alone.
    max_depth: Option<usize>,
    count_total: bool,
    size: usize,
    asked: Asked,
    page: page::Begin,
}

impl Service {
    pub(super) async fn list(
        &self,
        request: Request<ListFilesRequest>,
    ) -> Result<Response<ListFilesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let grant = granted(extensions.get(), &request.vfolder_id, GrantMode::ReadOnly)?;
        let listing = read(&request, grant.vfolder, self.files.shelf().now())?;
        let listed = match listing.max_depth {
            None => self.list_one(grant, listing).await?,
            Some(max_depth) => self.list_below(grant, listing, max_depth).await?,
        };
        Ok(Response::new(listed))
    }

    async fn list_one(&self, grant: Grant, listing: Listing) -> Result<ListFilesResponse, Refusal> {
        let Listing { asked, page, .. } = listing;
        let since = page.since;
        let listed = self.files.list(
            grant,
            ListPage {
                path: listing.path,
                order: listing.order,
                after: page.place.as_deref().and_then(read_position),
                size: listing.size,
                since,
            },
        );
        let listed = listed.await?;
        let next = listed.next_after.map(|after| {
            let value = after.value.to_be_bytes();
            asked.write(since, &[&value, after.name.as_bytes()].concat())
        });
        let total = i64::try_from(listed.total).unwrap_or(i64::MAX);
        Ok(ListFilesResponse {
            entries: listed.entries.into_iter().map(entry).collect(),
            next_page_token: next.unwrap_or_default(),
            total_size: if listing.count_total { total } else { 0 },
        })
    }

    async fn list_below(
        &self,
        grant: Grant,
        listing: Listing,
        max_depth: usize,
    ) -> Result<ListFilesResponse, Refusal> {
        let Listing { asked, page, .. } = listing;
        let found = self.files.find(
            grant,
            Find {
                after: page.path(),
                path: listing.path,
                max_depth,
                size: listing.size,
                since: page.since,
                pattern: None,
                kinds: Vec::new(),
            },
        );
        let found = found.await?;
        let next = found.next_after.map(|path| asked.write(page.since, &path));
        let entries = found.found.into_iter();
        Ok(ListFilesResponse {
            entries: entries.map(|one| entry_at(&one.path, one.entry)).collect(),
            next_page_token: next.unwrap_or_default(),
            total_size: 0,
        })
    }
}

fn read(request: &ListFilesRequest, vfolder: Uuid, now: u64) -> Result<Listing, Refusal> {
    let mut fields = Fields::default();
    let path = path::read(&request.path, &request.path_bytes, &mut fields);
    let size = page::read_size(request.page_size, &mut fields);
    let depth = usize::try_from(request.max_depth).unwrap_or_else(|_| {
        fields.wrong("max_depth", "must not be negative");
        0
    });
    let by = match ListOrder::try_from(request.order) {
        Ok(ListOrder::Unspecified | ListOrder::ByName) => By::Name,
        Ok(ListOrder::BySize) => By::Size,
        Ok(ListOrder::ByModifyTime) => By::Modified,
        Err(_) => {
            fields.wrong("order", "must be BY_NAME, BY_SIZE or BY_MODIFY_TIME");
            By::Name
        }
    };
    if request.recursive {
        let only = "not of a recursive list: leave it out";
        let wrong = [
            ("order", by != By::Name),
            ("descending", request.descending),
            ("count_total", request.count_total),
        ];
        for (field, _) in wrong.into_iter().filter(|(_, wrong)| *wrong) {
            fields.wrong(field, only);
        }
    } else if depth > 0 {
        fields.wrong(
            "max_depth",
            "only of a recursive list: set recursive, or leave it out",
        );
    }
    let base = path.clone().unwrap_or_else(RelativePath::root);
    let asked = Asked::of("ListFiles", vfolder)
        .with(base.as_bytes())
        .and(i64::from(request.recursive))
        .and(i64::from(request.max_depth))
        .and(match by {
            By::Name => 0,
            By::Size => 1,
            By::Modified => 2,
        })
        .and(i64::from(request.descending))
        .and(i64::from(request.count_total));
    let is_good = |place: &[u8]| match request.recursive {
        true => page::is_below(place, &base),
        false => read_position(place).is_some(),
    };
    let page = page::Begin::read(asked, &request.page_token, now, is_good, &mut fields);
    fields.finish()?;
    let max_depth = match depth {
        0 => usize::MAX,
        depth => depth,
    };
    Ok(Listing {
        path: base,
        order: Order {
            by,
            descending: request.descending,
        },
        max_depth: request.recursive.then_some(max_depth),
        count_total: request.count_total,
        size,
        asked,
        page,
    })
}

/// A place in a directory: 8 bytes of what it is put in order by, then the name.
fn read_position(place: &[u8]) -> Option<Position> {
    let (value, name) = place.split_first_chunk::<8>()?;
    Some(Position {
        value: i64::from_be_bytes(*value),
        name: CString::new(name).ok()?,
    })
}
